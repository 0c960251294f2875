"""Which tickets a list holds: one tenant's, of one status, with the searched text, page by page."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, contains_eager, selectinload

from webapp.models import Customer, Suggestion, Ticket

PAGE = 30


def matching(tenant_id: str, search: str) -> list[ColumnElement[bool]]:
    """Return the conditions for a tenant's tickets that hold the searched text."""
    mine = [Ticket.tenant_id == tenant_id]
    if not search:
        return mine
    places = (Ticket.subject, Ticket.body, Customer.external_id, Customer.name)
    return [*mine, or_(*(place.icontains(search, autoescape=True) for place in places))]


def page(
    rows: Session,
    conditions: Sequence[ColumnElement[bool]],
    *,
    before: Ticket | None,
    limit: int = PAGE,
) -> tuple[Sequence[Ticket], bool]:
    """Return the newest tickets older than `before`, and whether there are more of them."""
    query = select(Ticket).join(Ticket.customer).options(contains_eager(Ticket.customer))
    if before:
        same_moment = and_(Ticket.created_at == before.created_at, Ticket.id < before.id)
        query = query.where(or_(Ticket.created_at < before.created_at, same_moment))
    newest_first = (Ticket.created_at.desc(), Ticket.id.desc())
    found = rows.scalars(query.where(*conditions).order_by(*newest_first).limit(limit + 1)).all()
    return found[:limit], len(found) > limit


def counts(rows: Session, conditions: Sequence[ColumnElement[bool]]) -> dict[str, int]:
    """Return how many of the tickets have each status; a status without any is left out."""
    counted = rows.execute(
        select(Ticket.status, func.count())
        .join(Ticket.customer)
        .where(*conditions)
        .group_by(Ticket.status)
    )
    return dict(counted.all())


def latest_drafts(rows: Session, tickets: Sequence[Ticket]) -> dict[str, Suggestion]:
    """Return the newest suggestion of each ticket that has one, by the ticket's id."""
    oldest_first = rows.scalars(
        select(Suggestion)
        .where(
            Suggestion.tenant_id.in_({ticket.tenant_id for ticket in tickets}),
            Suggestion.ticket_id.in_([ticket.id for ticket in tickets]),
        )
        .options(selectinload(Suggestion.feedback))
        .order_by(Suggestion.created_at)
    )
    return {suggestion.ticket_id: suggestion for suggestion in oldest_first}
