"""A segment's scorer is wrong, thirty verdicts say so, and a run makes it right."""

from pathlib import Path

from tests.returns import Trained
from tests.webapp.learning_shop import QUESTION, YES, ask, judge, open_learning_shop
from webapp import retraining
from webapp.db import Database


def test_thirty_verdicts_repair_a_segment_and_no_other(
    empty_database: Database, trained: Trained, tmp_path: Path
) -> None:
    shop = open_learning_shop(empty_database, tmp_path, trained)
    client = shop.app()
    people = shop.those_between()
    someone = next(each.external_id for each in people if each.features["days_since_purchase"] > 40)
    before = ask(client, someone)
    assert (before["status"], before["answer"]) == ("suggested", YES)
    guests = [ask(client, each.external_id) for each in shop.people("guest")[:8]]

    judge(client, people, count=30)
    asked = client.post("/api/v1/runs", json={"segment": "gold"})
    assert asked.status_code == 201, asked.text
    assert (asked.json or {})["status"] == "queued"
    run_id = (asked.json or {})["id"]
    retraining.carry_out(shop.database, shop.settings, run_id)
    run = client.get(f"/api/v1/runs/{run_id}").json or {}
    assert run["status"] == "done", run
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
