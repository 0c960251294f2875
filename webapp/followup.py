"""What follows an answer or a verdict, after all that people wait for.

A failure is logged and stops nothing.
"""

import logging
from collections.abc import Callable

from sqlalchemy import exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp import contradictions, policies, remembering, reviews, shadowing, suggestions
from webapp.db import Database
from webapp.desk import Desk
from webapp.drift import alarmed
from webapp.errors import places
from webapp.models import Feedback, LivePolicy, Review
from webapp.suggestions import Begun

log = logging.getLogger(__name__)

ALARM = "Accepted answers are wrong more often than was certified."


def make(database: Database, desk: Desk, begun: Begun) -> None:
    """Make the suggestion, then see to what follows it."""
    suggestions.run(database, desk, begun)
    of_run(database, desk, begun)


def of_run(database: Database, desk: Desk, begun: Begun) -> None:
    """Keep a model's answer, then let a challenger score what the champion scored."""
    remembering.after_run(database, desk, begun)
    _try(lambda: shadowing.score(database, desk, begun), about=begun.suggestion_id)


def of_verdict(database: Database, desk: Desk, feedback_id: str) -> None:
    """Put what a verdict brings up on the review queue, then keep the text that it taught.

    Nothing follows from a verdict that was erased with its customer meanwhile.
    """
    with database.read() as session:
        verdict = session.get(Feedback, feedback_id)
    if verdict is None:
        return
    _try(lambda: contradictions.report(database, feedback_id), about=feedback_id)
    _try(lambda: raise_alarm(database, verdict.tenant_id), about=feedback_id)
    remembering.learn(database, desk, feedback_id)


def raise_alarm(database: Database, tenant_id: str) -> str | None:
    """Put the live policy's alarm on the queue, if it has one; return the review's id, if new.

    An alarm that was closed since the policy went live is not raised again: feedback that has once
    spoken against a certificate goes on doing so.
    """
    with database.read() as session:
        live = _live(session, tenant_id)
        if live is None or _is_told(session, live):
            return None
        if not alarmed(session, tenant_id, live.policy):
            return None
        version = live.policy.version
    try:
        with database.write() as session:
            return reviews.add(session, tenant_id, "alarm", reason=ALARM, policy=version).id
    except IntegrityError:
        # Another verdict raised it at the same time.
        return None


def _live(session: Session, tenant_id: str) -> LivePolicy | None:
    if policies.live_version(session, tenant_id) is None:
        return None
    return policies.live_row(session, tenant_id)


def _is_told(session: Session, live: LivePolicy) -> bool:
    since = live.moved_at or live.created_at
    told = exists().where(
        Review.tenant_id == live.tenant_id,
        Review.kind == "alarm",
        Review.policy == live.policy.version,
        or_(Review.status == "open", Review.closed_at >= since),
    )
    return bool(session.scalar(select(told)))


def _try(change: Callable[[], object], *, about: str) -> None:
    try:
        change()
    except Exception as exc:
        log.error("nothing was looked up of %s\n%s", about, places(exc))
