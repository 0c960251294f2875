"""The admin's page and the API for policies, over a service whose desk has macros alone."""

import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from cascade import Budgets, Policy, Tier
from cascade.policy import Instead
from tests.webapp.people import PASSWORD, add_people
from webapp import Settings, access, create_app, models, policies
from webapp.db import Database

BUILT_IN = Policy((Tier("macros", "macro", 0.8),), Budgets(Decimal("0.05")), 60.0)
OPTIMISED = Policy(
    (Tier("macros", "macro", 0.7, {"gold": 0.65}, ((0.1, 0.2), (0.9, 0.95))),),
    instead=Instead(0.0625, (Tier("macros", "macro", 0.5),)),
)
MADE_FROM = {"log": "o.jsonl", "rows": 9, "train": {"cost": 0.00002, "quality": 0.9}}


@pytest.fixture
def tenant(database: Database) -> str:
    with database.write() as session:
        tenant_id = add_people(session)
        policies.keep_built_in(session, [tenant_id], BUILT_IN)
        return tenant_id


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[APIFlask]:
    url = database.engine.url.render_as_string(hide_password=False)
    environment = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_DATABASE_URL": url}
    app = create_app(Settings.from_env(environment), open_desk=False)
    yield app
    app.extensions["frugaldesk.database"].close()


@pytest.fixture
def admin(app: APIFlask, tenant: str) -> FlaskClient:
    return signed_in(app, "admin")


@pytest.fixture
def api(app: APIFlask, database: Database, tenant: str) -> FlaskClient:
    with database.write() as session:
        key = access.create_api_key(session, tenant, "test")
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def signed_in(app: APIFlask, role: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    post(client, "/login", page="/login", email=f"{role}@t.example", password=PASSWORD)
    return client


def post(client: FlaskClient, path: str, *, page: str = "/policy", **fields: Any) -> TestResponse:
    """Send a form as the page has it, with the page's token."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert token
    data = {"csrf_token": token[1], **fields}
    return client.post(path, data=data, follow_redirects=True)


def upload(client: FlaskClient, text: str, **fields: str) -> TestResponse:
    return post(client, "/policy/files", policy=(io.BytesIO(text.encode()), "P.json"), **fields)


def file_of(policy: Policy, **extra: Any) -> str:
    return json.dumps({**json.loads(policy.to_json()), **extra})


def live(database: Database, tenant: str) -> Policy:
    with database.read() as session:
        return policies.live(session, tenant)


def stored_as(database: Database, tenant: str) -> str:
    """Return the version that was stored last."""
    with database.read() as session:
        return policies.stored(session, tenant)[0].version


def plain(page: TestResponse) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def test_a_file_is_stored_then_made_live_and_the_page_says_what_changed(
    admin: FlaskClient, database: Database, tenant: str
) -> None:
    page = plain(upload(admin, file_of(OPTIMISED, made_from={**MADE_FROM, "ids": ["a1"]})))
    assert "Nothing changes until you make it live" in page
    assert "macros needs: 80 % → 70 %, gold 65 %" in page
    assert live(database, tenant) == BUILT_IN
    version = stored_as(database, tenant)
    page = plain(post(admin, "/policy/live", version=version, instead_of=BUILT_IN.version))
    assert f"{version} is live now" in page
    assert f"What changed against {BUILT_IN.version}" in page
    assert "by admin@t.example" in page
    assert "Another way for 6.25 % of the tickets" in page
    assert "o.jsonl, 9 rows" in page
    served = live(database, tenant)
    assert (served.tiers, served.instead) == (OPTIMISED.tiers, OPTIMISED.instead)
    assert (served.budgets, served.deadline_s) == (BUILT_IN.budgets, BUILT_IN.deadline_s)
    with database.read() as session:
        entries = session.scalars(
            select(models.AuditEntry).where(models.AuditEntry.subject == version)
        ).all()
    assert {(entry.action, entry.actor) for entry in entries} == {
        ("policy.stored", "user:admin@t.example"),
        ("policy.published", "user:admin@t.example"),
    }


def test_limits_are_taken_from_the_file_where_that_is_asked_for(
    admin: FlaskClient, database: Database, tenant: str
) -> None:
    upload(admin, OPTIMISED.to_json(), limits_as_written="on")
    assert stored_as(database, tenant) == OPTIMISED.version


def test_a_file_that_cannot_be_used_changes_nothing(
    admin: FlaskClient, database: Database, tenant: str
) -> None:
    missing = Policy((Tier("gone", "llm", 0.5),))
    for text, said in (("{", "P.json: Expecting"), (missing.to_json(), "asks &#39;gone&#39;")):
        refused = upload(admin, text)
        assert refused.status_code == 409
        assert said in refused.text
    assert "no file was chosen" in post(admin, "/policy/files").text
    latin = (io.BytesIO("\u00e4".encode("latin-1")), "P.json")
    assert "not UTF-8" in post(admin, "/policy/files", policy=latin).text
    assert stored_as(database, tenant) == BUILT_IN.version


def test_a_file_may_name_every_row_of_a_large_log(
    admin: FlaskClient, database: Database, tenant: str
) -> None:
    ids = [f"{number:064x}" for number in range(20_000)]
    stored = upload(admin, file_of(OPTIMISED, made_from={**MADE_FROM, "ids": ids}))
    assert stored.status_code == 200
    assert post(admin, "/policy/live", version="x" * 1_000_000).status_code == 413


def test_a_stored_version_without_its_model_cannot_be_made_live(
    admin: FlaskClient, database: Database, tenant: str
) -> None:
    missing = Policy((Tier("gone", "llm", 0.5),))
    with database.write() as session:
        policies.store(session, tenant, missing, origin=policies.WRITTEN, actor="test")
    assert "Cannot be made live: the policy asks" in admin.get("/policy").text
    refused = post(admin, "/policy/live", version=missing.version)
    assert refused.status_code == 409
    assert live(database, tenant) == BUILT_IN


def test_who_saw_another_live_version_or_names_an_unknown_one_is_refused(
    admin: FlaskClient, database: Database, tenant: str
) -> None:
    upload(admin, OPTIMISED.to_json())
    version = stored_as(database, tenant)
    late = post(admin, "/policy/live", version=version, instead_of="0123")
    assert late.status_code == 409
    assert "meanwhile" in late.text
    assert "no policy &#39;x&#39; is stored here" in post(admin, "/policy/live", version="x").text
    assert live(database, tenant) == BUILT_IN


def test_the_page_is_for_admins_and_its_forms_need_their_token(
    app: APIFlask, admin: FlaskClient, database: Database, tenant: str
) -> None:
    agent = signed_in(app, "agent")
    assert agent.get("/policy").status_code == 403
    assert 'href="/policy"' not in agent.get("/tickets").text
    assert 'href="/policy"' in admin.get("/tickets").text
    data = {"version": BUILT_IN.version}
    assert admin.post("/policy/live", data=data).status_code == 400
    for path in ("/policy/live", "/policy/files"):
        assert post(agent, path, page="/tickets", **data).status_code == 403
    assert app.test_client().get("/policy").location.startswith("/login")


# The API


def test_the_api_lists_policies_and_gives_the_live_one(
    api: FlaskClient, database: Database, tenant: str
) -> None:
    with database.write() as session:
        policies.publish(
            session,
            tenant,
            OPTIMISED,
            origin=policies.OPTIMISED,
            actor="cli",
            made_from=MADE_FROM,
        )
        other = models.Tenant(slug="o", name="O")
        session.add(other)
        session.flush()
        policies.keep_built_in(session, [other.id], BUILT_IN)
    first = api.get("/api/v1/policies?limit=1").json
    assert first is not None
    assert first["has_more"]
    second = api.get(f"/api/v1/policies?cursor={first['next_cursor']}").json
    assert second is not None
    assert not second["has_more"]
    listed = first["data"] + second["data"]
    assert [(each["version"], each["live"]) for each in listed] == [
        (OPTIMISED.version, True),
        (BUILT_IN.version, False),
    ]
    served = api.get("/api/v1/policies/live").json
    assert served == {**listed[0], "drift": None}
    assert served["made_from"] == MADE_FROM
    assert served["tiers"] == [
        {
            "model": "macros",
            "source": "macro",
            "threshold": 0.7,
            "segment_thresholds": {"gold": 0.65},
            "calibration": [[0.1, 0.2], [0.9, 0.95]],
        }
    ]
    assert served["instead"]["share"] == 0.0625
    assert listed[1]["budgets"] == {"per_ticket": "0.05", "per_segment_day": {}}
    assert (listed[1]["instead"], listed[1]["made_from"]) == (None, None)


def test_the_api_does_not_change_policies_and_tells_nothing_without_a_key(
    app: APIFlask, api: FlaskClient
) -> None:
    body = {"version": BUILT_IN.version}
    assert api.put("/api/v1/policies/live", json=body).status_code == 405
    assert app.test_client().get("/api/v1/policies/live").status_code == 401
    assert app.test_client().get("/api/v1/policies").status_code == 401
    assert api.get("/api/v1/policies?cursor=nonsense").status_code == 422
