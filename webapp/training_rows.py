"""Imported training examples in the database: where an erasure reaches them, as it does no file."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TextIO

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from scoring.errors import BadExamples
from scoring.examples import Example, as_row, from_row, read_rows
from webapp.models import TrainingRow, utc_now
from webapp.tombstones import Tombstones, take_turn

LONGEST_CUSTOMER, LONGEST_SEGMENT = 200, 64
UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
READ_AT_ONCE = 1000
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Imported:
    """How many rows were stored, and how many were left out and why."""

    count: int
    skipped_erased: int
    skipped_known: int


def import_rows(
    session: Session, tenant_id: str, source: TextIO, name: str, secret: str
) -> Imported:
    """Store each example of a JSONL file that is not stored yet, with `name` as its source.

    What is stored is the example as `scoring.examples.as_row` writes it, so other fields stay
    behind. Rows of a customer who was erased are left out, save those of a later moment than the
    erasure. Raises `BadExamples` naming file and line before anything is written.
    """
    examples = _read(source, name)
    take_turn(session, tenant_id)
    tombstones = Tombstones.of(session, tenant_id, secret)
    kept = [each for each in examples if not tombstones.cover(each.pair.customer.id, each.at)]
    fresh = _not_stored(session, tenant_id, map(as_row, kept))
    _add(session, tenant_id, fresh, name)
    return Imported(len(fresh), len(examples) - len(kept), len(kept) - len(fresh))


def rows(session: Session, tenant_id: str, segment: str | None) -> list[Example]:
    """Return the tenant's examples of one segment, or all with None, in the order of import."""
    found = select(TrainingRow.row).where(TrainingRow.tenant_id == tenant_id)
    if segment is not None:
        found = found.where(TrainingRow.segment == segment)
    ordered = found.order_by(TrainingRow.created_at, TrainingRow.id)
    return [from_row(row) for row in session.scalars(ordered)]


def counts(session: Session, tenant_id: str) -> Sequence[tuple[str | None, str, int]]:
    """Return segment, source and how many rows are of both."""
    per = (TrainingRow.segment, TrainingRow.source)
    query = select(*per, func.count()).where(TrainingRow.tenant_id == tenant_id).group_by(*per)
    found = [(segment, source, int(count)) for segment, source, count in session.execute(query)]
    return sorted(found, key=lambda each: (each[0] or "", each[1]))


def _read(source: TextIO, name: str) -> list[Example]:
    examples = [example for _, example in read_rows(source, name=name, check=_check_storable)]
    if not examples:
        raise BadExamples(f"{name}: no examples; expected at least one JSON object a line")
    return examples


def _check_storable(example: Example) -> None:
    """Raise `BadExamples` for what one of the databases would not take."""
    customer = example.pair.customer
    for field, text, longest in (
        ("customer.id", customer.id, LONGEST_CUSTOMER),
        ("customer.segment", customer.segment or "", LONGEST_SEGMENT),
    ):
        if len(text) > longest:
            raise BadExamples(f"{field} has {len(text)} characters; expected at most {longest}")
    if any(UNSTORABLE.search(text) for text in _texts(example)):
        raise BadExamples(
            "a text holds U+0000 or half a surrogate pair; expected text that can be stored"
        )


def _texts(example: Example) -> Iterator[str]:
    customer = example.pair.customer
    yield from (customer.id, customer.segment or "", *customer.history, *example.pair.texts)
    for name, value in customer.features.items():
        yield name
        if isinstance(value, str):
            yield value


def _not_stored(
    session: Session, tenant_id: str, given: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows that neither the database nor an earlier one of them holds."""
    stored = select(TrainingRow.row).where(TrainingRow.tenant_id == tenant_id)
    seen = {
        _digest(row) for row in session.scalars(stored.execution_options(yield_per=READ_AT_ONCE))
    }
    fresh = []
    for row in given:
        digest = _digest(row)
        if digest not in seen:
            seen.add(digest)
            fresh.append(row)
    return fresh


def _digest(row: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(_plain(row), sort_keys=True).encode()).digest()


def _plain(value: Any) -> Any:
    """Return the value with each number as a float: PostgreSQL gives 100.0 back as 100."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _add(session: Session, tenant_id: str, fresh: Sequence[dict[str, Any]], name: str) -> None:
    """Add rows a microsecond apart, so that they are read again in the file's order."""
    now = utc_now()
    values = [
        {
            "tenant_id": tenant_id,
            "customer": row["customer"]["id"],
            "segment": row["customer"]["segment"],
            "row": row,
            "source": name,
            "created_at": now + place * MICROSECOND,
        }
        for place, row in enumerate(fresh)
    ]
    if fresh:
        session.execute(insert(TrainingRow), values)
