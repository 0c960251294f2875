"""Lists in parts: `limit` rows at a time, and a cursor that holds the place of the last one."""

import base64
import json
from collections.abc import Callable
from typing import Any, TypeVar

from apiflask import HTTPError
from pydantic import TypeAdapter
from sqlalchemy import Select, and_, or_
from sqlalchemy.orm import Session

from webapp.contracts import NewestFirstCursor, PageAsked
from webapp.models import TenantRow

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R", bound=TenantRow)


def newest_first(
    session: Session,
    query: Select[R],
    table: type[R],
    asked: PageAsked,
    *,
    shown: Callable[[R], dict[str, Any]],
) -> dict[str, Any]:
    """Return the part of the rows that was asked for, the newest first."""
    if asked.cursor:
        created_at, last_id = place_in(asked.cursor, NewestFirstCursor)
        same_moment = and_(table.created_at == created_at, table.id < last_id)
        query = query.where(or_(table.created_at < created_at, same_moment))
    return page(
        session,
        query.order_by(table.created_at.desc(), table.id.desc()),
        asked.limit,
        shown=shown,
        place=lambda row: [row.created_at.isoformat(), row.id],
    )


def page(
    session: Session,
    query: Select[T],
    limit: int,
    *,
    shown: Callable[[T], dict[str, Any]],
    place: Callable[[T], list[str | int]],
) -> dict[str, Any]:
    """Return one part of the rows, and where the next begins: behind the last row's place."""
    rows = session.scalars(query.limit(limit + 1)).all()
    data = [shown(row) for row in rows[:limit]]
    more = len(rows) > limit
    cursor = json.dumps(place(rows[limit - 1])) if more else ""
    return {
        "data": data,
        "next_cursor": base64.urlsafe_b64encode(cursor.encode()).decode() if more else None,
        "has_more": more,
    }


def place_in(cursor: str, place: TypeAdapter[P]) -> P:
    """Return the place that `page` put into a cursor, or answer 422."""
    try:
        return place.validate_json(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError as exc:
        message = "expected the next_cursor of the part before"
        raise HTTPError(422, "bad cursor", detail={"query": {"cursor": [message]}}) from exc
