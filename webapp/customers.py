"""Customers: from rows to what the scorer reads, and from the API to rows."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import scoring
from scoring.customer import HISTORY_SHOWN
from webapp.errors import Unknown
from webapp.models import Customer, HistoryEntry, utc_now


def find(session: Session, tenant_id: str, external_id: str) -> Customer:
    """Return the tenant's customer, or raise `Unknown` saying how to add them."""
    found = session.scalar(
        select(Customer).where(Customer.tenant_id == tenant_id, Customer.external_id == external_id)
    )
    if found is None:
        raise Unknown(
            f"no customer {external_id!r} here; "
            f"add them first with PUT /api/v1/customers/{external_id}"
        )
    return found


def put(
    session: Session,
    tenant_id: str,
    external_id: str,
    *,
    segment: str | None,
    features: Mapping[str, scoring.Feature],
    name: str | None = None,
    email: str | None = None,
) -> tuple[Customer, bool]:
    """Add or replace a customer, name and email too; returns the row and whether it is new.

    Raises `scoring.ScoringError` where a feature cannot be shown to the scorer.
    """
    scoring.Customer(external_id, segment, features)
    try:
        with session.begin_nested():
            row = Customer(
                tenant_id=tenant_id,
                external_id=external_id,
                segment=segment,
                features=dict(features),
                name=name,
                email=email,
            )
            session.add(row)
        return row, True
    except IntegrityError:
        row = find(session, tenant_id, external_id)
        row.segment, row.features = segment, dict(features)
        row.name, row.email = name, email
        return row, False


def sample(
    session: Session, tenant_id: str, *, beside: scoring.Customer, of_each: int, most: int
) -> list[scoring.Customer]:
    """Return other customers as the scorer reads them: so many of each segment, if there are.

    They are those whose ids follow the given customer's, who is none of them. Where all segments
    together have more than `most`, only the given customer's is looked at: a part of the other
    segments says nothing about the rest.
    """
    mine = Customer.tenant_id == tenant_id
    named = select(Customer.segment).where(mine, Customer.segment.is_not(None)).distinct()
    segments = session.scalars(named).all()
    if of_each * len(segments) > most:
        segments = [each for each in segments if each == beside.segment]
    found: list[Customer] = []
    for segment in segments:
        members = select(Customer).where(mine, Customer.segment == segment)
        ordered = members.order_by(Customer.external_id)
        after = ordered.where(Customer.external_id > beside.id).limit(of_each)
        chosen = list(session.scalars(after))
        if len(chosen) < of_each:
            first = ordered.where(Customer.external_id < beside.id)
            chosen += session.scalars(first.limit(of_each - len(chosen)))
        found += chosen
    return [as_scored(shown(session, row)) for row in found]


def add_history(session: Session, row: Customer, *, at: datetime | None, text: str) -> HistoryEntry:
    """Add one line to a customer's history."""
    entry = HistoryEntry(tenant_id=row.tenant_id, customer_id=row.id, at=at or utc_now(), text=text)
    session.add(entry)
    session.flush()
    return entry


def newest_history(session: Session, row: Customer, limit: int) -> Sequence[HistoryEntry]:
    """Return the customer's last lines of history, newest first."""
    return session.scalars(
        select(HistoryEntry)
        .where(
            HistoryEntry.tenant_id == row.tenant_id,
            HistoryEntry.customer_id == row.id,
        )
        .order_by(HistoryEntry.at.desc(), HistoryEntry.id.desc())
        .limit(limit)
    ).all()


def shown(session: Session, row: Customer) -> dict[str, Any]:
    """Return what the scorer is shown of this customer, as it is stored with each suggestion."""
    newest = newest_history(session, row, HISTORY_SHOWN)
    return {
        "id": row.external_id,
        "segment": row.segment,
        "features": dict(row.features),
        "history": [f"{entry.at:%Y-%m-%d} {entry.text}" for entry in reversed(newest)],
        "day": utc_now().date().isoformat(),
    }


def as_scored(shown_: Mapping[str, Any]) -> scoring.Customer:
    """Return the customer the scorer reads, from what `shown` stored."""
    day = shown_.get("day")
    return scoring.Customer.from_row(
        shown_, shown_["history"], None if day is None else date.fromisoformat(day)
    )
