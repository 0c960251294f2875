"""Verdicts that cannot both be right: opposite ones on the same answer for customers alike."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cascade.verdicts import WORD
from webapp import reviews
from webapp.db import Database
from webapp.models import Feedback, Review, Suggestion, utc_now
from webapp.standing import labels_of_answers

REASON = "Two people disagree on the same answer to the same question for customers alike."
WITHDRAWN = "A verdict was withdrawn, and what is left does not contradict."
LOOKED_AT = 20_000
"""So many judged suggestions are looked through at most, the newest first."""


def report(database: Database, feedback_id: str) -> str | None:
    """Put what contradicts this verdict on the review queue; return the review's id, if there is.

    A pair stands there once, whatever became of it, and a suggestion is in one open contradiction
    at a time; settling that one is a verdict again, which brings up the next.
    """
    with database.read() as session:
        opposed = _opposed(session, session.get_one(Feedback, feedback_id))
    if not opposed:
        return None
    with database.write() as session:
        verdict = session.get_one(Feedback, feedback_id)
        return _add(session, session.get_one(Suggestion, verdict.suggestion_id), opposed)


def drop_settled(session: Session, tenant_id: str) -> int:
    """Take those off the queue whose verdicts, as they count now, do not contradict any more."""
    waiting = session.scalars(
        select(Review).where(
            Review.tenant_id == tenant_id,
            Review.kind == "contradiction",
            Review.status == "open",
        )
    ).all()
    settled = [each for each in waiting if not _is_contradiction(session, each)]
    for review in settled:
        review.status, review.note, review.closed_at = "dismissed", WITHDRAWN, utc_now()
    return len(settled)


def normalised(text: str) -> str:
    """Return a text's words alone: case, spaces and punctuation do not count."""
    return " ".join(WORD.findall(text.casefold()))


def _opposed(session: Session, verdict: Feedback) -> list[str]:
    """Return the ids of the suggestions on which others' verdicts say the opposite."""
    mine = session.get_one(Suggestion, verdict.suggestion_id)
    label = labels_of_answers(session, [mine])[mine.id]
    if label is None:
        return []
    same_words = _same_words(session, mine, verdict.actor)
    alike = [each for each in same_words if _for_alike(mine, each)]
    labels = labels_of_answers(session, alike)
    return [each.id for each in alike if labels[each.id] == 1 - label]


def _same_words(session: Session, mine: Suggestion, actor: str) -> Sequence[Suggestion]:
    """Return the suggestions judged by others that gave the same answer to the same question."""
    by_others = exists().where(
        Feedback.tenant_id == Suggestion.tenant_id,
        Feedback.suggestion_id == Suggestion.id,
        Feedback.withdrawn_at.is_(None),
        Feedback.actor != actor,
    )
    texts = session.execute(
        select(Suggestion.id, Suggestion.question, Suggestion.answer)
        .where(
            Suggestion.tenant_id == mine.tenant_id,
            Suggestion.id != mine.id,
            Suggestion.answer.is_not(None),
            or_(
                Suggestion.customer_id == mine.customer_id,
                Suggestion.segment.is_not_distinct_from(mine.segment),
            ),
            by_others,
        )
        .order_by(Suggestion.created_at.desc())
        .limit(LOOKED_AT)
    )
    meant = normalised(mine.question), normalised(mine.answer or "")
    same = [
        each
        for each, asked, answer in texts
        if (normalised(asked), normalised(answer or "")) == meant
    ]
    query = select(Suggestion).where(
        Suggestion.tenant_id == mine.tenant_id, Suggestion.id.in_(same)
    )
    return session.scalars(query.order_by(Suggestion.created_at.desc())).all() if same else []


def _for_alike(one: Suggestion, other: Suggestion) -> bool:
    """Return whether both were made for one customer, or for two whom the scorer cannot tell."""
    if one.customer_id == other.customer_id:
        return True
    same_features = bool(one.shown["features"] == other.shown["features"])
    return same_features and one.segment == other.segment


def _add(session: Session, mine: Suggestion, opposed: Sequence[str]) -> str | None:
    """Add the first pair that was never on the queue, unless one of it is in an open one."""
    for other_id in opposed:
        other = session.get_one(Suggestion, other_id)
        older, newer = sorted((mine, other), key=lambda each: (each.created_at, each.id))
        if _is_known(session, newer, older) or _has_open(session, mine, other):
            continue
        try:
            with session.begin_nested():
                return reviews.add(
                    session,
                    mine.tenant_id,
                    "contradiction",
                    reason=REASON,
                    suggestion_id=newer.id,
                    other_id=older.id,
                    nth=1 + _count(session, newer),
                ).id
        except IntegrityError:
            # Another verdict on the newer one has just been found to contradict, too.
            return None
    return None


def _is_contradiction(session: Session, review: Review) -> bool:
    both = [each for each in (review.suggestion, review.other) if each is not None]
    return set(labels_of_answers(session, both).values()) == {0, 1}


def _is_known(session: Session, newer: Suggestion, older: Suggestion) -> bool:
    pair = exists().where(*_on(newer), Review.other_id == older.id)
    return bool(session.scalar(select(pair)))


def _has_open(session: Session, *which: Suggestion) -> bool:
    ids = [each.id for each in which]
    open_one = exists().where(
        Review.tenant_id == which[0].tenant_id,
        Review.kind == "contradiction",
        Review.status == "open",
        or_(Review.suggestion_id.in_(ids), Review.other_id.in_(ids)),
    )
    return bool(session.scalar(select(open_one)))


def _count(session: Session, newer: Suggestion) -> int:
    return session.scalar(select(func.count()).select_from(Review).where(*_on(newer))) or 0


def _on(newer: Suggestion) -> tuple[ColumnElement[bool], ...]:
    return (
        Review.tenant_id == newer.tenant_id,
        Review.suggestion_id == newer.id,
        Review.kind == "contradiction",
    )
