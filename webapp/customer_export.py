"""Everything held on one customer as JSON: what `webapp.erasure` would delete, readable."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from webapp import suggestions
from webapp.errors import Unknown
from webapp.holdings import holdings, rows_of
from webapp.models import Base, Suggestion, SuggestionStep, utc_now

KEYS = {
    "profile": ("external_id", "segment", "features", "name", "email", "created_at", "updated_at"),
    "history": ("id", "at", "text", "created_at"),
    "tickets": (
        *("id", "external_id", "subject", "body", "status", "reply", "replied_at", "created_at"),
    ),
    "feedback": (
        *("id", "suggestion_id", "action", "final_text", "reason", "rating", "suits"),
        *("withdrawn_at", "created_at"),
    ),
    "reviews": (
        *("id", "kind", "suggestion_id", "other_id", "round", "status", "reason", "closed_at"),
        *("root_cause", "rubric", "suits", "note", "created_at"),
    ),
    "shadow_scores": ("suggestion_id", "position", "adapter", "score", "created_at"),
    "cache_entries": (
        *("name", "scope", "segment", "question", "answer", "pinned", "uses", "used_at"),
        *("expires_at", "created_at"),
    ),
    "training_rows": ("segment", "row", "source", "created_at"),
    "regression_cases": ("segment", "suggestion_id", "label", "row", "created_at"),
}
"""Which columns of each holding are given: all but those that name the service's own people."""


def export(session: Session, tenant_id: str, external_id: str) -> dict[str, Any]:
    """Return everything held on the customer, times in ISO 8601 and UTC, oldest first.

    `profile` is None where only training rows are held. Raises `Unknown` where nothing is.
    """
    held = holdings(tenant_id, external_id)
    rows = {name: rows_of(session, each) for name, each in held.items()}
    if not any(rows.values()):
        raise Unknown(f"nothing is held on a customer {external_id!r} here; there is none to give")
    found = {name: [_plain(row, keys) for row in rows[name]] for name, keys in KEYS.items()}
    profile = found.pop("profile")
    feedback = found.pop("feedback")
    return {
        "external_id": external_id,
        "exported_at": utc_now().isoformat(),
        "profile": profile[0] if profile else None,
        **found,
        "suggestions": [_suggestion(row, feedback) for row in rows["suggestions"]],
    }


def _suggestion(row: Suggestion, feedback: list[dict[str, Any]]) -> dict[str, Any]:
    given = suggestions.as_json(row)
    return {
        **given,
        "question": row.question,
        "shown": row.shown,
        "finished_at": _json(row.finished_at),
        "steps": [_step(each) for each in row.steps],
        "feedback": [each for each in feedback if each["suggestion_id"] == row.id],
    }


def _step(row: SuggestionStep) -> dict[str, Any]:
    """Return a step with its answer even where nobody was shown it."""
    return {**suggestions.step_as_json(row), "answer": row.answer, "origin": row.origin}


def _plain(row: Base, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: _json(getattr(row, key)) for key in keys}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value
