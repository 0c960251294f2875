"""Random stores and look-ups, in which every answer says in its own text who may see it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np

from cascade.cache import Asked, Entry, Hit, Store, Vector, Which
from cascade.scopes import Scope

START = datetime(2026, 3, 2, tzinfo=UTC)
SCOPES: tuple[Scope, ...] = ("public", "segment", "customer")


@dataclass(frozen=True)
class World:
    """The names that random entries and askers are made of; tenants share all but their own."""

    tenants: tuple[str, ...]
    customers: tuple[str, ...] = ("c-1", "c-2", "c-3", "gold", "public", "*")
    segments: tuple[str | None, ...] = ("gold", "silver", "customer", None)
    knowledge: tuple[str, ...] = ("v1", "v2")
    dim: int = 8
    questions: int = 5


def vector_of(question: int, dim: int) -> Vector:
    """One direction for each question, the same for everybody who asks it."""
    row = np.random.default_rng(question).normal(size=dim).astype(np.float32)
    vector: Vector = (row / np.linalg.norm(row)).astype(np.float32)
    return vector


def random_entry(world: World, random: Random, number: int, at: datetime) -> tuple[Entry, Vector]:
    """An entry whose answer names its tenant, scope, owner, knowledge and end."""
    question = random.randrange(world.questions)
    segment = random.choice(world.segments)
    scope = random.choice([each for each in SCOPES if each != "segment" or segment is not None])
    tenant, knowledge = random.choice(world.tenants), random.choice(world.knowledge)
    customer = random.choice(world.customers)
    owner = {"public": None, "segment": segment, "customer": customer}[scope]
    expires_at = at + timedelta(minutes=random.randrange(1, 600))
    pinned = random.random() < 0.02
    rights = [tenant, scope, owner, knowledge, None if pinned else expires_at.isoformat()]
    entry = Entry(
        id=f"e-{number}",
        tenant=tenant,
        scope=scope,
        question=f"question {question}",
        answer=json.dumps(rights),
        knowledge=knowledge,
        made_at=at,
        expires_at=expires_at,
        customer=customer,
        segment=segment,
        pinned=pinned,
    )
    return entry, vector_of(question, world.dim)


def random_asked(world: World, random: Random, at: datetime) -> Asked:
    """A look-up by anybody."""
    return Asked(
        random.choice(world.tenants),
        random.choice(world.customers),
        random.choice(world.segments),
        random.choice(world.knowledge),
        at,
        vector_of(random.randrange(world.questions), world.dim),
    )


def leaks(asked: Asked, hits: Sequence[Hit]) -> list[str]:
    """The answers among the hits that this asker may not see, by what they say of themselves."""
    owner = {"public": None, "segment": asked.segment, "customer": asked.customer}
    found = []
    for hit in hits:
        tenant, scope, owned_by, knowledge, ends = json.loads(hit.entry.answer)
        fits = (
            tenant == asked.tenant
            and knowledge == asked.knowledge
            and owned_by == owner[scope]
            and (scope == "public" or owned_by is not None)
            and (ends is None or datetime.fromisoformat(ends) > asked.at)
        )
        if not fits:
            found.append(hit.entry.answer)
    return found


def live(
    world: World, random: Random, stores: Sequence[Store], rounds: int, *, limit: int = 40
) -> Iterator[tuple[Asked, list[Sequence[Hit]]]]:
    """Put, look up, use, pin, delete and evict at random in all stores alike.

    Yields each look-up and what every store gave for it.
    """
    at = START
    for number in range(rounds):
        at += timedelta(minutes=1)
        entry, vector = random_entry(world, random, number, at)
        asked = random_asked(world, random, at)
        chance = random.random()
        which = random.choice(
            [
                Which(customer=random.choice(world.customers)),
                Which(segment=random.choice([each for each in world.segments if each])),
                Which(knowledge=random.choice(world.knowledge)),
                Which(other_knowledge=random.choice(world.knowledge)),
                Which(entry=f"e-{random.randrange(number + 1)}"),
            ]
        )
        used = f"e-{random.randrange(max(0, number - 50), number + 1)}"
        pinned = random.random() < 0.5
        for store in stores:
            store.put(entry, vector)
            if chance < 0.3:
                store.touch(entry.tenant, used, at)
            if chance < 0.02:
                store.delete(entry.tenant, which)
            if 0.3 < chance < 0.35:
                store.evict(entry.tenant, limit=limit, at=at)
            if 0.35 < chance < 0.355:
                kept = store.get(entry.tenant, used)
                # What is pinned lives beyond its end, so only what says so itself is.
                if kept is not None and json.loads(kept.answer)[4] is None:
                    store.pin(entry.tenant, used, pinned)
        yield asked, [store.nearest(asked, most=8) for store in stores]
