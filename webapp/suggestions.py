"""A ticket becomes a stored suggestion: begun, run tier by tier, finished or escalated.

No transaction is open while a model is waited for. Each step is committed as it happens, so a
page can show it live and a killed process loses nothing that was paid for.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import cascade
from cascade import Accepted, Escalated, Step
from cascade.pricing import dollars
from webapp import audit, customers
from webapp.audit import Caller
from webapp.db import Database
from webapp.desk import Desk, Setup
from webapp.errors import Unknown, WebappError, places
from webapp.models import Customer, Review, Suggestion, SuggestionStep, Ticket, new_id, utc_now

log = logging.getLogger(__name__)

GRACE = timedelta(seconds=30)
"""How long after its deadline a run still counts as alive; later it was cut off."""

TURN_WITHIN = timedelta(minutes=10)
"""How long a begun run may wait for a free thread; its own deadline counts from when it has one."""

SUPERSEDED = "A later suggestion for this ticket took its place."
CUT_OFF = "The run was cut off before it finished: the service was stopped, or busy for too long."


@dataclass(frozen=True)
class Begun:
    """A suggestion whose tiers have yet to be asked."""

    tenant_id: str
    suggestion_id: str
    setup: Setup


class Gone(WebappError):
    """The suggestion was erased with its customer while something was on its way to it."""


def put_ticket(
    session: Session, customer: Customer, *, external_id: str | None, subject: str, body: str
) -> Ticket:
    """Return the customer's ticket of that id with this text, added where it is new.

    Another text than it had asks anew: the ticket is open again, without the reply to the old one,
    which its feedback keeps. Raises `Unknown` where the customer is erased in this very moment.
    """
    external_id = external_id or f"t-{new_id()[:13]}"
    try:
        with session.begin_nested():
            ticket = Ticket(
                tenant_id=customer.tenant_id,
                customer_id=customer.id,
                external_id=external_id,
                subject=subject,
                body=body,
            )
            session.add(ticket)
    except IntegrityError:
        found = session.scalars(
            select(Ticket)
            .where(
                Ticket.tenant_id == customer.tenant_id,
                Ticket.customer_id == customer.id,
                Ticket.external_id == external_id,
            )
            .with_for_update(key_share=True)
        ).one_or_none()
        if found is None:
            raise Unknown("the customer was erased in the meantime; add them again first") from None
        ticket = found
        if (ticket.subject, ticket.body) != (subject, body):
            ticket.subject, ticket.body = subject, body
            ticket.status, ticket.reply, ticket.replied_at = "open", None, None
    return ticket


def begin(session: Session, caller: Caller, ticket: Ticket, setup: Setup) -> Begun:
    """Store a running suggestion for the ticket, with what is known of its customer now."""
    customer = session.get_one(Customer, ticket.customer_id)
    now = utc_now()
    suggestion = Suggestion(
        tenant_id=ticket.tenant_id,
        ticket_id=ticket.id,
        customer_id=customer.id,
        question=cascade.Ticket(ticket.external_id, ticket.subject, ticket.body).question,
        shown=customers.shown(session, customer),
        segment=customer.segment,
        policy=setup.policy.version,
        created_at=now,
        deadline_at=now + TURN_WITHIN,
    )
    session.add(suggestion)
    session.flush()
    audit.record(session, ticket.tenant_id, caller.actor, "suggestion.begun", suggestion.id)
    return Begun(ticket.tenant_id, suggestion.id, setup)


def run(database: Database, desk: Desk, begun: Begun) -> None:
    """Ask tier after tier and store each step and the outcome; a failure inside is an outcome.

    A suggestion that has ended already, because its turn came too late, stays as it is. Where its
    customer is erased meanwhile nothing more is stored.
    """
    try:
        _run(database, desk, begun)
    except Gone:
        log.info(
            "suggestion %s was erased with its customer; nothing more is stored of its run",
            begun.suggestion_id,
        )


def _run(database: Database, desk: Desk, begun: Begun) -> None:
    with database.write() as session:
        waiting = _mine_still_running(session, begun)
        for row in waiting:
            row.deadline_at = utc_now() + timedelta(seconds=begun.setup.policy.deadline_s)
    if not waiting:
        return
    started = time.monotonic()
    outcome: Accepted | Escalated
    try:
        outcome = _answer(database, desk, begun)
    except Gone:
        raise
    except Exception as exc:
        log.error("suggestion %s failed\n%s", begun.suggestion_id, places(exc))
        reason = f"An internal error stopped the run ({type(exc).__name__})."
        outcome = Escalated(reason, None, ())
    latency_ms = round((time.monotonic() - started) * 1000)
    with database.write() as session:
        for row in _mine_still_running(session, begun):
            row.latency_ms = latency_ms
            if isinstance(outcome, Accepted):
                _accept(session, row, outcome)
            else:
                _escalate(session, row, outcome.reason)


def find(session: Session, tenant_id: str, suggestion_id: str) -> Suggestion:
    """Return the tenant's suggestion, or raise `Unknown`."""
    row = session.get(Suggestion, suggestion_id)
    if row is None or row.tenant_id != tenant_id:
        raise Unknown(f"no suggestion {suggestion_id!r} here")
    return row


def settle_cut_off(database: Database, *, now: datetime | None = None) -> int:
    """Escalate every suggestion whose run died with its process; returns how many."""
    overdue = Suggestion.deadline_at < (now or utc_now()) - GRACE
    with database.write() as session:
        rows = _still_running(session, overdue, skip_locked=True)
        for row in rows:
            _escalate(session, row, CUT_OFF)
        return len(rows)


def close_waiting(session: Session, row: Suggestion, status: str, note: str) -> None:
    """Take the ticket's escalations, up to this suggestion's, off the review queue.

    Those that an admin has in hand stay.
    """
    waiting = session.scalars(
        select(Review)
        .join(Review.suggestion)
        .where(
            Review.tenant_id == row.tenant_id,
            Review.kind == "escalation",
            Review.status == "open",
            or_(Review.claimed_by.is_(None), Review.claimed_until < utc_now()),
            Suggestion.ticket_id == row.ticket_id,
            Suggestion.created_at <= row.created_at,
        )
    )
    for escalation in waiting:
        escalation.status, escalation.note, escalation.closed_at = status, note, utc_now()


def locked_ticket(session: Session, row: Suggestion) -> Ticket:
    """Return the suggestion's ticket as it is now, locked until the transaction ends.

    Who changes a ticket's escalations locks the ticket first, so that none waits for another.
    Raises `Unknown` where the ticket is erased in this very moment.
    """
    query = select(Ticket).where(Ticket.tenant_id == row.tenant_id, Ticket.id == row.ticket_id)
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    ticket = session.scalars(locked).one_or_none()
    if ticket is None:
        raise Unknown("the ticket was erased in the meantime")
    return ticket


def is_newest(session: Session, row: Suggestion) -> bool:
    """Return whether the ticket has no later suggestion than this one."""
    of_ticket = select(Suggestion.id).where(
        Suggestion.tenant_id == row.tenant_id, Suggestion.ticket_id == row.ticket_id
    )
    return session.scalar(of_ticket.order_by(Suggestion.created_at.desc()).limit(1)) == row.id


def place_ticket(session: Session, ticket: Ticket) -> None:
    """Put a locked ticket, unless it is answered, with the agents or with the admins.

    It is with the admins while the escalation of its newest suggestion is open.
    """
    if ticket.status == "answered":
        return
    newest = session.scalar(
        select(Review.status)
        .select_from(Suggestion)
        .outerjoin(Suggestion.escalation)
        .where(Suggestion.tenant_id == ticket.tenant_id, Suggestion.ticket_id == ticket.id)
        .order_by(Suggestion.created_at.desc())
        .limit(1)
    )
    ticket.status = "escalated" if newest == "open" else "open"


def as_json(row: Suggestion) -> dict[str, Any]:
    """Return the suggestion as the API gives it."""
    return {
        "id": row.id,
        "status": row.status,
        "ticket": row.ticket.external_id,
        "customer": row.customer.external_id,
        "answer": row.answer,
        "good_enough": row.status == "suggested",
        "reason": row.reason,
        "score": row.score,
        "threshold": row.threshold,
        "tier": row.tier,
        "model": row.model,
        "source": row.source,
        "segment": row.segment,
        "adapter": row.adapter,
        "policy": row.policy,
        "cost_usd": dollars(row.cost),
        "latency_ms": row.latency_ms,
        "created_at": row.created_at.isoformat(),
        "steps": [step_as_json(step) for step in row.steps],
    }


def step_as_json(step: SuggestionStep) -> dict[str, Any]:
    """Return one step as the API gives it."""
    return {
        "tier": step.tier,
        "model": step.model,
        "source": step.source,
        "answer": step.answer if step.score is not None else None,
        "candidates": step.candidates,
        "score": step.score,
        "threshold": step.threshold,
        "adapter": step.adapter,
        "accepted": step.accepted,
        "cost_usd": dollars(step.cost),
        "cost_estimated": step.cost_estimated,
        "latency_ms": step.latency_ms,
        "input_tokens": step.input_tokens,
        "cached_input_tokens": step.cached_input_tokens,
        "output_tokens": step.output_tokens,
        "error": step.error,
        "note": step.note,
    }


def spent_today(session: Session, tenant_id: str, segment: str | None) -> Decimal:
    """Return what the segment's tickets have cost since midnight UTC, running ones included."""
    midnight = datetime.combine(utc_now().date(), clock_time(), tzinfo=UTC)
    total = session.scalar(
        select(func.sum(SuggestionStep.cost))
        .join(
            Suggestion,
            (Suggestion.tenant_id == SuggestionStep.tenant_id)
            & (Suggestion.id == SuggestionStep.suggestion_id),
        )
        .where(
            Suggestion.tenant_id == tenant_id,
            Suggestion.segment.is_(None) if segment is None else Suggestion.segment == segment,
            Suggestion.created_at >= midnight,
        )
    )
    return total or Decimal(0)


def _answer(database: Database, desk: Desk, begun: Begun) -> Accepted | Escalated:
    with database.read() as session:
        about = select(Suggestion.question, Suggestion.shown, Ticket.external_id)
        mine = about.join(Suggestion.ticket).where(Suggestion.id == begun.suggestion_id)
        found = session.execute(mine).one_or_none()
    if found is None:
        raise Gone(f"suggestion {begun.suggestion_id} was erased with its customer")
    question, shown, ticket = found
    position = 0

    def spent_by_others() -> Decimal:
        with database.read() as session:
            mine = session.scalar(
                select(func.sum(SuggestionStep.cost)).where(
                    SuggestionStep.suggestion_id == begun.suggestion_id
                )
            )
            total = spent_today(session, begun.tenant_id, shown["segment"])
            return total - (mine or Decimal(0))

    def store(step: Step) -> None:
        nonlocal position
        with database.write() as session:
            row = _there(session, begun)
            session.add(_stored(step, begun, position))
            row.cost += step.cost
        position += 1

    return desk.answer(
        question,
        customers.as_scored(shown),
        begun.setup,
        ticket=ticket,
        spent_today=spent_by_others,
        on_step=store,
    )


def _there(session: Session, begun: Begun) -> Suggestion:
    """Return the run's suggestion, locked, so that it stays until the end; raises `Gone`."""
    query = select(Suggestion).where(Suggestion.id == begun.suggestion_id)
    row = session.scalar(query.with_for_update(key_share=True))
    if row is None:
        raise Gone(f"suggestion {begun.suggestion_id} was erased with its customer")
    return row


def _mine_still_running(session: Session, begun: Begun) -> Sequence[Suggestion]:
    """Return the run's suggestion, locked, if it runs; raises `Gone`."""
    rows = _still_running(session, Suggestion.id == begun.suggestion_id)
    if not rows:
        _there(session, begun)
    return rows


def _still_running(
    session: Session, which: ColumnElement[bool], *, skip_locked: bool = False
) -> Sequence[Suggestion]:
    """Return those that run, locked: a run and those who settle it end each suggestion once."""
    query = select(Suggestion).where(Suggestion.status == "running", which)
    return session.scalars(query.with_for_update(key_share=True, skip_locked=skip_locked)).all()


def _stored(step: Step, begun: Begun, position: int) -> SuggestionStep:
    usage = step.usage
    return SuggestionStep(
        tenant_id=begun.tenant_id,
        suggestion_id=begun.suggestion_id,
        position=position,
        tier=step.tier,
        model=step.model,
        source=step.source,
        answer=step.answer,
        candidates=step.candidates,
        score=step.score,
        threshold=step.threshold,
        adapter=step.adapter,
        accepted=step.accepted,
        cost=step.cost,
        cost_estimated=step.cost_estimated,
        latency_ms=step.latency_ms,
        input_tokens=usage.input_tokens if usage else None,
        cached_input_tokens=usage.cached_input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        error=step.error,
        note=step.note,
        origin=step.origin,
    )


def _accept(session: Session, row: Suggestion, outcome: Accepted) -> None:
    ticket = locked_ticket(session, row)
    _take(row, outcome.step)
    row.status, row.finished_at = "suggested", utc_now()
    close_waiting(session, row, "dismissed", SUPERSEDED)
    place_ticket(session, ticket)
    audit.record(
        session,
        row.tenant_id,
        "service",
        "suggestion.suggested",
        row.id,
        tier=row.tier,
        adapter=row.adapter,
        policy=row.policy,
    )


def _keep_best(session: Session, row: Suggestion) -> None:
    best = session.scalar(
        select(SuggestionStep)
        .where(SuggestionStep.suggestion_id == row.id, SuggestionStep.score.is_not(None))
        .order_by(SuggestionStep.score.desc(), SuggestionStep.position)
        .limit(1)
    )
    if best is not None:
        _take(row, best)


def _take(row: Suggestion, step: Step | SuggestionStep) -> None:
    row.answer, row.score, row.threshold = step.answer, step.score, step.threshold
    row.tier, row.model, row.source, row.adapter = step.tier, step.model, step.source, step.adapter


def _escalate(session: Session, row: Suggestion, reason: str) -> None:
    ticket = locked_ticket(session, row)
    _keep_best(session, row)
    row.status, row.reason, row.finished_at = "escalated", reason, utc_now()
    close_waiting(session, row, "dismissed", SUPERSEDED)
    if ticket.status != "answered" and is_newest(session, row):
        session.add(Review(tenant_id=row.tenant_id, suggestion_id=row.id, reason=reason))
    place_ticket(session, ticket)
    audit.record(session, row.tenant_id, "service", "suggestion.escalated", row.id)
