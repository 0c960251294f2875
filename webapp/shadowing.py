"""Challengers score live tickets after the fact; nothing they say is served, all of it is kept."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade import DraftRequest
from cascade.verdicts import labels_of
from webapp import customers, promotion
from webapp.db import Database
from webapp.desk import Desk
from webapp.drift import as_verdict
from webapp.models import Feedback, ShadowScore, Suggestion, SuggestionStep
from webapp.suggestions import Begun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """What a challenger would have done on live tickets, beside what the champion did.

    Of `candidates` answers both would accept or refuse the same `alike`; `only_challenger` it alone
    would accept, `only_champion` the champion alone did. Of `judged` answers that a person has
    judged since, each was right about so many: its chance was on the right side of the threshold.
    """

    candidates: int
    alike: int
    only_challenger: int
    only_champion: int
    judged: int
    right_challenger: int
    right_champion: int


def score(database: Database, desk: Desk, begun: Begun) -> int:
    """Score a finished suggestion's candidates with its segment's challenger; how many it were."""
    with database.read() as session:
        row = session.get(Suggestion, begun.suggestion_id)
        if row is None:
            return 0
        version = promotion.challengers(session, begun.tenant_id).get(row.segment or "")
        steps = [step for step in row.steps if step.score is not None and step.answer]
        question, shown = row.question, row.shown
    if version is None or not steps:
        return 0
    customer = customers.as_scored(shown)
    passages = begun.setup.knowledge.passages_for(question)
    request = DraftRequest(question, customer, passages)
    said = desk.score_with(request, [step.answer or "" for step in steps], version)
    with database.write() as session:
        if session.get(Suggestion, begun.suggestion_id) is None:
            return 0  # Its customer was erased meanwhile.
        for step, value in zip(steps, said, strict=True):
            session.add(
                ShadowScore(
                    tenant_id=begun.tenant_id,
                    suggestion_id=begun.suggestion_id,
                    position=step.position,
                    adapter=version,
                    score=value,
                )
            )
    return len(steps)


def compare(session: Session, tenant_id: str, version: str) -> Comparison:
    """Return how a challenger has done on live tickets so far."""
    rows = session.execute(
        select(ShadowScore.score, SuggestionStep, Suggestion)
        .join(
            SuggestionStep,
            (SuggestionStep.tenant_id == ShadowScore.tenant_id)
            & (SuggestionStep.suggestion_id == ShadowScore.suggestion_id)
            & (SuggestionStep.position == ShadowScore.position),
        )
        .join(
            Suggestion,
            (Suggestion.tenant_id == ShadowScore.tenant_id)
            & (Suggestion.id == ShadowScore.suggestion_id),
        )
        .where(ShadowScore.tenant_id == tenant_id, ShadowScore.adapter == version)
    ).all()
    decided = [
        (value >= step.threshold, (step.score or 0.0) >= step.threshold) for value, step, _ in rows
    ]
    judged = [
        (pair, _label(step, suggestion))
        for pair, (_, step, suggestion) in zip(decided, rows, strict=True)
    ]
    known = [(pair, label) for pair, label in judged if label is not None]
    return Comparison(
        candidates=len(rows),
        alike=sum(new == old for new, old in decided),
        only_challenger=sum(new and not old for new, old in decided),
        only_champion=sum(old and not new for new, old in decided),
        judged=len(known),
        right_challenger=sum(new == label for (new, _), label in known),
        right_champion=sum(old == label for (_, old), label in known),
    )


def _label(step: SuggestionStep, suggestion: Suggestion) -> bool | None:
    """Return whether a person found that this very candidate suits, None where nobody said."""
    given: Sequence[Feedback] = [row for row in suggestion.feedback if row.withdrawn_at is None]
    labels = labels_of(suggestion.answer, [as_verdict(row) for row in given])
    return next((each.label == 1 for each in labels if each.text == step.answer), None)
