"""A segment's scorer is wrong, thirty verdicts say so, and a run makes it right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.returns import Trained
from tests.webapp.learning_shop import (
    QUESTION,
    YES,
    LearningShop,
    ask,
    judge,
    open_learning_shop,
)
from webapp import models, policies, retraining
from webapp.db import Database


@pytest.fixture
def shop(empty_database: Database, trained: Trained, tmp_path: Path) -> Iterator[LearningShop]:
    """A shop whose scorer thinks wrongly of some gold members."""
    shop = open_learning_shop(empty_database, tmp_path, trained)
    yield shop
    shop.close()


@pytest.fixture
def forward_shop(tmp_path: Path, trained: Trained) -> Iterator[LearningShop]:
    """Such a shop on SQLite that promotes by itself what the gate lets through."""
    database = Database(f"sqlite:///{tmp_path}/forward.db")
    shop = open_learning_shop(database, tmp_path, trained, FRUGALDESK_AUTO_PROMOTE="1")
    yield shop
    shop.close()
    database.close()


def carried_out(shop: LearningShop, client: FlaskClient, segment: str = "gold") -> dict[str, Any]:
    """Ask for a run, carry it out, and return it."""
    asked = client.post("/api/v1/runs", json={"segment": segment})
    assert asked.status_code == 201, asked.text
    run_id = (asked.json or {})["id"]
    retraining.carry_out(shop.database, shop.settings, run_id)
    run: dict[str, Any] = client.get(f"/api/v1/runs/{run_id}").json or {}
    assert run["status"] == "done", run
    return run


def test_thirty_verdicts_repair_a_segment_and_no_other(shop: LearningShop) -> None:
    client = shop.app()
    people = shop.those_between()
    someone = next(each.external_id for each in people if each.features["days_since_purchase"] > 40)
    before = ask(client, someone)
    assert (before["status"], before["answer"]) == ("suggested", YES)
    guests = [ask(client, each.external_id) for each in shop.people("guest")[:8]]

    judge(client, people, count=30)
    run = carried_out(shop, client)
    assert run["evaluation"]["promote"], run["evaluation"]["reasons"]

    promoted = client.post(f"/api/v1/adapters/{run['adapter']}/promote")
    assert promoted.status_code == 200, promoted.text
    after = ask(client, someone, QUESTION)
    assert (after["status"], after["adapter"]) == ("escalated", run["adapter"])
    assert after["score"] < after["threshold"]
    again = [ask(client, each.external_id) for each in shop.people("guest")[:8]]
    assert [each["score"] for each in again] == [each["score"] for each in guests]

    back = client.post("/api/v1/segments/gold/rollback")
    assert (back.json or {})["champion"] == before["adapter"]
    restored = ask(client, someone)
    assert (restored["status"], restored["score"]) == ("suggested", before["score"])


def test_flipped_labels_are_refused_with_the_reason(shop: LearningShop) -> None:
    client = shop.app()
    entitled = [each for each in shop.people("gold") if each.features["days_since_purchase"] <= 30]
    judge(client, entitled, count=60)
    run = carried_out(shop, client)
    assert not run["evaluation"]["promote"], run["evaluation"]
    assert run["evaluation"]["verdict"] == "refused: it would be worse"
    assert any(reason.startswith("imported of gold") for reason in run["evaluation"]["reasons"])
    refused = client.post(f"/api/v1/adapters/{run['adapter']}/promote")
    assert refused.status_code == 409
    assert "refused: it would be worse" in refused.text


def test_what_the_gate_lets_through_goes_live_by_itself_where_that_is_on(
    forward_shop: LearningShop,
) -> None:
    client = forward_shop.app()
    judge(client, forward_shop.those_between(), count=30)
    run = carried_out(forward_shop, client)
    live = {each["segment"]: each for each in (client.get("/api/v1/adapters").json or {})["data"]}
    assert live["gold"]["champion"] == run["adapter"]
    assert live["guest"]["champion"].startswith("guest@")
    with forward_shop.database.read() as session:
        promoted = session.query(models.AuditEntry).filter_by(action="adapter.promoted").one()
        assert (promoted.actor, promoted.subject) == ("service", run["adapter"])


def test_a_certificate_that_cannot_be_kept_stands_in_the_way(forward_shop: LearningShop) -> None:
    shop, client = forward_shop, forward_shop.app()
    certificate = {"max_error": 0.05, "confidence": 0.95, "log": "new.jsonl", "rows": 400}
    with shop.database.write() as session:
        policy = policies.live(session, shop.tenant)
        told = {"certificate": {**certificate, "tiers": policy.tiers_version}}
        policies.store(
            session, shop.tenant, policy, origin=policies.BUILT_IN, actor="test", made_from=told
        )
    judge(client, shop.those_between(), count=30)
    run = carried_out(shop, client)
    found = run["evaluation"]
    assert found["verdict"] == "refused: the policy's certificate could not be kept"
    assert "held-out answers it would accept" in found["reasons"][0]
    live = (client.get("/api/v1/adapters").json or {})["data"]
    assert run["adapter"] not in {each["champion"] for each in live}
