"""Past tickets: what customers asked and what a human agent replied, as CSV or JSONL."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any, Literal, TextIO, TypeGuard

from scoring.customer import Customer, Feature
from scoring.errors import BadExamples
from scoring.examples import asked_by, bad_line_named, expect, read_objects

Format = Literal["csv", "jsonl"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl")

COLUMNS = ("customer_id", "segment", "question", "reply", "at", "history")
NEEDED = ("customer_id", "question", "reply")
FEATURE = "feature."
"""A CSV column named `feature.NAME` holds the customer's feature NAME."""
BETWEEN_LINES = " | "
"""What stands between two history lines in a CSV cell."""

NO_NUMBERS = frozenset("nan inf infinity".split())
"""Read as the floats that they name, which no customer may have."""


@dataclass(frozen=True)
class PastTicket:
    """A question, the reply a human agent gave, and the customer as they were at that moment."""

    customer: Customer
    question: str
    reply: str
    at: datetime | None = None


def format_of(name: str) -> Format:
    """Return the format that a file's suffix says; raises `BadExamples` where it says neither."""
    suffix = PurePath(name).suffix.lower().removeprefix(".")
    if not _is_format(suffix):
        raise BadExamples(
            f"{name}: the name ends in neither .csv nor .jsonl; add --format csv or --format jsonl"
        )
    return suffix


def read_tickets(source: TextIO, *, name: str, kind: Format) -> list[PastTicket]:
    """Read every ticket of `source`, or raise `BadExamples` naming file, line and expectation."""
    if kind == "csv":
        tickets = list(_csv_tickets(source, name))
    else:
        tickets = [ticket for _, ticket in read_objects(source, _ticket, name=name)]
    if not tickets:
        raise BadExamples(f"{name}: no tickets; expected at least one, as {kind.upper()}")
    return tickets


def _is_format(suffix: str) -> TypeGuard[Format]:
    return suffix in FORMATS


def _ticket(row: Mapping[str, Any]) -> PastTicket:
    customer, at = asked_by(row)
    for field in ("question", "reply"):
        text = row.get(field)
        expect(isinstance(text, str) and text.strip(), field, "a text that is not empty", text)
    return PastTicket(customer, row["question"], row["reply"], at)


def _csv_tickets(source: TextIO, name: str) -> Iterator[PastTicket]:
    header: list[str] = []
    for number, row in _csv_rows(source, name):
        with bad_line_named(name, number):
            if not header:
                header = _checked_header(row)
                continue
            ticket = _ticket(_as_object(header, row))
        yield ticket


def _csv_rows(source: TextIO, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that holds anything, with the number of the line on which it starts."""
    rows = csv.reader(source, strict=True, skipinitialspace=True)
    while True:
        number = rows.line_num + 1
        with bad_line_named(name, number):
            try:
                row = next(rows, None)
            except csv.Error as exc:
                raise BadExamples(f"{exc}; expected comma-separated values") from exc
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield number, row


def _checked_header(columns: list[str]) -> list[str]:
    strange = [name for name in columns if name not in COLUMNS and not _is_feature(name)]
    allowed = f"no column but {', '.join(COLUMNS)} and feature.NAME"
    expect(not strange, "the header", allowed, strange)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    expect(not twice, "the header", "each column once", twice)
    expect(set(NEEDED) <= set(columns), "the header", f"it to have {', '.join(NEEDED)}", columns)
    return columns


def _is_feature(column: str) -> bool:
    return column.startswith(FEATURE) and column != FEATURE


def _as_object(header: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    """Return a CSV row as the object that a JSONL line would hold; an empty cell is missing."""
    if len(row) != len(header):
        raise BadExamples(f"got {len(row)} values; expected {len(header)}, as the header has")
    cells = {column: cell for column, cell in zip(header, row, strict=True) if cell.strip()}
    features = {
        column.removeprefix(FEATURE): _feature(cell)
        for column, cell in cells.items()
        if column.startswith(FEATURE)
    }
    return {
        "customer": {
            "id": cells.get("customer_id"),
            "segment": cells.get("segment"),
            "features": features,
        },
        "history": cells["history"].split(BETWEEN_LINES) if "history" in cells else [],
        **{field: cells.get(field) for field in ("question", "reply", "at")},
    }


def _feature(cell: str) -> Feature:
    """Return true and false, in any case, as a boolean, what JSON has for a number as a number."""
    text = cell.strip()
    if text.lower().lstrip("+-") in NO_NUMBERS:
        return float(text)
    try:
        value = json.loads(text.lower())
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text
