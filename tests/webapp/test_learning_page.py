"""The admin's page and the API for runs and adapters, over rows alone: nothing is trained here."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.webapp.judged_shop import (
    AFTER,
    BEFORE,
    BETTER,
    GOLD_1,
    GOLD_2,
    GOLD_3,
    SHARED_1,
    WORSE,
    JudgedShop,
    open_judged_shop,
)
from tests.webapp.people import PASSWORD
from webapp import Settings, access, adapters, create_app, models
from webapp.db import Database


@pytest.fixture
def shop(database: Database) -> JudgedShop:
    return open_judged_shop(database)


@pytest.fixture
def app(shop: JudgedShop, tmp_path: Path) -> Iterator[APIFlask]:
    url = shop.database.engine.url.render_as_string(hide_password=False)
    environment = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_DATABASE_URL": url}
    app = create_app(Settings.from_env(environment), open_desk=False)
    yield app
    app.extensions["frugaldesk.database"].close()


@pytest.fixture
def admin(app: APIFlask) -> FlaskClient:
    return signed_in(app, "admin")


@pytest.fixture
def api(app: APIFlask, shop: JudgedShop) -> FlaskClient:
    return with_key(app, shop.database, shop.tenant)


def signed_in(app: APIFlask, role: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    post(client, "/login", page="/login", email=f"{role}@t.example", password=PASSWORD)
    return client


def with_key(app: APIFlask, database: Database, tenant: str) -> FlaskClient:
    with database.write() as session:
        key = access.create_api_key(session, tenant, "test")
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def post(client: FlaskClient, path: str, *, page: str = "/adapters", **fields: Any) -> TestResponse:
    """Send a form as the page has it, with the page's token."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert token
    return client.post(path, data={"csrf_token": token[1], **fields}, follow_redirects=True)


def plain(page: TestResponse) -> str:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))
    return text.replace(" ,", ",").replace(" :", ":").replace(" .", ".")


def refused(answer: TestResponse, why: str, status: int = 409) -> None:
    """Check that this is a problem document that says why."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert why in (answer.json or {})["detail"]


# The page


def test_agents_are_not_let_in(app: APIFlask, shop: JudgedShop) -> None:
    agent = signed_in(app, "agent")
    shop.candidate(GOLD_2)
    run = shop.run("gold", "running")
    assert agent.get("/adapters").status_code == 403
    assert agent.get(f"/adapters/runs/{run}").status_code == 403
    for path, fields in (
        ("/adapters/runs", {"segment": "gold"}),
        (f"/adapters/runs/{run}/cancel", {}),
        ("/adapters/promote", {"version": GOLD_2}),
        ("/adapters/challenge", {"version": GOLD_2}),
        ("/adapters/challenge/end", {"segment": "gold"}),
        ("/adapters/rollback", {"segment": "gold"}),
    ):
        assert post(agent, path, page="/tickets", **fields).status_code == 403, path
    assert shop.champions["gold"] == GOLD_1


def test_a_run_is_started_and_cancelled(admin: FlaskClient, shop: JudgedShop) -> None:
    page = post(admin, "/adapters/runs", segment="gold")
    assert "A run for gold is queued." in plain(page)
    assert "Queued: waiting for a worker" in plain(page)
    again = post(admin, "/adapters/runs", segment="gold")
    assert again.status_code == 409
    assert (
        "Nothing was changed: a run for 'gold' is queued or running already"
        in again.text.replace("&#39;", "'")
    )
    with shop.database.read() as session:
        (run,) = session.query(models.TrainingRun)
    assert (run.segment, run.started_by) == ("gold", "user:admin@t.example")
    page = post(admin, f"/adapters/runs/{run.id}/cancel")
    assert "The run stops at its next step." in plain(page)
    assert "Cancelled" in plain(page)
    assert post(admin, f"/adapters/runs/{run.id}/cancel").status_code == 409


def test_an_unknown_segment_is_refused(
    admin: FlaskClient, api: FlaskClient, shop: JudgedShop
) -> None:
    page = post(admin, "/adapters/runs", segment="silver")
    assert page.status_code == 409
    assert "is unknown; expected one of shared, gold, guest" in plain(page)
    refused(api.post("/api/v1/runs", json={"segment": "silver"}), "'silver' is unknown")
    with shop.database.read() as session:
        assert session.query(models.TrainingRun).count() == 0


def test_a_judged_run_says_why_and_what_a_promotion_would_change(
    admin: FlaskClient, shop: JudgedShop
) -> None:
    shop.candidate(GOLD_2)
    shop.run("gold", "done", version=GOLD_2)
    page = plain(admin.get("/adapters"))
    assert "Better than the champion" in page
    assert "held-out feedback of gold: log loss -0.514 (-0.702 to -0.318)" in page
    assert f"gold: scored by {GOLD_2} instead of {GOLD_1}" in page
    assert "macros needs: 60 % → 60 %, gold 70 %" in page
    assert "6.7 % champion 80.0 %, of 15" in page
    page = plain(post(admin, "/adapters/promote", version=GOLD_2))
    assert f"{GOLD_2} scores every ticket of its segment from here on." in page
    assert "A promotion would change" not in page
    assert (shop.champions["gold"], shop.policy) == (GOLD_2, AFTER.version)
    page = plain(post(admin, "/adapters/rollback", segment="gold"))
    assert f"gold is scored by {GOLD_1} again." in page
    assert (shop.champions["gold"], shop.policy) == (GOLD_1, BEFORE.version)


def test_a_refused_candidate_says_why_and_may_challenge(
    admin: FlaskClient, shop: JudgedShop
) -> None:
    shop.candidate(GOLD_2, WORSE)
    shop.run("gold", "done", version=GOLD_2)
    page = plain(admin.get("/adapters"))
    assert "Refused: it would be worse" in page
    assert "it would accept 93.3%, the champion 0.0%" in page
    assert "Promote" not in page
    answer = post(admin, "/adapters/promote", version=GOLD_2)
    assert answer.status_code == 409
    assert "Nothing was changed" in plain(answer)
    page = plain(post(admin, "/adapters/challenge", version=GOLD_2))
    assert "Nothing it says is served." in page
    assert "No ticket has come since." in page
    assert shop.challengers == {"gold": GOLD_2}
    assert "The challenge is over." in plain(post(admin, "/adapters/challenge/end", segment="gold"))
    assert shop.challengers == {}


def test_a_candidate_that_was_judged_too_long_ago_says_so(
    admin: FlaskClient, shop: JudgedShop
) -> None:
    shop.candidate(GOLD_2, against=GOLD_3)
    shop.run("gold", "done", version=GOLD_2)
    page = plain(admin.get("/adapters"))
    assert f"Cannot be promoted now: {GOLD_2} was judged against {GOLD_3}" in page


def test_each_run_shows_its_own_judgement(admin: FlaskClient, shop: JudgedShop) -> None:
    shop.adapter(GOLD_2)
    first = shop.run("gold", "done", version=GOLD_2, ago_s=60)
    shop.judge(GOLD_2, BETTER)
    shop.promote(GOLD_2)
    second = shop.run("gold", "done", version=GOLD_2, ago_s=0)
    shop.judge(GOLD_2, WORSE, against=GOLD_2, under=AFTER, to=None)
    assert "Better than the champion" in plain(admin.get(f"/adapters/runs/{first}"))
    assert "Refused: it would be worse" in plain(admin.get(f"/adapters/runs/{second}"))


def test_a_marked_adapter_says_that_it_is_to_be_trained_again(
    admin: FlaskClient, api: FlaskClient, shop: JudgedShop
) -> None:
    shop.adapter(GOLD_2, marked=adapters.LEARNT)
    with shop.database.write() as session:
        live = session.query(models.LiveAdapter).filter_by(segment="gold").one()
        live.adapter_id = session.query(models.Adapter.id).filter_by(version=GOLD_2).scalar()
    page = plain(admin.get("/adapters"))
    assert f"To be trained again: {adapters.LEARNT}" in page
    gold = api.get("/api/v1/adapters").get_json()["data"][1]
    assert (gold["champion"], gold["marked"]) == (GOLD_2, adapters.LEARNT)


def test_what_goes_on_is_asked_for_again_and_what_is_over_is_not(
    admin: FlaskClient, shop: JudgedShop
) -> None:
    run = shop.run("gold", "running", stage="training gold", done=3, total=9, attempt=2)
    address = f"/adapters/runs/{run}"
    part = admin.get(address)
    assert f'hx-get="{address}"' in part.text
    assert "Running: training gold 3 of 9 step 3 of 9" in plain(part)
    assert "attempt 2: its worker was lost" in plain(part)
    shop.tell(run, status="failed", error="out of memory")
    part = admin.get(address)
    assert "hx-get" not in part.text
    assert "Failed: out of memory" in plain(part)
    assert admin.get(f"/adapters/runs/{models.new_id()}").status_code == 404


def test_a_run_that_nobody_takes_up_asks_for_the_worker(
    admin: FlaskClient, shop: JudgedShop
) -> None:
    run = shop.run("gold", "queued", ago_s=5)
    assert "Still waiting" not in plain(admin.get(f"/adapters/runs/{run}"))
    run = shop.run("guest", "queued", ago_s=45)
    assert "Still waiting. Is frugaldesk worker running?" in plain(
        admin.get(f"/adapters/runs/{run}")
    )


def test_a_challenger_is_compared_on_the_page_and_over_the_api(
    admin: FlaskClient, api: FlaskClient, shop: JudgedShop
) -> None:
    shop.candidate(GOLD_2)
    shop.challenge(GOLD_2)
    for new in (0.9, 0.2, 0.1):
        made = shop.suggest("gold-1")
        shop.shadow(made, GOLD_2, new)
        shop.say(made, "accepted")
    page = plain(admin.get("/adapters"))
    assert "Answers both scored 3" in page
    assert "Decided alike 1 (33.3 %)" in page
    assert "It was right about 1 of 3 The champion was right about 3 of 3" in page
    gold = api.get("/api/v1/adapters").get_json()["data"][1]
    assert (gold["champion"], gold["challenger"]) == (GOLD_1, GOLD_2)
    assert gold["comparison"]["only_champion"] == 2


# The API


def test_a_run_is_started_shown_and_cancelled_over_the_api(api: FlaskClient) -> None:
    asked = api.post("/api/v1/runs", json={"segment": "gold", "seed": 4})
    assert asked.status_code == 201, asked.text
    run = asked.get_json()
    assert (run["segment"], run["status"], run["adapter"]) == ("gold", "queued", None)
    refused(api.post("/api/v1/runs", json={"segment": "gold"}), "queued or running already")
    assert api.get(f"/api/v1/runs/{run['id']}").get_json() == run
    assert api.post(f"/api/v1/runs/{run['id']}/cancel").get_json()["status"] == "cancelled"
    refused(api.post(f"/api/v1/runs/{run['id']}/cancel"), "cancelled already")
    refused(api.get("/api/v1/runs/nothing"), "no training run 'nothing' here", 404)


def test_runs_are_listed_newest_first_in_parts(api: FlaskClient, shop: JudgedShop) -> None:
    made = [shop.run("gold", "failed", ago_s=age) for age in (50, 40, 30, 20, 10)]
    first = api.get("/api/v1/runs?limit=2").get_json()
    assert first["has_more"]
    rest = api.get(f"/api/v1/runs?limit=3&cursor={first['next_cursor']}").get_json()
    assert [run["id"] for run in first["data"] + rest["data"]] == made[::-1]
    assert (rest["next_cursor"], rest["has_more"]) == (None, False)
    for bad in ("limit=0", "limit=x", "cursor=nonsense"):
        assert api.get(f"/api/v1/runs?{bad}").status_code == 422, bad


def test_what_no_database_takes_is_refused(api: FlaskClient) -> None:
    assert api.get("/api/v1/runs/%00").status_code == 422
    for path in ("runs/%00/cancel", "adapters/%00/promote", "segments/%00/rollback"):
        assert api.post(f"/api/v1/{path}").status_code == 422, path


def test_a_promotion_over_the_api_and_why_not(api: FlaskClient, shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.candidate(GOLD_3, WORSE)
    refused(api.post(f"/api/v1/adapters/{GOLD_3}/promote"), "refused: it would be worse")
    refused(api.post("/api/v1/adapters/gold@0/promote"), "no adapter 'gold@0' here", 404)
    moved = api.post(f"/api/v1/adapters/{GOLD_2}/promote")
    assert moved.get_json() == {"segment": "gold", "champion": GOLD_2}
    challenged = api.post(f"/api/v1/adapters/{GOLD_3}/challenge")
    assert challenged.get_json() == {"segment": "gold", "champion": GOLD_2}
    gold = api.get("/api/v1/adapters").get_json()["data"][1]
    assert (gold["champion"], gold["before"], gold["challenger"]) == (GOLD_2, GOLD_1, GOLD_3)
    back = api.post("/api/v1/segments/gold/rollback")
    assert back.get_json() == {"segment": "gold", "champion": GOLD_1}
    refused(api.post("/api/v1/segments/gold/rollback"), "there is nothing to undo")


def test_a_judged_run_carries_its_evaluation_without_policies(
    api: FlaskClient, shop: JudgedShop
) -> None:
    shop.candidate(GOLD_2)
    run = shop.run("gold", "done", version=GOLD_2)
    shown = api.get(f"/api/v1/runs/{run}").get_json()
    assert shown["adapter"] == GOLD_2
    assert shown["evaluation"]["verdict"] == "better than the champion"
    assert shown["evaluation"]["thresholds"] == {"from": BEFORE.version, "moved": True}
    assert shown["usual_seconds"] == 41


def test_nothing_of_another_tenant_can_be_reached(
    app: APIFlask, api: FlaskClient, shop: JudgedShop
) -> None:
    with shop.database.write() as session:
        other = models.Tenant(slug="other", name="Other")
        session.add(other)
        session.flush()
    stranger = with_key(app, shop.database, other.id)
    shop.candidate(GOLD_2)
    run = shop.run("gold", "running", version=GOLD_2)
    assert stranger.get("/api/v1/runs").get_json()["data"] == []
    assert stranger.get("/api/v1/adapters").get_json()["data"] == []
    refused(stranger.get(f"/api/v1/runs/{run}"), "no training run", 404)
    refused(stranger.post(f"/api/v1/runs/{run}/cancel"), "no training run", 404)
    refused(stranger.post(f"/api/v1/adapters/{GOLD_2}/promote"), "no adapter", 404)
    refused(stranger.post(f"/api/v1/adapters/{GOLD_2}/challenge"), "no adapter", 404)
    refused(stranger.post("/api/v1/segments/gold/rollback"), "nothing to undo")
    refused(stranger.post("/api/v1/runs", json={"segment": "gold"}), "'gold' is unknown")
    assert shop.champions == {"shared": SHARED_1, "gold": GOLD_1}
    assert api.get(f"/api/v1/runs/{run}").get_json()["status"] == "running"
