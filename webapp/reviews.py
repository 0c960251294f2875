"""The review queue: what an admin looks at next, and who has it in hand.

Certificate alarms come first, then escalations, contradictions and audits; of a kind the oldest.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased, joinedload

from webapp import audit, rubric
from webapp.errors import Refused, Unknown
from webapp.models import Review, Suggestion, User, utc_now
from webapp.rubric import Rubric
from webapp.suggestions import locked_ticket, place_ticket

CLAIM_LASTS = timedelta(minutes=20)

PRIORITIES = {"alarm": 0, "escalation": 1, "contradiction": 2, "audit": 3}
"""The kinds of a review; the lowest number comes first."""

IN_ORDER = (Review.priority, Review.created_at, Review.id)

ROOT_CAUSES = {
    "knowledge": "No macro or policy passage covers it",
    "model": "The models answered wrongly",
    "scorer": "The scorer misjudged the answer",
    "customer_data": "The customer's data is missing or wrong",
    "outside": "Outside what support can answer",
}


def find(session: Session, tenant_id: str, review_id: str) -> Review:
    """Return the tenant's review, or raise `Unknown`."""
    row = session.get(Review, review_id)
    if row is None or row.tenant_id != tenant_id:
        raise Unknown(f"no review {review_id!r} here")
    return row


def add(
    session: Session,
    tenant_id: str,
    kind: str,
    *,
    reason: str,
    suggestion_id: str | None = None,
    other_id: str | None = None,
    policy: str | None = None,
    nth: int = 1,
) -> Review:
    """Put something on the queue, with the priority of its kind; `nth` is its round."""
    row = Review(
        tenant_id=tenant_id,
        kind=kind,
        priority=PRIORITIES[kind],
        reason=reason,
        suggestion_id=suggestion_id,
        other_id=other_id,
        policy=policy,
        round=nth,
    )
    session.add(row)
    session.flush()
    audit.record(session, tenant_id, "service", f"{kind}.opened", row.id)
    return row


# The queue


def next_open(session: Session, tenant_id: str, user: User) -> Review | None:
    """Return what this admin should look at next: their own claim, else the first free one."""
    return session.scalar(
        select(Review)
        .where(Review.tenant_id == tenant_id, Review.status == "open", _free(user))
        .order_by((Review.claimed_by == user.id).desc().nulls_last(), *IN_ORDER)
        .limit(1)
    )


def next_after(session: Session, row: Review, user: User) -> str | None:
    """Return the id of the next free review after this one in the queue, or of the first one."""
    later = after(row.priority, row.created_at, row.id)
    return session.scalar(
        select(Review.id)
        .where(
            Review.tenant_id == row.tenant_id,
            Review.status == "open",
            Review.id != row.id,
            _free(user),
        )
        .order_by(later.desc(), *IN_ORDER)
        .limit(1)
    )


def after(priority: int, created_at: datetime, review_id: str) -> ColumnElement[bool]:
    """Return what holds for the reviews that come after this place in the queue."""
    same, as_old = Review.priority == priority, Review.created_at == created_at
    return or_(
        Review.priority > priority,
        and_(same, Review.created_at > created_at),
        and_(same, as_old, Review.id > review_id),
    )


def waiting(session: Session, tenant_id: str, user: User, *, limit: int) -> Sequence[Review]:
    """Return the first open reviews that this admin may judge, whoever holds them."""
    suggestion = joinedload(Review.suggestion)
    return session.scalars(
        _open(tenant_id, user)
        .options(
            suggestion.joinedload(Suggestion.ticket), suggestion.joinedload(Suggestion.customer)
        )
        .order_by(*IN_ORDER)
        .limit(limit)
    ).all()


def count_open(session: Session, tenant_id: str, user: User) -> int:
    """Return how many reviews wait that this admin may judge, claimed ones included."""
    mine = _open(tenant_id, user).subquery()
    return session.scalar(select(func.count()).select_from(mine)) or 0


def holder(session: Session, review: Review | None) -> str | None:
    """Return the name of the admin who holds the review right now."""
    if not review or not review.claimed_until or review.claimed_until < utc_now():
        return None
    return session.scalar(
        select(User.name).where(User.tenant_id == review.tenant_id, User.id == review.claimed_by)
    )


def first_look(session: Session, review: Review) -> Review | None:
    """Return the audit of which this review is the second look, None where it is none."""
    if review.kind != "audit" or review.round == 1:
        return None
    return session.scalar(
        select(Review).where(
            Review.tenant_id == review.tenant_id,
            Review.suggestion_id == review.suggestion_id,
            Review.kind == "audit",
            Review.round == 1,
        )
    )


def awaits_second_look(session: Session, review: Review) -> bool:
    """Return whether another admin is yet to judge the same audit."""
    second = exists().where(
        Review.tenant_id == review.tenant_id,
        Review.suggestion_id == review.suggestion_id,
        Review.kind == "audit",
        Review.round > review.round,
        Review.status == "open",
    )
    return review.kind == "audit" and bool(session.scalar(select(second)))


# One review in hand


def claim(session: Session, review: Review, user: User) -> None:
    """Reserve the review for this admin for a while.

    Raises `Refused` if another holds it, and for a second look at what this admin judged first.
    """
    first = first_look(session, review)
    if first is not None and first.closed_by == user.id:
        raise Refused("you judged this answer first; the second look is another admin's")
    # One conditional UPDATE, so that of two admins who click at once exactly one gets it.
    taken = session.scalar(
        update(Review)
        .where(Review.id == review.id, Review.status == "open", _free(user))
        .values(claimed_by=user.id, claimed_until=utc_now() + CLAIM_LASTS)
        .returning(Review.id)
        .execution_options(synchronize_session=False)
    )
    if taken is None:
        raise Refused("another admin has claimed this review, or it is closed already")
    session.refresh(review)
    _record(session, review, user, "claimed")


def release(session: Session, review: Review, user: User) -> None:
    """Give a claimed review back to the queue."""
    must_hold(review, user)
    review.claimed_by = review.claimed_until = None
    _record(session, review, user, "released")


def must_hold(review: Review, user: User) -> None:
    """Raise `Refused` unless the review is open and this admin's."""
    if review.status != "open" or review.claimed_by != user.id:
        raise Refused("claim this review first; it is closed, or held by another admin")


def close(
    session: Session,
    review: Review,
    user: User,
    status: str,
    *,
    root_cause: str | None = None,
    found: Rubric | None = None,
    note: str | None = None,
) -> None:
    """Take a held review off the queue, with what was found."""
    review.status, review.root_cause, review.note = status, root_cause, note or None
    review.rubric = dict(found) if found else None
    review.suits = rubric.suits(found) if found else None
    review.closed_by, review.closed_at = user.id, utc_now()
    review.claimed_by = review.claimed_until = None
    _record(session, review, user, status)


def check_root_cause(root_cause: str) -> None:
    """Raise `Refused` for a root cause that is none."""
    if root_cause not in ROOT_CAUSES:
        raise Refused(f"root cause is {root_cause!r}; expected one of {', '.join(ROOT_CAUSES)}")


def dismiss(session: Session, review: Review, user: User, *, note: str | None) -> None:
    """Close the review without a finding; an escalation's ticket goes back to the agents.

    Raises `Refused` for somebody else's review, and for an alarm without a note.
    """
    must_hold(review, user)
    if review.kind == "alarm" and not note:
        raise Refused("the note is empty; say why the alarm needs nothing done")
    if review.kind != "escalation":
        close(session, review, user, "dismissed", note=note)
        return
    suggestion = session.get_one(Suggestion, review.suggestion_id)
    ticket = locked_ticket(session, suggestion)
    close(session, review, user, "dismissed", note=note)
    place_ticket(session, ticket)


def as_json(row: Review) -> dict[str, Any]:
    """Return the review as the API gives it; what was found stays among the reviewers."""
    about = row.suggestion
    return {
        "id": row.id,
        "kind": row.kind,
        "priority": row.priority,
        "round": row.round,
        "status": row.status,
        "reason": row.reason,
        "suggestion": row.suggestion_id,
        "other": row.other_id,
        "ticket": about.ticket.external_id if about else None,
        "customer": about.customer.external_id if about else None,
        "policy": row.policy,
        "claimed_until": row.claimed_until.isoformat() if row.claimed_until else None,
        "created_at": row.created_at.isoformat(),
        "closed_at": row.closed_at.isoformat() if row.closed_at else None,
    }


def _open(tenant_id: str, user: User) -> Select[Review]:
    return select(Review).where(
        Review.tenant_id == tenant_id, Review.status == "open", _may_judge(user)
    )


def _free(user: User) -> ColumnElement[bool]:
    nobodys = or_(
        Review.claimed_by.is_(None),
        Review.claimed_by == user.id,
        Review.claimed_until < utc_now(),
    )
    return and_(nobodys, _may_judge(user))


def _may_judge(user: User) -> ColumnElement[bool]:
    """Return what holds for all but second looks at what this admin judged first."""
    first = aliased(Review)
    judged_first = exists().where(
        first.tenant_id == Review.tenant_id,
        first.suggestion_id == Review.suggestion_id,
        first.kind == "audit",
        first.round == 1,
        first.closed_by == user.id,
    )
    return ~and_(Review.kind == "audit", Review.round > 1, judged_first)


def _record(session: Session, review: Review, user: User, what: str) -> None:
    audit.record(session, user.tenant_id, f"user:{user.email}", f"{review.kind}.{what}", review.id)
