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
from webapp import retraining
from webapp.db import Database


@pytest.fixture
def shop(empty_database: Database, trained: Trained, tmp_path: Path) -> Iterator[LearningShop]:
    """A shop whose scorer thinks wrongly of some gold members."""
    shop = open_learning_shop(empty_database, tmp_path, trained)
    yield shop
    shop.close()


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
