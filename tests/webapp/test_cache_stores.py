"""The cache in both databases: agrees with the reference, leaks nothing, forgets on demand."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random

import numpy as np
import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import IntegrityError

from cascade.cache import Asked, Counts, Entry, Hit, Vector, Which
from cascade.memory_store import MemoryStore
from tests.cascade.cache_worlds import START, World, leaks, live, random_asked, random_entry
from webapp import models
from webapp.cache_search import FEW
from webapp.cache_stores import DatabaseStore
from webapp.db import Database
from webapp.knowledge import Library, put_passage

TENANTS = ("t-1", "t-2", "t-3")
SAME = 1e-5
"""How far one cosine may be from another that was computed elsewhere in single precision."""


def populate(database: Database, world: World) -> None:
    with database.write() as session:
        session.add_all(models.Tenant(id=each, slug=each, name=each) for each in world.tenants)
        session.flush()
        session.add_all(
            models.Customer(tenant_id=tenant, external_id=customer, features={})
            for tenant in world.tenants
            for customer in world.customers
        )


def entry(number: int = 1, **changes: object) -> Entry:
    plain = Entry(
        id=f"e-{number}",
        tenant="t-1",
        scope="public",
        question="q",
        answer=f"a {number}",
        knowledge="v1",
        made_at=START,
        expires_at=START + timedelta(days=1),
        customer="c-1",
        segment="gold",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def asked(vector: Vector, **changes: object) -> Asked:
    return replace(Asked("t-1", "c-1", "gold", "v1", START, vector), **changes)  # type: ignore[arg-type]


def unit(seed: int, dim: int = 384) -> Vector:
    row = np.random.default_rng(seed).normal(size=dim).astype(np.float32)
    vector: Vector = (row / np.linalg.norm(row)).astype(np.float32)
    return vector


def ids(store: DatabaseStore | MemoryStore, asker: Asked, most: int = 8) -> list[str]:
    return [hit.entry.id for hit in store.nearest(asker, most=most)]


def sure(hits: Sequence[Hit]) -> set[str]:
    return {hit.entry.answer for hit in hits if hit.similarity > hits[-1].similarity + SAME}


def vectors_left(database: Database) -> list[int]:
    tables = ["cache_vectors"]
    if database.engine.dialect.name == "sqlite":
        tables.append("cache_nearest")
    with database.read() as session:
        return [session.scalar(text(f"SELECT count(*) FROM {each}")) or 0 for each in tables]


@pytest.fixture
def store(database: Database) -> DatabaseStore:
    populate(database, World(TENANTS))
    return DatabaseStore(database)


@pytest.mark.parametrize("dim", [8, 384])
def test_agrees_with_the_reference_and_leaks_nothing(store: DatabaseStore, dim: int) -> None:
    world, found = World(TENANTS, dim=dim, questions=300), 0
    for asker, (ours, reference) in live(world, Random(dim), [store, MemoryStore()], 400):
        assert leaks(asker, ours) == []
        for mine, theirs in zip(ours, reference, strict=True):
            assert abs(mine.similarity - theirs.similarity) < SAME
        # Of those as near as the last one, which are left out is nobody's business.
        assert sure(ours) == sure(reference)
        found += bool(sure(ours))
    assert found > 100


def test_many_alike_leak_nothing(store: DatabaseStore) -> None:
    world = World(TENANTS, dim=384)
    for asker, (hits,) in live(world, Random(7), [store], 300):
        assert leaks(asker, hits) == []


def test_finds_the_nearest_among_many_that_others_may_not_see(store: DatabaseStore) -> None:
    """Enough are shared that the index is asked, and most of what it holds is not the asker's."""
    reference, random = MemoryStore(), Random(3)
    count = 3 * FEW
    rows: list[tuple[Entry, Vector]] = []
    for number in range(count):
        scope = "public" if number % 2 else "segment"
        segment = random.choice(["gold", "silver"])
        tenant = "t-1" if number % 5 else random.choice(TENANTS)
        each = entry(number, scope=scope, segment=segment, tenant=tenant)
        rows.append((each, unit(number)))
    put_all(store, reference, rows)
    for number in range(40):
        near = unit(number) + 0.03 * unit(90_000 + number)
        asker = asked((near / np.linalg.norm(near)).astype(np.float32))
        ours, right = store.nearest(asker, most=4), reference.nearest(asker, most=4)
        assert ours[0].entry == right[0].entry
        assert abs(ours[0].similarity - right[0].similarity) < SAME


def put_all(
    store: DatabaseStore, reference: MemoryStore, rows: Iterable[tuple[Entry, Vector]]
) -> None:
    for each, vector in rows:
        store.put(each, vector)
        reference.put(each, vector)


def test_survives_a_restart(store: DatabaseStore, database: Database) -> None:
    for number in range(20):
        store.put(entry(number), unit(number))
    store.pin("t-1", "e-3", True)
    before = store.nearest(asked(unit(3)), most=8)
    database.engine.dispose()
    reopened = Database(database.url)
    again = DatabaseStore(reopened).nearest(asked(unit(3)), most=8)
    reopened.close()
    assert again == before
    assert again[0].entry == replace(entry(3), pinned=True)


def test_putting_an_entry_again_replaces_it(store: DatabaseStore, database: Database) -> None:
    store.put(entry(answer="old"), unit(1))
    store.put(entry(answer="new", scope="segment"), unit(2))
    store.put(entry(tenant="t-2", answer="theirs"), unit(1))
    hits = store.nearest(asked(unit(2)), most=8)
    assert [(hit.entry.answer, round(hit.similarity, 3)) for hit in hits] == [("new", 1.0)]
    assert set(vectors_left(database)) == {2}


def test_expiry_and_pins(store: DatabaseStore) -> None:
    for scope in ("public", "segment", "customer"):
        store.put(entry(scope=scope, id=scope), unit(1))
    almost, end = START + timedelta(days=1, microseconds=-1), START + timedelta(days=1)
    assert len(ids(store, asked(unit(1), at=almost))) == 3
    assert ids(store, asked(unit(1), at=end)) == []
    for scope in ("public", "customer"):
        assert store.pin("t-1", scope, True)
    assert ids(store, asked(unit(1), at=end)) == ["customer", "public"]
    store.pin("t-1", "public", False)
    assert ids(store, asked(unit(1), at=end)) == ["customer"]
    assert not store.pin("t-2", "public", True)


def test_other_knowledge_finds_nothing_and_is_deleted(
    store: DatabaseStore, database: Database
) -> None:
    store.put(entry(1), unit(1))
    store.put(entry(2, knowledge="v2", pinned=True), unit(1))
    assert ids(store, asked(unit(1), knowledge="v2")) == ["e-2"]
    assert store.delete("t-2", Which(other_knowledge="v1")) == 0
    assert store.delete("t-1", Which(other_knowledge="v1")) == 1
    assert ids(store, asked(unit(1))) == ["e-1"]
    assert store.delete("t-1", Which(knowledge="v1")) == 1
    assert set(vectors_left(database)) == {0}


def test_erasure_reaches_entries_and_vectors(store: DatabaseStore, database: Database) -> None:
    for number, scope in enumerate(("public", "segment", "customer")):
        store.put(entry(number, scope=scope), unit(number))
        store.put(entry(number + 3, scope=scope, customer="c-2", segment="silver"), unit(number))
        store.put(entry(number, scope=scope, tenant="t-2"), unit(number))
    assert store.delete("t-1", Which(customer="c-1")) == 3
    assert store.counts("t-1") == Counts(1, 1, 1, 0)
    assert store.delete("t-1", Which(segment="gold")) == 0
    assert store.delete("t-1", Which(segment="silver", entry="e-4")) == 1
    assert store.get("t-1", "e-4") is None
    assert store.get("t-1", "e-3") == entry(3, customer="c-2", segment="silver")
    assert store.counts("t-2").total == 3


def test_a_deleted_customer_or_tenant_takes_everything_along(
    store: DatabaseStore, database: Database
) -> None:
    for scope in ("public", "segment", "customer"):
        store.put(entry(scope=scope, id=scope), unit(1))
        store.put(entry(scope=scope, id=scope, tenant="t-2"), unit(1))
    with database.write() as session:
        ours = (models.Customer.tenant_id == "t-1", models.Customer.external_id == "c-1")
        session.execute(delete(models.Customer).where(*ours))
    assert ids(store, asked(unit(1))) == []
    shared = [] if database.engine.dialect.name == "postgresql" else [2]
    assert vectors_left(database) == [3, *shared]
    with database.write() as session:
        if database.engine.dialect.name == "postgresql":
            # The audit log keeps every tenant that has one; here is none to be kept.
            session.execute(text("ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only"))
        session.execute(delete(models.Tenant).where(models.Tenant.id == "t-2"))
    assert set(vectors_left(database)) == {0}
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(models.CacheEntry)) == 0


def test_eviction_is_the_references(store: DatabaseStore, database: Database) -> None:
    reference, random, world = MemoryStore(), Random(5), World(TENANTS[:1], dim=384)
    for number in range(60):
        rows = [random_entry(world, random, number, START + timedelta(minutes=number))]
        put_all(store, reference, rows)
        used, at = f"e-{random.randrange(60)}", START + timedelta(hours=random.randrange(9))
        for each in (store, reference):
            each.touch("t-1", used, at)
    for limit, at in ((50, START), (40, START + timedelta(hours=4)), (3, START), (0, START)):
        assert store.evict("t-1", limit=limit, at=at) == reference.evict("t-1", limit=limit, at=at)
        assert store.counts("t-1") == reference.counts("t-1")
        for _ in range(10):
            asker = random_asked(world, random, START)
            assert len(ids(store, asker)) == len(ids(reference, asker))
    assert vectors_left(database)[0] == store.counts("t-1").pinned


def test_vectors_of_another_encoder_are_never_compared(store: DatabaseStore) -> None:
    store.put(entry(1), unit(1, 768))
    store.put(entry(2, scope="customer"), unit(1, 768))
    assert ids(store, asked(unit(1))) == []
    assert ids(store, asked(unit(1, 768))) == ["e-1", "e-2"]


def test_nobody_without_a_segment_sees_what_is_for_one(store: DatabaseStore) -> None:
    store.put(entry(scope="segment"), unit(1))
    assert ids(store, asked(unit(1), segment=None)) == []
    assert ids(store, asked(unit(1), segment="silver")) == []
    assert ids(store, asked(unit(1), customer="c-2")) == ["e-1"]


def test_many_threads_put_and_look_up_at_once(store: DatabaseStore, database: Database) -> None:
    def work(number: int) -> int:
        store.put(entry(number % 3), unit(number % 3))
        store.touch("t-1", "e-1", START + timedelta(seconds=number))
        return len(store.nearest(asked(unit(1)), most=8))

    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(work, range(48)))
    assert all(1 <= each <= 3 for each in seen)
    assert store.counts("t-1").total == 3
    assert set(vectors_left(database)) == {3}


def test_a_reader_sees_an_entry_whole_or_not_at_all(
    store: DatabaseStore, database: Database
) -> None:
    with pytest.raises(IntegrityError):
        store.put(entry(customer="nobody"), unit(1))
    assert store.get("t-1", "e-1") is None
    assert set(vectors_left(database)) == {0}


def test_knowledge_has_a_version_that_changes_with_every_word(database: Database) -> None:
    populate(database, World(TENANTS))
    library = Library(lambda texts: np.ones((len(texts), 3), dtype=np.float32), "encoder")
    versions = []
    for tenant, body in (("t-1", "Yes."), ("t-1", "No."), ("t-1", "Yes."), ("t-2", "Yes.")):
        with database.write() as session:
            put_passage(session, tenant, "p-1", title="Returns", body=body)
        with database.read() as session:
            versions.append(library.of(session, tenant).version)
    assert versions[0] == versions[2] == versions[3] != versions[1]
