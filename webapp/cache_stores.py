"""The cache in the database: entries in one table, their vectors beside them, scopes in WHERE."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from cascade.cache import Asked, Counts, Entry, Hit, Vector, Which
from cascade.scopes import Scope
from webapp import audit
from webapp.audit import Caller
from webapp.cache_search import END_MOVED, TURN, PostgresSearch, Search, SqliteSearch
from webapp.db import Database
from webapp.models import CacheEntry, Customer

FOREVER = 2**62
"""When a pinned entry expires, in the microseconds that vectors carry."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseStore:
    """The `cascade.cache.Store` of every tenant, in the service's database.

    Each call is a transaction of its own.

    >>> Cache(DatabaseStore(database), encoder.embed, tenant=tenant_id, knowledge=version)
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        sqlite = database.engine.dialect.name == "sqlite"
        self._search: Search = SqliteSearch() if sqlite else PostgresSearch()

    def nearest(self, asked: Asked, *, most: int) -> Sequence[Hit]:
        """Up to `most` entries that are `visible` to the asker, nearest first."""
        parameters = {
            "tenant": asked.tenant,
            "customer": asked.customer,
            # No entry of a segment has an empty one, so nobody without a segment finds any.
            "segment": asked.segment if asked.segment is not None else "",
            "knowledge": asked.knowledge,
            "now": _microseconds(asked.at),
            "asked": self._search.written(asked.vector),
        }
        with self._database.read() as session:
            near = self._search.nearest(session, parameters, int(asked.vector.size), most)
            rows = session.scalars(
                select(CacheEntry).where(
                    CacheEntry.tenant_id == asked.tenant,
                    CacheEntry.id.in_([entry_id for entry_id, _ in near]),
                )
            )
            entries = {row.id: _entry(row) for row in rows}
        hits = [Hit(entries[each], cosine) for each, cosine in near if each in entries]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.entry.id))

    def put(self, entry: Entry, vector: Vector) -> None:
        """Add an entry, in the place of the tenant's entry of that id if there is one."""
        row = CacheEntry(
            tenant_id=entry.tenant,
            name=entry.id,
            scope=entry.scope,
            customer=entry.customer,
            segment=entry.segment,
            knowledge=entry.knowledge,
            question=entry.question,
            answer=entry.answer,
            expires_at=entry.expires_at,
            pinned=entry.pinned,
            used_at=entry.made_at,
            created_at=entry.made_at,
        )
        with self._database.write() as session:
            delete_entries(session, entry.tenant, CacheEntry.name == entry.id)
            session.add(row)
            session.flush()
            parameters = {
                "tenant": entry.tenant,
                "id": row.id,
                "scope": entry.scope,
                "customer": entry.customer,
                "segment": entry.segment,
                "knowledge": entry.knowledge,
                "end": _end(entry),
                "vector": self._search.written(vector),
            }
            session.execute(self._search.added, parameters)

    def get(self, tenant: str, entry_id: str) -> Entry | None:
        """The tenant's entry of that id, or None."""
        with self._database.read() as session:
            row = session.scalar(select(CacheEntry).where(*_named(tenant, entry_id)))
            return None if row is None else _entry(row)

    def touch(self, tenant: str, entry_id: str, at: datetime) -> None:
        """Count a use of the entry; one that is gone is no error."""
        used = update(CacheEntry).where(*_named(tenant, entry_id))
        with self._database.write() as session:
            session.execute(used.values(uses=CacheEntry.uses + 1))
            session.execute(used.where(CacheEntry.used_at < at).values(used_at=at))

    def pin(self, tenant: str, entry_id: str, pinned: bool) -> bool:
        """Pin or unpin an entry; whether there was one."""
        with self._database.write() as session:
            row = session.scalar(select(CacheEntry).where(*_named(tenant, entry_id)))
            if row is None:
                return False
            row.pinned = pinned
            session.execute(END_MOVED, {"tenant": tenant, "id": row.id, "end": _end(_entry(row))})
            return True

    def delete(self, tenant: str, which: Which) -> int:
        """Delete the tenant's entries that are meant, vectors too; how many there were."""
        with self._database.write() as session:
            return erase(session, tenant, which)

    def evict(self, tenant: str, *, limit: int, at: datetime) -> int:
        """Delete what has expired, then the longest unused down to the limit; how many."""
        loose = CacheEntry.pinned.is_(False)
        mine = CacheEntry.tenant_id == tenant
        with self._database.write() as session:
            gone = delete_entries(session, tenant, loose, CacheEntry.expires_at <= at)
            count = session.scalar(select(func.count()).select_from(CacheEntry).where(mine)) or 0
            if count <= limit:
                return gone
            longest_unused = (
                select(CacheEntry.id)
                .where(mine, loose)
                .order_by(CacheEntry.used_at, CacheEntry.uses, CacheEntry.name)
                .limit(count - limit)
            )
            return gone + delete_entries(session, tenant, CacheEntry.id.in_(longest_unused))

    def counts(self, tenant: str) -> Counts:
        """How many entries the tenant has, expired ones included."""
        query = (
            select(CacheEntry.scope, CacheEntry.pinned, func.count())
            .where(CacheEntry.tenant_id == tenant)
            .group_by(CacheEntry.scope, CacheEntry.pinned)
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
        of = {scope: sum(n for each, _, n in rows if each == scope) for scope, _, _ in rows}
        return Counts(
            public=of.get("public", 0),
            segment=of.get("segment", 0),
            customer=of.get("customer", 0),
            pinned=sum(n for _, pinned, n in rows if pinned),
        )


def take_turn(session: Session, tenant: str) -> None:
    """Let one writer at a time add or delete a tenant's entries, so that none waits for another's.

    SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(TURN, {"turn": f"cache of {tenant}"})


def erase(session: Session, tenant: str, which: Which) -> int:
    """Delete the tenant's entries that are meant, in the caller's transaction; how many."""
    columns = {
        "id": CacheEntry.name,
        "customer": CacheEntry.customer,
        "segment": CacheEntry.segment,
        "knowledge": CacheEntry.knowledge,
    }
    meant = [columns[name] == value for name, value in which.given.items()]
    if which.other_knowledge is not None:
        meant.append(CacheEntry.knowledge != which.other_knowledge)
    return delete_entries(session, tenant, *meant)


def _named(tenant: str, entry_id: str) -> tuple[ColumnElement[bool], ...]:
    return CacheEntry.tenant_id == tenant, CacheEntry.name == entry_id


def erase_recorded(session: Session, caller: Caller, which: Which) -> int:
    """Delete what a person says, with an audit entry; how many entries there were."""
    count = erase(session, caller.tenant_id, which)
    about = [name for name, value in vars(which).items() if value is not None]
    subject = which.entry or _customer_row(session, caller.tenant_id, which.customer)
    subject = subject or which.segment or which.knowledge or "outdated"
    audit.record(
        session,
        caller.tenant_id,
        caller.actor,
        "cache.erased",
        subject,
        by=", ".join(about),
        entries=count,
    )
    return count


def _customer_row(session: Session, tenant: str, customer: str | None) -> str | None:
    """Return the id of the customer's row: the audit log cannot be changed, so it names nobody."""
    if customer is None:
        return None
    mine = (Customer.tenant_id == tenant, Customer.external_id == customer)
    return session.scalar(select(Customer.id).where(*mine)) or "a customer not known here"


def pin_recorded(database: Database, caller: Caller, entry_id: str, pinned: bool) -> bool:
    """Pin or unpin an entry, with an audit entry; whether there was one."""
    if not DatabaseStore(database).pin(caller.tenant_id, entry_id, pinned):
        return False
    action = "cache.pinned" if pinned else "cache.unpinned"
    with database.write() as session:
        audit.record(session, caller.tenant_id, caller.actor, action, entry_id)
    return True


def delete_entries(session: Session, tenant: str, *meant: ColumnElement[bool]) -> int:
    """Delete the tenant's entries that are meant; their vectors go with them by reference."""
    take_turn(session, tenant)
    found = delete(CacheEntry).where(CacheEntry.tenant_id == tenant, *meant)
    done = cast(
        "CursorResult[Any]", session.execute(found.execution_options(synchronize_session=False))
    )
    return int(done.rowcount)


def _entry(row: CacheEntry) -> Entry:
    return Entry(
        id=row.name,
        tenant=row.tenant_id,
        scope=cast("Scope", row.scope),
        question=row.question,
        answer=row.answer,
        knowledge=row.knowledge,
        made_at=row.created_at,
        expires_at=row.expires_at,
        customer=row.customer,
        segment=row.segment,
        pinned=row.pinned,
    )


def _end(entry: Entry) -> int:
    return FOREVER if entry.pinned else _microseconds(entry.expires_at)


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
