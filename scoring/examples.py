"""Labelled examples: what the scorer learns from, one JSON object a line."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.customer import Customer, is_finite
from scoring.errors import BadCustomer, BadExamples

T = TypeVar("T")


MOST_WEIGHT = 1000.0


@dataclass(frozen=True)
class Pair:
    """A question, a candidate answer, and the customer it would be given to.

    `passage` is the piece of policy that the answer rests on, where one is known.
    """

    question: str
    answer: str
    customer: Customer
    passage: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that are read together: question, answer and, where there is one, passage."""
        said = (self.question, self.answer)
        return said if self.passage is None else (*said, self.passage)


@dataclass(frozen=True)
class Example:
    """A pair with its verdict: `label` is 1 when the answer suits this customer, else 0."""

    pair: Pair
    label: int
    at: datetime | None = None
    weight: float = 1.0


def read_examples(source: TextIO, *, name: str, labelled: bool = True) -> list[Example]:
    """Read every line of `source`, or raise `BadExamples` naming file, line and expectation.

    With `labelled=False` the label may be missing (scoring needs none) and counts as 0.
    """
    examples = [example for _, example in read_rows(source, name=name, labelled=labelled)]
    if not examples:
        raise BadExamples(f"{name}: no examples; expected at least one JSON object a line")
    return examples


def read_rows(
    source: TextIO,
    *,
    name: str,
    labelled: bool = True,
    check: Callable[[Example], None] | None = None,
) -> Iterator[tuple[dict[str, Any], Example]]:
    """Yield each line as the object that was read and the example it makes.

    What `check` says against an example, as `BadExamples`, is told with file and line too.
    """

    def make(row: dict[str, Any]) -> Example:
        example = from_row(row, labelled=labelled)
        if check is not None:
            check(example)
        return example

    return read_objects(source, make, name=name)


def read_objects(
    source: TextIO, make: Callable[[dict[str, Any]], T], *, name: str
) -> Iterator[tuple[dict[str, Any], T]]:
    """Yield each line's JSON object and what `make` makes of it; `BadExamples` names a bad line."""
    for number, line in enumerate(source, start=1):
        if line.strip():
            with bad_line_named(name, number):
                row = _from_json(line)
                if not isinstance(row, dict):
                    raise BadExamples(f"got {type(row).__name__}; expected a JSON object")
                made = make(row)
            yield row, made


def _from_json(line: str) -> object:
    try:
        return json.loads(line.rstrip())
    except json.JSONDecodeError as exc:  # its own words count lines too, from the same 1
        raise BadExamples(f"{exc.msg} at column {exc.colno}; expected a JSON object") from exc


@contextmanager
def bad_line_named(name: str, number: int) -> Iterator[None]:
    """Raise what is wrong with a line as `BadExamples` that starts with its file and number."""
    try:
        yield
    except (ValueError, RecursionError, BadExamples, BadCustomer) as exc:
        raise BadExamples(f"{name}, line {number}: {exc}") from exc


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line; the file appears whole or not at all."""
    unfinished = path.with_name(path.name + ".partial")
    # A half character, which JSON may hold and UTF-8 may not, is written as JSON's own escape.
    with unfinished.open("w", encoding="utf-8", errors="backslashreplace") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    unfinished.replace(path)


def as_row(example: Example) -> dict[str, Any]:
    """Return the example as the JSON object that `read_examples` reads."""
    customer = example.pair.customer
    row: dict[str, Any] = {
        "customer": {
            "id": customer.id,
            "segment": customer.segment,
            "features": dict(customer.features),
        },
        "history": list(customer.history),
        "question": example.pair.question,
        "answer": example.pair.answer,
        "label": example.label,
        "weight": example.weight,
    }
    if example.pair.passage is not None:
        row["passage"] = example.pair.passage
    if example.at is not None:
        row["at"] = example.at.isoformat()
    return row


def numbered(names: Sequence[str]) -> NDArray[np.intp]:
    """Return each name's place among the distinct ones, sorted, (n,); they may be of any length."""
    place = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([place[name] for name in names], dtype=np.intp)


def digest(examples: Iterable[Example]) -> str:
    """Return the sha256 of examples in their order, as an adapter's manifest names its data."""
    read = hashlib.sha256()
    for example in examples:
        read.update(json.dumps(as_row(example), sort_keys=True).encode())
    return read.hexdigest()


def asked_by(row: Mapping[str, Any]) -> tuple[Customer, datetime | None]:
    """Return the customer of one line, as they were at its `at`, and that moment."""
    customer = row.get("customer")
    expect(isinstance(customer, dict), "customer", "an object with id and features", customer)
    at = _moment(row.get("at"))
    day = at.date() if at else None
    return Customer.from_row(row["customer"], row.get("history", ()), day), at


def from_row(row: Mapping[str, Any], *, labelled: bool = True) -> Example:
    """Return the example that a JSON object says; raises `BadExamples` or `BadCustomer`.

    With `labelled=False` the label may be missing and counts as 0.
    """
    customer, at = asked_by(row)
    for field in ("question", "answer"):
        expect(isinstance(row.get(field), str), field, "a string", row.get(field))
    passage = row.get("passage")
    expect(passage is None or isinstance(passage, str), "passage", "a string", passage)
    label, weight = row.get("label"), row.get("weight", 1.0)
    if labelled or label is not None:
        expect(label in (0, 1) and label is not None, "label", "0 or 1", label)
    expect(_weighs(weight), "weight", f"a number above 0, at most {MOST_WEIGHT:g}", weight)
    pair = Pair(row["question"], row["answer"], customer, passage)
    return Example(pair, int(label or 0), at, float(weight))


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise BadExamples(f"at is {value!r}; expected an ISO 8601 time") from None


def _weighs(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and is_finite(value)
        and 0 < value <= MOST_WEIGHT
    )


def expect(holds: object, field: str, expected: str, got: object) -> None:
    """Raise `BadExamples` with what was got and expected unless the condition holds."""
    if not holds:
        raise BadExamples(f"{field} is {got!r}; expected {expected}")
