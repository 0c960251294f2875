"""Recorded outcomes, and what a policy would have done with them."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from cascade.errors import BadOutcomes
from cascade.policy import Policy, Source, Tier
from cascade.text import UNREADABLE
from scoring.customer import Customer

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

NO_UTF8 = re.compile("[\udc80-\udcff]")

MOST_USD = 1e9
"""More than any answer costs, and little enough that sums of costs stay finite."""

NO_SEGMENT = "-"
"""How rows without a segment are named in reports."""


@dataclass(frozen=True)
class Row:
    """One question: its name in the log, who asked, and what each model answered."""

    id: str
    segment: str | None
    customer: Customer | None
    question: str | None
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Outcomes:
    """n questions, each answered by the same m models.

    `cost` (n, m) is in US dollars, `quality` (n, m) and `score` (n, m) are in [0, 1]; `score` and
    `latency_ms` (n, m) are NaN where the log has none. `sources` says what kind each model is.
    """

    name: str
    rows: tuple[Row, ...]
    models: tuple[str, ...]
    sources: tuple[Source, ...]
    cost: Numbers
    quality: Numbers
    score: Numbers
    latency_ms: Numbers

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments that occur, sorted."""
        return tuple(sorted({row.segment or NO_SEGMENT for row in self.rows}))

    def of_segment(self, segment: str) -> NDArray[np.bool_]:
        """Which rows are this segment's, (n,)."""
        return np.array([(row.segment or NO_SEGMENT) == segment for row in self.rows])

    def take(self, places: Places | NDArray[np.bool_]) -> "Outcomes":
        """These rows, in this order."""
        order = np.arange(len(self))[places]
        arrays = {name: getattr(self, name)[order] for name in ARRAYS}
        return replace(self, rows=tuple(self.rows[place] for place in order), **arrays)

    def of_models(self, models: Sequence[str]) -> "Outcomes":
        """The same rows with these models only, in this order.

        Raises `BadOutcomes` for a model that the log does not hold.
        """
        absent = [model for model in models if model not in self.models]
        if absent:
            raise BadOutcomes(
                f"{self.name} does not hold {', '.join(absent)}; it has: {', '.join(self.models)}"
            )
        columns = [self.models.index(model) for model in models]
        arrays = {name: getattr(self, name)[:, columns] for name in ARRAYS}
        rows = tuple(
            replace(row, answers=tuple(row.answers[column] for column in columns))
            for row in self.rows
        )
        sources = tuple(self.sources[column] for column in columns)
        return replace(self, rows=rows, models=tuple(models), sources=sources, **arrays)

    def without(self, others: "Outcomes") -> None:
        """Raise `BadOutcomes` if a row is also in the other log."""
        both = {row.id for row in self.rows} & {row.id for row in others.rows}
        if both:
            raise BadOutcomes(
                f"{self.name} and {others.name} share {len(both)} rows, {min(both)!r} among them; "
                "what is measured on rows that were chosen on says nothing; split the log by id"
            )


ARRAYS = ("cost", "quality", "score", "latency_ms")

ScoreAnswers = Callable[[Sequence[tuple[str, str, Customer]]], Sequence[float]]
"""Scores answers: (question, answer, customer) in, numbers in [0, 1] out, in the same order."""


def read_outcomes(lines: Iterable[str], *, name: str) -> Outcomes:
    """Read a log in JSON lines; raises `BadOutcomes` naming file, line and expectation."""
    read: list[_Line] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            _check_utf8(line)
            made = _line(_parsed(line), read[0] if read else None)
            _expect(made.row.id not in seen, "id", "one that no line before has", made.row.id)
        except (ValueError, RecursionError, BadOutcomes) as exc:
            raise BadOutcomes(f"{name}, line {number}: {exc}") from exc
        seen.add(made.row.id)
        read.append(made)
    if not read:
        raise BadOutcomes(f"{name}: no outcomes; expected at least one JSON object a line")
    arrays = {field: np.stack([getattr(line, field) for line in read]) for field in ARRAYS}
    rows = tuple(line.row for line in read)
    return Outcomes(name, rows, read[0].models, read[0].sources, **arrays)


def fill_scores(outcomes: Outcomes, score: ScoreAnswers) -> Outcomes:
    """The log with every missing score filled in by the scorer.

    Raises `BadOutcomes` where such a row has no customer, question or answer text.
    """
    missing = [(int(row), int(model)) for row, model in np.argwhere(np.isnan(outcomes.score))]
    if not missing:
        return outcomes
    given = score([_scorable(outcomes, row, model) for row, model in missing])
    filled = outcomes.score.copy()
    for (row, model), value in zip(missing, given, strict=True):
        filled[row, model] = value
    return replace(outcomes, score=filled)


def check_scored(outcomes: Outcomes) -> None:
    """Raise `BadOutcomes` where a score is missing."""
    missing = np.argwhere(np.isnan(outcomes.score))
    if len(missing):
        row, model = missing[0]
        raise BadOutcomes(
            f"{outcomes.name}: {len(missing)} answers have no score, the first is "
            f"{outcomes.models[model]!r}'s in {outcomes.rows[row].id!r}; add them to the log, or "
            "name trained adapters with --adapters, which score answers for their customers"
        )


@dataclass(frozen=True)
class Human:
    """Who answers what no model answers well enough.

    `price` is US dollars a ticket, `quality` the share they get right, `capacity` the largest
    share of tickets that can go to them.
    """

    price: float
    quality: float = 1.0
    capacity: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.price <= MOST_USD:
            raise BadOutcomes(
                f"a human's price is {self.price!r}; expected US dollars, 0 or more, at most 1e9"
            )
        for name in ("quality", "capacity"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadOutcomes(
                    f"a human's {name} is {getattr(self, name)!r}; expected a share in [0, 1]"
                )


@dataclass(frozen=True)
class Replayed:
    """What a policy did with each of n rows.

    `tier` (n,) is the place in the chain of the answer that was given, the accepted one or the
    best-scored one seen, `model` (n,) its model's place in the log; `asked` (n,) counts the tiers
    that were asked, `chance` (n,) is what the answer was thought to be worth. `cost` (n,) in US
    dollars and `quality` (n,) count the human's where the row is not `accepted` and there is one.
    """

    tier: Places
    model: Places
    asked: Places
    accepted: NDArray[np.bool_]
    chance: Numbers
    cost: Numbers
    quality: Numbers


def run(policy: Policy, outcomes: Outcomes, *, human: Human | None = None) -> Replayed:
    """Run the policy over a log whose answers are scored, as `cascade.answering.answer` would.

    Budgets and the deadline depend on the moment and are not replayed. What is not accepted goes
    to the human, or counts as the best-scored answer where there is none. Raises `BadOutcomes` for
    a model the log does not hold, for missing scores, and for a log without rows.
    """
    _expect(len(outcomes), f"{outcomes.name}: the number of rows", "one or more", len(outcomes))
    check_scored(outcomes)
    own, other = np.ones(len(outcomes), dtype=bool), policy.tiers
    if policy.instead is not None:
        other = policy.instead.tiers
        own = np.array([policy.for_ticket(row.id).tiers == policy.tiers for row in outcomes.rows])
    ways = [(np.flatnonzero(own), policy.tiers), (np.flatnonzero(~own), other)]
    parts = [(rows, _run(tiers, outcomes.take(rows))) for rows, tiers in ways if len(rows)]
    order = np.concatenate([rows for rows, _ in parts]).argsort()
    joined = {
        field: np.concatenate([getattr(part, field) for _, part in parts])[order]
        for field in Replayed.__dataclass_fields__
    }
    done = Replayed(**joined)
    if human is None:
        return done
    handed = ~done.accepted
    return replace(
        done,
        cost=done.cost + handed * human.price,
        quality=np.where(handed, human.quality, done.quality),
    )


def _run(tiers: tuple[Tier, ...], outcomes: Outcomes) -> Replayed:
    columns = [_column(tier, outcomes) for tier in tiers]
    rows = np.arange(len(outcomes))
    chances = np.stack(
        [
            tier.chances(outcomes.score[:, column])
            for tier, column in zip(tiers, columns, strict=True)
        ]
    )  # (tiers, n)
    thresholds = np.stack([_thresholds(tier, outcomes) for tier in tiers])
    passes = chances >= thresholds
    accepted: NDArray[np.bool_] = passes.max(0)
    first, last = passes.argmax(0), len(tiers) - 1
    tier = np.where(accepted, first, chances.argmax(0))
    asked = np.where(accepted, first, last) + 1
    spent = outcomes.cost[:, columns].cumsum(1)
    model = np.array(columns)[tier]
    return Replayed(
        tier=tier,
        model=model,
        asked=asked,
        accepted=accepted,
        chance=chances[tier, rows],
        cost=spent[rows, asked - 1],
        quality=outcomes.quality[rows, model],
    )


def _thresholds(tier: Tier, outcomes: Outcomes) -> Numbers:
    thresholds = np.full(len(outcomes), float(tier.threshold))
    for segment, own in tier.segment_thresholds.items():
        thresholds[[row.segment == segment for row in outcomes.rows]] = own
    return thresholds


def _column(tier: Tier, outcomes: Outcomes) -> int:
    if tier.model not in outcomes.models:
        known = ", ".join(outcomes.models)
        raise BadOutcomes(
            f"the policy asks {tier.model!r}, which {outcomes.name} does not hold; it has: {known}"
        )
    return outcomes.models.index(tier.model)


@dataclass(frozen=True)
class _Line:
    row: Row
    models: tuple[str, ...]
    sources: tuple[Source, ...]
    cost: list[float]
    quality: list[float]
    score: list[float]
    latency_ms: list[float]


def _parsed(line: str) -> object:
    try:
        return json.loads(line.rstrip())
    except json.JSONDecodeError as exc:
        raise BadOutcomes(
            f"{exc.msg} at column {exc.colno}; expected one JSON object a line"
        ) from exc


def _line(data: object, first: _Line | None) -> _Line:
    """What one line says, its models in the order of the first line's."""
    if not isinstance(data, dict):
        raise BadOutcomes(f"got {type(data).__name__}; expected a JSON object")
    name, question = data.get("id"), data.get("question")
    _expect(isinstance(name, str) and name, "id", "a string, non-empty", name)
    _expect(question is None or isinstance(question, str), "question", "a string", question)
    customer = _customer(data)
    answers = _answers(data.get("answers"))
    sources = {model: _source(model, answer) for model, answer in answers.items()}
    if first is not None:
        answers = _as_before(first, answers, sources)
    given = answers.values()
    return _Line(
        row=Row(
            str(name),
            _segment(data, customer),
            customer,
            question,
            tuple(answer.get("text") or "" for answer in given),
        ),
        models=tuple(answers),
        sources=tuple(sources[model] for model in answers),
        cost=[_number(answer, "cost", DOLLARS, most=MOST_USD) for answer in given],
        quality=[_number(answer, "quality", SHARE) for answer in given],
        score=[_number(answer, "score", SHARE, optional=True) for answer in given],
        latency_ms=[
            _number(answer, "latency_ms", FINITE, most=sys.float_info.max, optional=True)
            for answer in given
        ],
    )


def _as_before(
    first: _Line, answers: Mapping[str, Mapping[str, Any]], sources: Mapping[str, Source]
) -> dict[str, Mapping[str, Any]]:
    """The answers in the first line's order, which must have the same models and sources."""
    _expect(set(answers) == set(first.models), "models", ", ".join(first.models), sorted(answers))
    for model, before in zip(first.models, first.sources, strict=True):
        expected = f"{before}, as on the lines before"
        _expect(sources[model] == before, f"source of {model!r}", expected, sources[model])
    return {model: answers[model] for model in first.models}


def _segment(data: Mapping[str, Any], customer: Customer | None) -> str | None:
    segment = data.get("segment")
    _expect(segment is None or isinstance(segment, str), "segment", "a string or null", segment)
    if segment is None and customer is not None:
        segment = customer.segment
    _check_readable("segment", segment or "")
    return segment


def _answers(data: object) -> dict[str, Mapping[str, Any]]:
    _expect(isinstance(data, list) and data, "answers", "a list with an object a model", data)
    by_model: dict[str, Mapping[str, Any]] = {}
    for answer in cast(list[object], data):
        if not isinstance(answer, dict):
            raise BadOutcomes(f"an answer is {answer!r:.60}; expected an object")
        model, text = answer.get("model"), answer.get("text")
        _expect(isinstance(model, str) and model, "model", "a string, non-empty", model)
        _check_readable("model", str(model))
        _expect(text is None or isinstance(text, str), "text", "a string", text)
        _expect(model not in by_model, "model", "one that has no other answer here", model)
        by_model[str(model)] = answer
    return by_model


def _customer(data: Mapping[str, Any]) -> Customer | None:
    customer = data.get("customer")
    if customer is None:
        return None
    _expect(isinstance(customer, dict), "customer", "an object with id and features", customer)
    day = _day(data.get("at"))
    try:
        return Customer.from_row(customer, data.get("history", ()), day)
    except Exception as exc:
        raise BadOutcomes(str(exc)) from exc


def _day(at: object) -> date | None:
    try:
        return None if at is None else datetime.fromisoformat(str(at)).date()
    except ValueError:
        expected = "a moment in ISO 8601, such as 2026-04-01T09:00:00Z"
        raise BadOutcomes(f"at is {at!r:.60}; expected {expected}") from None


def _source(model: str, answer: Mapping[str, Any]) -> Source:
    named: dict[str, Source] = {"macros": "macro", "cache": "cache"}
    source = answer.get("source", named.get(model, "llm"))
    _expect(source in get_args(Source), "source", ", ".join(get_args(Source)), source)
    return cast(Source, source)


DOLLARS = "a finite number of US dollars, 0 or more, at most 1e9"
FINITE = "a finite number, 0 or more"
SHARE = "a number from 0 to 1"


def _number(
    answer: Mapping[str, Any],
    field: str,
    expected: str,
    *,
    most: float = 1.0,
    optional: bool = False,
) -> float:
    value = answer.get(field)
    if value is None and optional:
        return float("nan")
    known = isinstance(value, int | float) and not isinstance(value, bool)
    # JSON's integers have no limit, and one beyond all floats must not get as far as `float`.
    good = known and 0 <= cast(float, value) <= most
    _expect(good, f"{field} of {answer['model']!r:.60}", expected, value)
    return float(cast(float, value))


def _scorable(outcomes: Outcomes, place: int, model: int) -> tuple[str, str, Customer]:
    row = outcomes.rows[place]
    if row.customer is None or row.question is None or not row.answers[model].strip():
        raise BadOutcomes(
            f"{outcomes.name}: row {row.id!r} has no score for {outcomes.models[model]!r} and not "
            "all of question, customer and text, from which the scorer could make one; add either"
        )
    return row.question, row.answers[model], row.customer


def _check_utf8(line: str) -> None:
    """Raise `BadOutcomes` for a byte that was no UTF-8, as `surrogateescape` keeps it."""
    if found := NO_UTF8.search(line):
        raise BadOutcomes(f"byte 0x{ord(found[0]) - 0xDC00:02x} is no UTF-8; expected UTF-8 text")


def _check_readable(field: str, text: str) -> None:
    """Raise `BadOutcomes` for text that the service refuses in a policy and no page can show."""
    if found := UNREADABLE.search(text):
        raise BadOutcomes(
            f"{field} is {text!r:.60} and holds U+{ord(found[0]):04X}; expected text without "
            "control characters and halves of surrogate pairs"
        )


def _expect(holds: object, field: str, expected: str, got: object) -> None:
    if not holds:
        raise BadOutcomes(f"{field} is {got!r:.60}; expected {expected}")
