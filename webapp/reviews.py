"""The admin's review queue: claim one escalation, correct it, close it."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from webapp import audit, feedback, remembering
from webapp.audit import Caller
from webapp.errors import Refused, Unknown
from webapp.models import Feedback, Review, Suggestion, User, utc_now
from webapp.suggestions import locked_ticket, place_ticket

CLAIM_LASTS = timedelta(minutes=20)

ROOT_CAUSES = {
    "knowledge": "No macro or policy passage covers it",
    "model": "The models answered wrongly",
    "scorer": "A good answer was scored too low",
    "customer_data": "The customer's data is missing or wrong",
    "outside": "Outside what support can answer",
}


def find(session: Session, tenant_id: str, escalation_id: str) -> Review:
    """Return the tenant's escalation, or raise `Unknown`."""
    row = session.get(Review, escalation_id)
    if row is None or row.tenant_id != tenant_id:
        raise Unknown(f"no escalation {escalation_id!r} here")
    return row


def next_open(session: Session, tenant_id: str, user: User) -> Review | None:
    """Return what this admin should look at next: their own claim, else the oldest free one."""
    return session.scalar(
        select(Review)
        .where(Review.tenant_id == tenant_id, Review.status == "open", _free(user))
        .order_by((Review.claimed_by == user.id).desc().nulls_last(), Review.created_at)
        .limit(1)
    )


def next_after(session: Session, row: Review, user: User) -> str | None:
    """Return the id of the next free escalation after this one by age, or of the oldest one."""
    later = or_(
        Review.created_at > row.created_at,
        and_(Review.created_at == row.created_at, Review.id > row.id),
    )
    return session.scalar(
        select(Review.id)
        .where(
            Review.tenant_id == row.tenant_id,
            Review.status == "open",
            Review.id != row.id,
            _free(user),
        )
        .order_by(later.desc(), Review.created_at, Review.id)
        .limit(1)
    )


def count_open(session: Session, tenant_id: str) -> int:
    """Return how many escalations wait for an admin, claimed ones included."""
    return (
        session.scalar(
            select(func.count())
            .select_from(Review)
            .where(Review.tenant_id == tenant_id, Review.status == "open")
        )
        or 0
    )


def claim(session: Session, escalation: Review, user: User) -> None:
    """Reserve the escalation for this admin for a while; raises `Refused` if another holds it."""
    now = utc_now()
    # One conditional UPDATE, so that of two admins who click at once exactly one gets it.
    taken = session.scalar(
        update(Review)
        .where(Review.id == escalation.id, Review.status == "open", _free(user))
        .values(claimed_by=user.id, claimed_until=now + CLAIM_LASTS)
        .returning(Review.id)
        .execution_options(synchronize_session=False)
    )
    if taken is None:
        raise Refused("another admin has claimed this escalation, or it is closed already")
    session.refresh(escalation)
    audit.record(session, user.tenant_id, f"user:{user.email}", "escalation.claimed", escalation.id)


def release(session: Session, escalation: Review, user: User) -> None:
    """Give a claimed escalation back to the queue."""
    _must_hold(escalation, user)
    escalation.claimed_by = escalation.claimed_until = None
    audit.record(
        session, user.tenant_id, f"user:{user.email}", "escalation.released", escalation.id
    )


def resolve(
    session: Session,
    escalation: Review,
    user: User,
    *,
    final_text: str,
    root_cause: str,
    note: str | None = None,
) -> Feedback:
    """Answer the ticket with the admin's text, which becomes feedback, and close the escalation.

    Raises `Refused` for somebody else's escalation, for a missing answer or root cause, and where
    the ticket has moved on.
    """
    _must_hold(escalation, user)
    if not final_text.strip():
        raise Refused("the answer is empty; write the reply, or dismiss the escalation")
    if root_cause not in ROOT_CAUSES:
        raise Refused(f"root cause is {root_cause!r}; expected one of {', '.join(ROOT_CAUSES)}")
    suggestion = session.get_one(Suggestion, escalation.suggestion_id)
    feedback.must_be_current(session, suggestion)
    admin = Caller(user.tenant_id, f"user:{user.email}")
    correction = Feedback(
        tenant_id=user.tenant_id,
        suggestion_id=suggestion.id,
        actor=admin.actor,
        action="corrected",
        final_text=final_text,
        reason=root_cause,
    )
    session.add(correction)
    session.flush()
    remembering.take_back(session, suggestion, correction)
    _close(session, escalation, user, "resolved", root_cause=root_cause, note=note)
    feedback.send_reply(session, admin, suggestion, final_text)
    return correction


def dismiss(session: Session, escalation: Review, user: User, *, note: str | None) -> None:
    """Close the escalation without an answer; its ticket goes back to the agents."""
    _must_hold(escalation, user)
    suggestion = session.get_one(Suggestion, escalation.suggestion_id)
    ticket = locked_ticket(session, suggestion)
    _close(session, escalation, user, "dismissed", root_cause=None, note=note)
    place_ticket(session, ticket)


def _close(
    session: Session,
    escalation: Review,
    user: User,
    status: str,
    *,
    root_cause: str | None,
    note: str | None,
) -> None:
    escalation.status, escalation.root_cause, escalation.note = status, root_cause, note or None
    escalation.closed_by, escalation.closed_at = user.id, utc_now()
    escalation.claimed_by = escalation.claimed_until = None
    audit.record(
        session, user.tenant_id, f"user:{user.email}", f"escalation.{status}", escalation.id
    )


def _must_hold(escalation: Review, user: User) -> None:
    holds = escalation.claimed_by == user.id
    if escalation.status != "open" or not holds:
        raise Refused("claim this escalation first; it is closed, or held by another admin")


def _free(user: User) -> ColumnElement[bool]:
    return or_(
        Review.claimed_by.is_(None),
        Review.claimed_by == user.id,
        Review.claimed_until < utc_now(),
    )
