"""Requests a client may repeat: the same key and body give the first answer again."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec

from flask import Response, current_app, g, request
from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.exc import IntegrityError

from webapp.context import database
from webapp.models import IdempotencyKey, utc_now
from webapp.problems import problem
from webapp.tombstones import erased_since

P = ParamSpec("P")

ABANDONED_AFTER = timedelta(minutes=15)
"""A request still without an answer after this long died with its process; it may be made again."""

KEPT_FOR = timedelta(hours=24)
TIDIED_EVERY = timedelta(hours=1)
"""An answer is given again for a day, and is deleted with the first request an hour later."""

LONGEST_KEY = 200


def idempotent(view: Callable[P, Any]) -> Callable[P, Any]:
    """Give the first answer again where `Idempotency-Key` was seen with the same request.

    The same key with another request is a 422; a first request that still runs is a 409. Only
    answers below 400 are kept, so a client may correct a mistake under the same key, and those for
    `KEPT_FOR`; none is kept where a customer was erased while it was made.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(*args, **kwargs)
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
            return problem(422, "Idempotency-Key: expected 1 to 200 printable characters")
        known = _claim(key, _request_hash())
        if known is not None:
            return _again(known, _request_hash())
        return _first(view, key, args, kwargs)

    return guarded


def _first(view: Callable[P, Any], key: str, args: Any, kwargs: Any) -> Any:
    try:
        response = current_app.make_response(view(*args, **kwargs))
    except BaseException:
        _forget(key)
        raise
    if response.status_code >= 400:
        _forget(key)
        return response
    _keep(key, response)
    return response


def _keep(key: str, response: Response) -> None:
    """Keep the answer, unless somebody was erased since the request came: it may be about them."""
    given = {"status_code": response.status_code, "response": response.get_data(as_text=True)}
    with database().write() as session:
        came = session.scalar(select(IdempotencyKey.created_at).where(*_is(key)))
        if came is not None and erased_since(session, g.caller.tenant_id, came):
            session.execute(delete(IdempotencyKey).where(*_is(key)))
        else:
            session.execute(update(IdempotencyKey).where(*_is(key)).values(given))


def _claim(key: str, request_hash: str) -> IdempotencyKey | None:
    """Store the key as ours and return None, or return the row that was there first."""
    _tidy()
    for _ in range(2):
        try:
            with database().write() as session:
                session.execute(delete(IdempotencyKey).where(*_is(key), _outlived()))
                session.add(
                    IdempotencyKey(tenant_id=g.caller.tenant_id, key=key, request_hash=request_hash)
                )
            return None
        except IntegrityError:
            with database().read() as session:
                row = session.scalars(select(IdempotencyKey).where(*_is(key))).one_or_none()
        # The first request may have failed in between and given its key back.
        if row is not None:
            return row
    return IdempotencyKey(key=key, request_hash=request_hash)


def _outlived() -> ColumnElement[bool]:
    """Return what holds for a request that died and for an answer that was kept long enough."""
    answered, now = IdempotencyKey.status_code.is_not(None), utc_now()
    return or_(
        and_(~answered, IdempotencyKey.created_at < now - ABANDONED_AFTER),
        and_(answered, IdempotencyKey.created_at < now - KEPT_FOR),
    )


def _tidy() -> None:
    """Delete what has outlived its use, now and then: looking through all is dear."""
    tidied: datetime | None = current_app.extensions.get("frugaldesk.keys_tidied")
    if tidied is not None and tidied > utc_now() - TIDIED_EVERY:
        return
    current_app.extensions["frugaldesk.keys_tidied"] = utc_now()
    with database().write() as session:
        session.execute(delete(IdempotencyKey).where(_outlived()))


def _again(row: IdempotencyKey, request_hash: str) -> Response:
    if row.request_hash != request_hash:
        return problem(
            422, "this Idempotency-Key was used for another request; use a new key for a new one"
        )
    if row.response is None or row.status_code is None:
        response = problem(409, "the first request with this Idempotency-Key is still running")
        response.headers["Retry-After"] = "2"
        return response
    response = Response(row.response, row.status_code, content_type="application/json")
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _forget(key: str) -> None:
    with database().write() as session:
        session.execute(delete(IdempotencyKey).where(*_is(key)))


def _is(key: str) -> tuple[ColumnElement[bool], ...]:
    return (IdempotencyKey.tenant_id == g.caller.tenant_id, IdempotencyKey.key == key)


def _request_hash() -> str:
    asked = f"{request.method} {request.path}\n".encode() + request.get_data()
    return hashlib.sha256(asked).hexdigest()
