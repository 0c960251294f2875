"""Tier 0: who sees what, what the guards and the scorer refuse, and what is forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest

from cascade.answering import Accepted, Escalated, answer
from cascade.cache import Asked, Cache, Counts, Entry, Hit, Which
from cascade.errors import BadCache
from cascade.memory_store import MemoryStore
from cascade.policy import Budgets, Policy, Tier
from cascade.pricing import PriceTable
from cascade.providers import DraftRequest
from cascade.scopes import Scope
from scoring.customer import Customer
from tests.cascade.cache_worlds import START, World, leaks, live, vector_of

ANN, BOB, EVE = Customer("ann", "gold"), Customer("bob", "gold"), Customer("eve", "silver")


def embed(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Small vectors in which texts of like words are near, the small words left out."""
    rows = np.zeros((len(texts), 64), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.casefold().strip("?").split():
            if len(word) > 3:
                row[sum(word.encode()) % 64] += 1.0
        row[0] += 0.01
    return rows


@dataclass(frozen=True)
class FakeScore:
    value: float
    adapter: str = "gold@3f9c"


def cache(
    store: MemoryStore, *, tenant: str = "t-1", knowledge: str = "v1", days: int = 0
) -> Cache:
    return Cache(
        store, embed, tenant=tenant, knowledge=knowledge, now=lambda: START + timedelta(days=days)
    )


def remembered(store: MemoryStore, scope: Scope, customer: Customer = ANN) -> Entry:
    question = "How do I turn on notifications?"
    return cache(store).remember("e-1", question, "In the settings.", customer, scope)


def asks(
    tier: Cache, customer: Customer, question: str = "How do I turn on notifications?"
) -> Accepted | Escalated:
    def score(answers: Sequence[str]) -> list[FakeScore]:
        return [FakeScore(0.3 if customer.id == "eve" else 0.9) for _ in answers]

    return answer(
        DraftRequest(question, customer),
        policy=Policy((Tier("cache", "cache", 0.8),), Budgets(), 10.0),
        providers={"cache": tier},
        score=score,
        prices=PriceTable(()),
        spent_today=lambda: Decimal(0),
    )


def test_a_similar_question_gets_the_answer_again_for_nothing() -> None:
    store = MemoryStore()
    remembered(store, "public")
    result = asks(cache(store), BOB, "How can I turn on my notifications?")
    assert isinstance(result, Accepted)
    assert (result.step.answer, result.step.origin) == ("In the settings.", "e-1")
    assert (str(result.cost), result.step.source) == ("0", "cache")


def test_the_scorer_refuses_for_a_customer_whom_it_does_not_suit() -> None:
    store = MemoryStore()
    remembered(store, "public")
    result = asks(cache(store), EVE)
    assert isinstance(result, Escalated)
    assert (result.steps[0].score, result.steps[0].accepted) == (0.3, False)
    assert (result.steps[0].answer, result.steps[0].candidates) == ("In the settings.", 1)


def test_the_guards_refuse_the_opposite_and_say_why() -> None:
    store = MemoryStore()
    remembered(store, "public")
    result = asks(cache(store), BOB, "How do I turn off notifications?")
    assert isinstance(result, Escalated)
    assert result.steps[0].candidates == 0
    note = "1 similar question refused: one asks the opposite of the other"
    assert result.steps[0].note == note
    assert note in result.reason


def test_another_question_finds_nothing() -> None:
    store = MemoryStore()
    remembered(store, "public")
    result = asks(cache(store), BOB, "Where does parcel delivery happen?")
    assert (result.steps[0].candidates, result.steps[0].note) == (0, None)


@pytest.mark.parametrize(
    ("scope", "seen_by"),
    [("public", {"ann", "bob", "eve"}), ("segment", {"ann", "bob"}), ("customer", {"ann"})],
)
def test_a_scope_is_kept_to(scope: Scope, seen_by: set[str]) -> None:
    store = MemoryStore()
    remembered(store, scope)
    question = "How do I turn on notifications?"
    seen = {who.id for who in (ANN, BOB, EVE) if cache(store).look_up(question, who).hits}
    assert seen == seen_by
    assert not cache(store, tenant="t-2").look_up(question, ANN).hits


def test_other_knowledge_or_age_ends_an_entry_and_a_pin_only_age() -> None:
    store, question = MemoryStore(), "How do I turn on notifications?"
    remembered(store, "public")
    assert cache(store, days=29).look_up(question, BOB).hits
    assert not cache(store, days=30).look_up(question, BOB).hits
    assert not cache(store, knowledge="v2").look_up(question, BOB).hits
    assert store.pin("t-1", "e-1", True)
    assert cache(store, days=400).look_up(question, BOB).hits
    assert not cache(store, knowledge="v2").look_up(question, BOB).hits
    assert not store.pin("t-1", "e-2", True)
    assert not store.pin("t-2", "e-1", True)


def test_one_answer_under_two_questions_is_offered_once() -> None:
    store = MemoryStore()
    remembered(store, "public")
    cache(store).remember("e-2", "turn on notifications", "In the settings.", BOB, "public")
    assert asks(cache(store), BOB).steps[0].candidates == 1


def test_erasing_a_customer_takes_what_was_made_for_them_and_nothing_else() -> None:
    store = MemoryStore()
    scopes: tuple[Scope, ...] = ("public", "segment", "customer")
    for number, scope in enumerate(scopes):
        cache(store).remember(f"a-{number}", "q", "a", ANN, scope)
        cache(store).remember(f"b-{number}", "q", "a", BOB, scope)
    assert store.delete("t-2", Which(customer="ann")) == 0
    assert store.delete("t-1", Which(customer="ann")) == 3
    assert store.counts("t-1") == Counts(1, 1, 1, 0)
    assert store.delete("t-1", Which(segment="gold", entry="b-0")) == 1
    assert store.delete("t-1", Which(other_knowledge="v1")) == 0
    assert store.delete("t-1", Which(other_knowledge="v2")) == 2


def test_nothing_is_deleted_by_accident() -> None:
    with pytest.raises(BadCache, match="nothing says which"):
        Which()


def test_the_longest_unused_leave_first_and_pinned_ones_never() -> None:
    store, tier = MemoryStore(), cache(MemoryStore())
    for number in range(5):
        now = START + timedelta(hours=number)
        entry = tier.remember(f"e-{number}", "q", f"a{number}", ANN, "public")
        store.put(replace(entry, made_at=now), vector_of(number, 8))
    store.pin("t-1", "e-1", True)
    store.touch("t-1", "e-0", START + timedelta(hours=9))
    assert store.evict("t-1", limit=3, at=START) == 2
    assert [n for n in range(5) if store.get("t-1", f"e-{n}")] == [0, 1, 4]
    assert store.evict("t-1", limit=0, at=START) == 2
    assert store.counts("t-1") == Counts(public=1, pinned=1)


def test_remembering_keeps_a_tenant_within_its_limit() -> None:
    store = MemoryStore()
    for number in range(10):
        cache(store).remember(f"e-{number}", "q", "a", ANN, "public", limit=4)
    assert store.counts("t-1").total == 4


def test_an_entry_names_whom_it_is_for() -> None:
    entry = remembered(MemoryStore(), "public")
    with pytest.raises(BadCache, match="name the segment"):
        replace(entry, scope="segment", segment=None)
    with pytest.raises(BadCache, match="name the customer"):
        replace(entry, scope="customer", customer=None)
    with pytest.raises(BadCache, match="time zone"):
        replace(entry, made_at=START.replace(tzinfo=None))


def test_a_store_that_leaks_is_stopped() -> None:
    class Leaking(MemoryStore):
        def nearest(self, asked: Asked, *, most: int) -> Sequence[Hit]:
            return [Hit(entry, 1.0)]

    entry = remembered(MemoryStore(), "customer")
    with pytest.raises(BadCache, match="may not see"):
        cache(Leaking()).look_up(entry.question, BOB)
    assert asks(cache(Leaking()), BOB).steps[0].error == "provider cache raised BadCache"


def test_nothing_leaks_in_twenty_thousand_stores_and_look_ups() -> None:
    world, store = World(("t-1", "t-2", "t-3")), MemoryStore()
    found = seen = 0
    for asked, (hits,) in live(world, Random(0), [store], 20_000):
        assert leaks(asked, hits) == []
        found, seen = found + bool(hits), seen + len(hits)
    # A test in which nobody sees anything proves nothing.
    assert found > 10_000
    assert seen > 50_000
