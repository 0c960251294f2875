"""Which labelled examples a tenant has, what is learnt from and what is kept to judge by.

They come from three places: what people did with suggestions, examples that were imported, and the
regression set, which nothing is ever trained on. A customer is on one side only.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade.verdicts import labels_of
from scoring.examples import Example, Pair, from_row
from webapp import customers
from webapp.drift import as_verdict
from webapp.models import Feedback, RegressionCase, Suggestion, TrainingRow

Origin = Literal["feedback", "imported", "regression"]

HELD_OUT_SHARE = 0.2
"""The share of customers who are kept to judge by, drawn by their id and so for ever."""
NEWEST_SHARE = 0.1
"""The customers of this newest share of verdicts are kept too, until there are newer ones."""
LARGEST_SHARE = 0.25
"""No single person's verdicts weigh more than this share of all that a run learns from."""


@dataclass(frozen=True)
class Row:
    """One labelled example, where it comes from, and who said so, if a person did."""

    example: Example
    origin: Origin
    actor: str | None = None

    @property
    def customer(self) -> str:
        """The customer's id."""
        return self.example.pair.customer.id

    @property
    def segment(self) -> str | None:
        """The customer's segment."""
        return self.example.pair.customer.segment


@dataclass(frozen=True)
class Split:
    """What a run learns from, and what its adapter is judged by."""

    learnt: tuple[Row, ...]
    kept: tuple[Row, ...]


def collect(session: Session, tenant_id: str, *, before: datetime) -> list[Row]:
    """Return all labelled examples that were there at a moment, in a fixed order."""
    return [
        *_imported(session, tenant_id, before),
        *feedback_rows(session, tenant_id, before=before),
        *_regression(session, tenant_id, before),
    ]


def feedback_rows(session: Session, tenant_id: str, *, before: datetime) -> list[Row]:
    """Return what the verdicts up to a moment say, by the rule of `cascade.verdicts`.

    Withdrawn ones say nothing, nor do suggestions that nobody did anything with.
    """
    given = session.scalars(
        select(Feedback)
        .where(
            Feedback.tenant_id == tenant_id,
            Feedback.withdrawn_at.is_(None),
            Feedback.created_at <= before,
        )
        .order_by(Feedback.created_at, Feedback.id)
    )
    by_suggestion: dict[str, list[Feedback]] = defaultdict(list)
    for each in given:
        by_suggestion[each.suggestion_id].append(each)
    with_verdicts = select(Suggestion).where(
        Suggestion.tenant_id == tenant_id,
        Suggestion.id.in_(select(Feedback.suggestion_id).where(Feedback.tenant_id == tenant_id)),
    )
    suggestions = {each.id: each for each in session.scalars(with_verdicts)}
    rows = []
    for suggestion_id, verdicts in by_suggestion.items():
        suggestion = suggestions[suggestion_id]
        customer = customers.as_scored(suggestion.shown)
        for label in labels_of(suggestion.answer, [as_verdict(each) for each in verdicts]):
            pair = Pair(suggestion.question, label.text, customer)
            example = Example(pair, label.label, verdicts[-1].created_at, label.weight)
            rows.append(Row(example, "feedback", verdicts[-1].actor))
    return rows


def is_kept(customer: str) -> bool:
    """Return whether a customer is one of those who are kept to judge by, whatever happens."""
    digest = hashlib.sha256(f"kept {customer}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 < HELD_OUT_SHARE


def split(rows: Sequence[Row]) -> Split:
    """Keep some customers to judge by: a fixed share, the newest, and all of the regression set.

    What such customers said is not learnt from, wherever it comes from.
    """
    kept = _newest([row for row in rows if row.origin == "feedback"])
    kept |= {row.customer for row in rows if row.origin == "regression" or is_kept(row.customer)}
    return Split(
        tuple(row for row in rows if row.customer not in kept),
        tuple(row for row in rows if row.customer in kept),
    )


def capped(rows: Sequence[Row]) -> list[Example]:
    """Return the examples to learn from, no person weighing more than `LARGEST_SHARE` of all."""
    total = sum(row.example.weight for row in rows)
    by_actor: dict[str, float] = defaultdict(float)
    for row in rows:
        if row.actor is not None:
            by_actor[row.actor] += row.example.weight
    most = LARGEST_SHARE * total
    scale = {actor: min(1.0, most / weight) for actor, weight in by_actor.items()}
    return [
        replace(row.example, weight=row.example.weight * scale.get(row.actor or "", 1.0))
        for row in rows
    ]


def _newest(rows: Sequence[Row]) -> set[str]:
    """Return the customers of the newest verdicts."""
    times = np.array([row.example.at.timestamp() for row in rows if row.example.at is not None])
    if not len(times):
        return set()
    from_then = np.quantile(times, 1 - NEWEST_SHARE)
    return {
        row.customer
        for row in rows
        if row.example.at is not None and row.example.at.timestamp() > from_then
    }


def _imported(session: Session, tenant_id: str, before: datetime) -> list[Row]:
    stored = session.scalars(
        select(TrainingRow)
        .where(TrainingRow.tenant_id == tenant_id, TrainingRow.created_at <= before)
        .order_by(TrainingRow.created_at, TrainingRow.id)
    )
    return [Row(from_row(each.row), "imported") for each in stored]


def _regression(session: Session, tenant_id: str, before: datetime) -> list[Row]:
    stored = session.scalars(
        select(RegressionCase)
        .where(RegressionCase.tenant_id == tenant_id, RegressionCase.created_at <= before)
        .order_by(RegressionCase.created_at, RegressionCase.id)
    )
    return [Row(from_row(each.row), "regression") for each in stored]
