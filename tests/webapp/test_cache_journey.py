"""One answer's way through the cache, judged by the demo's really trained adapters."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from cascade.cache import unit_vector
from scoring.encoder import load_encoder
from scoring.registry import Registry
from tests.webapp.cache_shop import CacheShop, complete_with, serving
from tests.webapp.people import add_people
from webapp import access, adapters, customers, knowledge
from webapp.cache_stores import DatabaseStore
from webapp.db import Database
from webapp.demo.policy import TOPIC_BY_NAME

QUESTION = "Is the return of my parka free?"
IN_OTHER_WORDS = "Is sending my parka back free?"
THE_OPPOSITE = "Is the delivery of my parka free?"
GRANTED = "Don't worry about postage, it is fully covered on our side."
POLICY = TOPIC_BY_NAME["return_shipping"]
"""In the US it grants free returns to gold customers and to nobody else."""

PROFILE: Mapping[str, str | float | bool] = {
    "days_since_purchase": 7,
    "order_status": "in_transit",
    "region": "US",
    "order_total": 227.95,
    "item_category": "regular",
    "payment_method": "paypal",
    "fraud_flag": False,
    "loyalty_points": 950,
    "lifetime_orders": 18,
}


@pytest.fixture
def shop(
    database: Database, demo_var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CacheShop]:
    """A shop with the demo's adapters, one passage and no macros, whose model grants it to all."""

    def grant(handler: BaseHTTPRequestHandler, _: Mapping[str, Any]) -> None:
        complete_with(GRANTED, handler)

    trained = demo_var / "adapters"
    tenant = add_tenant(database, Registry(trained))
    told = {"FRUGALDESK_ADAPTERS": str(trained), "FRUGALDESK_THRESHOLD": "0.7"}
    with serving(database, tmp_path, monkeypatch, tenant, grant, **told) as opened:
        yield opened


def add_tenant(database: Database, registry: Registry) -> tuple[str, str]:
    """Add the tenant with seven customers in each of two segments; return its id and a key."""
    manifests = [registry.manifest(version) for version in registry.champions().values()]
    with database.write() as session:
        tenant = add_people(session)
        for segment in ("gold", "guest"):
            for number in range(1, 8):
                profile = {**PROFILE, "membership": segment}
                name = f"{segment}-{number}"
                customers.put(session, tenant, name, segment=segment, features=profile)
        knowledge.put_passage(session, tenant, "p-1", title=POLICY.title, body=POLICY.passage)
        adapters.publish(session, tenant, manifests, actor="test")
        return tenant, access.create_api_key(session, tenant, "test")


def test_a_trained_scorer_says_who_gets_an_answer_again(shop: CacheShop) -> None:
    first = shop.ask("gold-1", QUESTION)
    assert (first["source"], first["answer"]) == ("llm", GRANTED)
    assert shop.scopes() == {GRANTED: "segment"}

    again = shop.ask("gold-2", IN_OTHER_WORDS)
    assert (again["source"], again["answer"], again["cost_usd"]) == ("cache", GRANTED, "0")
    assert again["adapter"].startswith("gold@")
    assert again["score"] >= again["threshold"]

    guest = shop.ask("guest-1", QUESTION)
    assert guest["status"] == "escalated"
    assert (guest["steps"][0]["source"], guest["steps"][0]["candidates"]) == ("cache", 0)

    opposite = shop.ask("gold-3", THE_OPPOSITE)
    assert opposite["steps"][0]["candidates"] == 0
    assert "1 similar question refused" in opposite["steps"][0]["note"]

    with shop.database.write() as session:
        changed = POLICY.passage.replace("gold", "platinum")
        knowledge.put_passage(session, shop.tenant, "p-1", title=POLICY.title, body=changed)
    asked = [shop.ask(each, QUESTION) for each in ("gold-4", "guest-2")]
    assert [each["steps"][0]["candidates"] for each in asked] == [0, 0]


def test_an_answer_that_everybody_may_see_is_still_scored_for_who_asks(shop: CacheShop) -> None:
    """The scorer alone keeps it from the guest for whom it is wrong."""
    shop.ask("gold-1", QUESTION)
    store, (row,) = DatabaseStore(shop.database), shop.entries()
    entry = store.get(shop.tenant, row.name)
    assert entry is not None
    store.put(replace(entry, scope="public"), unit_vector(load_encoder().embed, entry.question))
    assert shop.ask("gold-2", QUESTION)["source"] == "cache"
    guest = shop.ask("guest-1", QUESTION)
    step = guest["steps"][0]
    assert guest["status"] == "escalated"
    assert (step["answer"], step["accepted"]) == (GRANTED, False)
    assert step["score"] < step["threshold"]
