"""Challengers score live tickets after the fact; nothing they say is served, all of it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from cascade import DraftRequest
from cascade.verdicts import labels_of
from scoring.segments import SHARED
from webapp import customers, promotion
from webapp.db import Database
from webapp.desk import Desk
from webapp.drift import as_verdict
from webapp.models import Feedback, ShadowScore, Suggestion, SuggestionStep
from webapp.promotion import Standing
from webapp.suggestions import Begun


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
    """Score a finished suggestion's candidates with its segment's challenger; how many it were.

    As the champion's, a score is read by its tier's calibration. A segment without an adapter of
    its own is scored by the shared champion, so the shared adapter's challenger shadows it.
    """
    with database.read() as session:
        row = session.get(Suggestion, begun.suggestion_id)
        if row is None:
            return 0
        version = _challenger_of(session, begun, row.segment)
        steps = [step for step in row.steps if step.score is not None and step.answer]
        question, shown, ticket = row.question, row.shown, row.ticket.external_id
    if version is None or not steps:
        return 0
    request = DraftRequest(
        question, customers.as_scored(shown), begun.setup.knowledge.passages_for(question)
    )
    said = desk.score_with(request, [step.answer or "" for step in steps], version)
    tiers = begun.setup.policy.for_ticket(ticket).tiers
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
                    score=float(tiers[step.tier].chances(value)),
                )
            )
    return len(steps)


def _challenger_of(session: Session, begun: Begun, segment: str | None) -> str | None:
    """Return what challenges the adapter that scored this segment's ticket."""
    challengers = promotion.challengers(session, begun.tenant_id)
    own = challengers.get(segment) if segment is not None else None
    falls_back = segment not in begun.setup.champions
    return own or (challengers.get(SHARED) if falls_back else None)


def compare(session: Session, tenant_id: str, standing: Standing) -> Comparison | None:
    """Return how the segment's challenger does beside its champion, None where nothing challenges.

    Answers that another champion scored don't count.
    """
    if standing.challenger is None:
        return None
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
        .where(
            ShadowScore.tenant_id == tenant_id,
            ShadowScore.adapter == standing.challenger,
            SuggestionStep.adapter == standing.champion,
        )
        .options(selectinload(Suggestion.feedback))
    ).all()
    return _counted(
        [
            ((value >= step.threshold, (step.score or 0.0) >= step.threshold), _label(step, row))
            for value, step, row in rows
        ]
    )


def _counted(decided: Sequence[tuple[tuple[bool, bool], bool | None]]) -> Comparison:
    """Count pairs of decisions, challenger and champion, each with what a person said of it."""
    known = [(pair, label) for pair, label in decided if label is not None]
    return Comparison(
        candidates=len(decided),
        alike=sum(new == old for (new, old), _ in decided),
        only_challenger=sum(new and not old for (new, old), _ in decided),
        only_champion=sum(old and not new for (new, old), _ in decided),
        judged=len(known),
        right_challenger=sum(new == label for (new, _), label in known),
        right_champion=sum(old == label for (_, old), label in known),
    )


def _label(step: SuggestionStep, suggestion: Suggestion) -> bool | None:
    """Return whether a person found that this very candidate suits, None where nobody said."""
    given: Sequence[Feedback] = [row for row in suggestion.feedback if row.withdrawn_at is None]
    labels = labels_of(suggestion.answer, [as_verdict(row) for row in given])
    return next((each.label == 1 for each in labels if each.text == step.answer), None)
