"""What people did with a suggestion, and what that does to the ticket."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cascade.verdicts import is_heavy_edit
from webapp import audit, contradictions, remembering, reviews
from webapp.audit import Caller
from webapp.errors import Refused, Unknown
from webapp.models import ApiKey, Feedback, Review, Suggestion, Ticket, User, utc_now
from webapp.suggestions import close_waiting, is_newest, locked_ticket

ACTIONS = ("accepted", "edited", "dismissed")

AUDIT = "A sent answer, drawn at random to be read with care."


@dataclass(frozen=True)
class Audits:
    """How many of the answers sent as they were offered are read again, and how they are drawn.

    `draw` gives numbers from [0, 1).
    """

    share: float
    draw: Callable[[], float] = random.random


NO_AUDITS = Audits(0.0)


def give(
    session: Session,
    caller: Caller,
    suggestion: Suggestion,
    *,
    action: str,
    final_text: str | None = None,
    reason: str | None = None,
    rating: int | None = None,
    audits: Audits = NO_AUDITS,
) -> Feedback:
    """Record a verdict. Accepted and edited ones answer the ticket with the final text.

    A share of the answers that were sent much as offered goes to the review queue.

    Raises `Refused` for an unknown action, while the suggestion still runs, for an acceptance of
    what was not good enough, for an edit without its text, where the ticket has moved on, and for
    a second dismissal.
    """
    _check(session, suggestion, action, final_text)
    if action == "accepted":
        final_text = suggestion.answer
    as_offered = _is_as_offered(suggestion, action, final_text)
    feedback = Feedback(
        tenant_id=suggestion.tenant_id,
        suggestion_id=suggestion.id,
        actor=caller.actor,
        action=action,
        final_text=final_text,
        reason=reason,
        rating=rating,
        observed=audits.share if as_offered else 1.0,
    )
    session.add(feedback)
    if final_text and action != "dismissed":
        send_reply(session, caller, suggestion, final_text)
    session.flush()
    remembering.take_back(session, suggestion, feedback)
    if as_offered and audits.draw() < audits.share:
        _audit(session, suggestion)
    audit.record(session, suggestion.tenant_id, caller.actor, f"feedback.{action}", suggestion.id)
    return feedback


def _check(session: Session, suggestion: Suggestion, action: str, final_text: str | None) -> None:
    if action not in ACTIONS:
        raise Refused(f"the action is unknown; expected one of {', '.join(ACTIONS)}")
    if suggestion.status == "running":
        raise Refused("the suggestion is still being made; give feedback once it is there")
    if action == "accepted" and suggestion.status != "suggested":
        raise Refused("no answer was good enough here, so there is none to accept; edit it instead")
    if action == "edited" and not (final_text or "").strip():
        raise Refused("action is 'edited' without final_text; expected the text that was sent")
    must_be_current(session, suggestion)
    if action == "dismissed" and _was_dismissed(session, suggestion):
        raise Refused("this draft has been dismissed already")


def must_be_current(session: Session, suggestion: Suggestion) -> None:
    """Lock the ticket, or raise `Refused` where it has moved on from this suggestion."""
    if locked_ticket(session, suggestion).status == "answered":
        raise Refused("somebody has answered this ticket in the meantime")
    if not is_newest(session, suggestion):
        raise Refused("there is a newer draft; read that one first")


def send_reply(session: Session, caller: Caller, suggestion: Suggestion, text: str) -> None:
    """Mark the suggestion's ticket as answered with this text, which no admin need look at."""
    ticket = session.get_one(Ticket, suggestion.ticket_id)
    ticket.reply, ticket.replied_at, ticket.status = text, utc_now(), "answered"
    close_waiting(session, suggestion, "resolved", f"Answered by {caller.actor}.")


# Verdicts of people who are not trusted any more


def withdraw(
    session: Session,
    tenant_id: str,
    *,
    actor_withdrawn: str,
    by: str,
    since: datetime | None = None,
) -> int:
    """Let an actor's verdicts, all or those given since a moment, teach nothing any more.

    A contradiction that rests on them leaves the review queue. Returns how many there were.
    Raises `Refused` while that person can sign in or the key is live, and `Unknown` for a name
    that is nobody's.
    """
    _must_be_ended(session, tenant_id, actor_withdrawn)
    rows = _given_by(session, tenant_id, actor_withdrawn, since, withdrawn=False)
    for row in rows:
        row.withdrawn_at, row.withdrawn_by = utc_now(), by
    session.flush()
    contradictions.drop_settled(session, tenant_id)
    audit.record(session, tenant_id, by, "feedback.withdrawn", actor_withdrawn, count=len(rows))
    return len(rows)


def restore(
    session: Session,
    tenant_id: str,
    *,
    actor_restored: str,
    by: str,
    since: datetime | None = None,
) -> int:
    """Let withdrawn verdicts of an actor count again; returns how many there were."""
    rows = _given_by(session, tenant_id, actor_restored, since, withdrawn=True)
    for row in rows:
        row.withdrawn_at = row.withdrawn_by = None
    audit.record(session, tenant_id, by, "feedback.restored", actor_restored, count=len(rows))
    return len(rows)


def _given_by(
    session: Session, tenant_id: str, actor: str, since: datetime | None, *, withdrawn: bool
) -> Sequence[Feedback]:
    at = Feedback.withdrawn_at
    query = select(Feedback).where(
        Feedback.tenant_id == tenant_id,
        Feedback.actor == actor,
        at.is_not(None) if withdrawn else at.is_(None),
    )
    if since is not None:
        query = query.where(Feedback.created_at >= since)
    return session.scalars(query.with_for_update()).all()


def _must_be_ended(session: Session, tenant_id: str, actor: str) -> None:
    kind, _, name = actor.partition(":")
    if kind == "user":
        people = select(User.active).where(User.tenant_id == tenant_id, User.email == name)
        live, end = session.scalars(people).all(), f"frugaldesk users end {name}"
    elif kind == "key":
        keys = select(ApiKey.revoked_at).where(ApiKey.tenant_id == tenant_id, ApiKey.name == name)
        live = [at is None for at in session.scalars(keys)]
        end = f"frugaldesk keys revoke {name}"
    else:
        raise Refused(f"the actor is {actor!r}; expected user:EMAIL or key:NAME")
    if not live:
        raise Unknown(f"there is no {actor!r} here; expected user:EMAIL or key:NAME")
    if any(live):
        raise Refused(f"{actor} is still active; first run `{end}`, with the tenant's name")


def _is_as_offered(suggestion: Suggestion, action: str, final_text: str | None) -> bool:
    """Return whether a draft that was good enough was sent with little of it changed."""
    if suggestion.status != "suggested" or action not in ("accepted", "edited"):
        return False
    return not is_heavy_edit(suggestion.answer or "", final_text or "")


def _audit(session: Session, suggestion: Suggestion) -> None:
    """Have an admin read the answer, unless one does or did."""
    audited = exists().where(
        Review.tenant_id == suggestion.tenant_id,
        Review.suggestion_id == suggestion.id,
        Review.kind == "audit",
    )
    if session.scalar(select(audited)):
        return
    reviews.add(session, suggestion.tenant_id, "audit", reason=AUDIT, suggestion_id=suggestion.id)


def _was_dismissed(session: Session, suggestion: Suggestion) -> bool:
    dismissals = select(Feedback.id).where(
        Feedback.suggestion_id == suggestion.id, Feedback.action == "dismissed"
    )
    return session.scalar(dismissals.limit(1)) is not None
