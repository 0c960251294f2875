"""Where the database holds anything of one customer: the list erasing and exporting go by."""

from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from webapp.models import (
    CacheEntry,
    Customer,
    Feedback,
    HistoryEntry,
    RegressionCase,
    Review,
    ShadowScore,
    Suggestion,
    SuggestionStep,
    TenantRow,
    Ticket,
    TrainingRow,
)

Holding = tuple[type[TenantRow], ColumnElement[bool]]


def holdings(tenant_id: str, external_id: str) -> dict[str, Holding]:
    """Return by name each table that holds rows of the customer, and which rows those are."""
    asked = (Customer.tenant_id == tenant_id, Customer.external_id == external_id)
    customer = select(Customer.id).where(*asked)
    made = select(Suggestion.id).where(
        Suggestion.tenant_id == tenant_id, Suggestion.customer_id.in_(customer)
    )
    mine: dict[str, tuple[Any, ColumnElement[bool]]] = {
        "profile": (Customer, Customer.external_id == external_id),
        "history": (HistoryEntry, HistoryEntry.customer_id.in_(customer)),
        "tickets": (Ticket, Ticket.customer_id.in_(customer)),
        "suggestions": (Suggestion, Suggestion.customer_id.in_(customer)),
        "steps": (SuggestionStep, SuggestionStep.suggestion_id.in_(made)),
        "feedback": (Feedback, Feedback.suggestion_id.in_(made)),
        "reviews": (Review, or_(Review.suggestion_id.in_(made), Review.other_id.in_(made))),
        "shadow_scores": (ShadowScore, ShadowScore.suggestion_id.in_(made)),
        "cache_entries": (CacheEntry, CacheEntry.customer == external_id),
        "training_rows": (TrainingRow, TrainingRow.customer == external_id),
        "regression_cases": (
            RegressionCase,
            or_(RegressionCase.customer == external_id, RegressionCase.suggestion_id.in_(made)),
        ),
    }
    return {
        name: (table, (table.tenant_id == tenant_id) & which)
        for name, (table, which) in mine.items()
    }


def rows_of(session: Session, holding: Holding) -> list[Any]:
    """Return the rows of one holding, the oldest first."""
    table, which = holding
    return list(session.scalars(select(table).where(which).order_by(table.created_at, table.id)))
