"""Erasing a customer: every row that holds anything of them goes, and a tombstone stays.

Export, in `webapp.customer_export`, shows what there is before it goes; docs/privacy.md says what
neither reaches.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from webapp import adapters, audit, cache_stores
from webapp.errors import Refused, Unknown
from webapp.holdings import Holding, holdings
from webapp.models import CacheEntry, Erasure, IdempotencyKey
from webapp.tombstones import customer_hash, take_turn

__all__ = ["Erased", "customer_hash", "erase"]

LOCK_NOT_AVAILABLE = "55P03"
TRIES = 100
PAUSE_S = 0.05


@dataclass(frozen=True)
class Erased:
    """How many rows went, by what they held, and which adapters are to be trained again."""

    deleted: Mapping[str, int]
    marked: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as the API gives it."""
        return {"deleted": dict(self.deleted), "adapters_marked": list(self.marked)}


def erase(session: Session, tenant_id: str, external_id: str, *, actor: str, secret: str) -> Erased:
    """Delete all that is held on the customer, in the caller's transaction, leaving a tombstone.

    Every adapter that learnt from them, and every one of which nobody knows whom it learnt from, is
    marked to be trained again. Raises `Unknown` where nothing is held on anybody of this id, and
    `Refused` where the customer's tickets are written to without a pause.
    """
    take_turn(session, tenant_id)
    held = holdings(tenant_id, external_id)
    _hold(session, tenant_id, held)
    deleted = {name: _count(session, each) for name, each in held.items()}
    if not any(deleted.values()):
        raise Unknown(f"nothing is held on a customer {external_id!r} here; there is none to erase")
    names = {external_id, *_ids(session, held)}
    deleted["idempotency_keys"] = _delete_answers(session, tenant_id, names)
    _delete(session, tenant_id, external_id, held)
    hashed = customer_hash(secret, tenant_id, external_id)
    marked = adapters.mark_learnt_from(session, tenant_id, hashed)
    tombstone = Erasure(
        tenant_id=tenant_id, customer_hash=hashed, actor=actor, deleted=dict(deleted)
    )
    session.add(tombstone)
    session.flush()
    told = {**deleted, "adapters_marked": len(marked)}
    audit.record(session, tenant_id, actor, "customer.erased", tombstone.id, **told)
    session.expire_all()
    return Erased(deleted, marked)


def _hold(session: Session, tenant_id: str, held: Mapping[str, Holding]) -> None:
    """Lock the cache's turn, the customer, their tickets and suggestions, until the end.

    Others lock these in one order or another. So nothing is waited for while something is held:
    where one is taken, all are let go and tried again.
    """
    for _ in range(TRIES):
        try:
            with session.begin_nested():
                cache_stores.take_turn(session, tenant_id)
                for name in ("profile", "tickets", "suggestions"):
                    table, which = held[name]
                    session.execute(select(table.id).where(which).with_for_update(nowait=True))
        except OperationalError as exc:
            if getattr(exc.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            time.sleep(PAUSE_S)
        else:
            return
    raise Refused("tickets of this customer are being written to without a pause; try again later")


def _count(session: Session, holding: Holding) -> int:
    table, which = holding
    return session.scalar(select(func.count()).select_from(table).where(which)) or 0


def _ids(session: Session, held: Mapping[str, Holding]) -> Iterator[str]:
    """Yield the ids that an answer of the API may hold instead of the customer's."""
    for name in ("suggestions", "feedback", "history"):
        table, which = held[name]
        yield from session.scalars(select(table.id).where(which))


def _delete_answers(session: Session, tenant_id: str, names: set[str]) -> int:
    """Delete the kept answers of the API in which one of these stands as a value; how many."""
    kept = select(IdempotencyKey.id, IdempotencyKey.response).where(
        IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.response.is_not(None)
    )
    answers = session.execute(kept.execution_options(yield_per=500))
    meant = [
        each for each, answer in answers if not names.isdisjoint(_texts(json.loads(answer or "")))
    ]
    session.execute(
        delete(IdempotencyKey)
        .where(IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.id.in_(meant))
        .execution_options(synchronize_session=False)
    )
    return len(meant)


def _texts(value: object) -> Iterator[str]:
    """Yield every string that is a value in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _delete(
    session: Session, tenant_id: str, external_id: str, held: Mapping[str, Holding]
) -> None:
    """Delete what the customer's own row does not take with it, then that row with the rest."""
    cache_stores.delete_entries(session, tenant_id, CacheEntry.customer == external_id)
    for name in ("training_rows", "regression_cases", "profile"):
        table, which = held[name]
        session.execute(delete(table).where(which).execution_options(synchronize_session=False))
