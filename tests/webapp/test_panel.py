"""The pages without a browser: what they show, and what a click does when things go wrong."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import select

from cascade import Policy, Tier
from webapp import Settings, access, create_app, customers, models, schema, suggestions
from webapp.audit import Caller
from webapp.db import Database


@pytest.fixture
def app(tmp_path: Path) -> Iterator[APIFlask]:
    """The app over an empty database, with a desk that is ready and scores nothing."""
    settings = Settings.from_env({"FRUGALDESK_VAR": str(tmp_path)})
    schema.upgrade(Database(settings.database_url))
    app = create_app(settings, open_desk=False)
    app.config["WTF_CSRF_ENABLED"] = False
    setup = SimpleNamespace(policy=Policy((Tier("macros", "macro", 0.8),)))
    app.extensions["frugaldesk.desk"] = SimpleNamespace(setup=lambda tenant_id: setup)
    yield app
    app.extensions["frugaldesk.database"].close()


@pytest.fixture
def ticket(app: APIFlask) -> str:
    """An open ticket of the tenant in which somebody, an admin, can sign in."""
    with app.extensions["frugaldesk.database"].write() as session:
        tenant = models.Tenant(slug="ours", name="Ours")
        session.add(tenant)
        session.flush()
        access.put_user(
            session,
            tenant.id,
            email="a@ours.example",
            name="A",
            role="admin",
            password="correct horse",
        )
        customer, _ = customers.put(session, tenant.id, "c-1", segment="gold", features={})
        return suggestions.put_ticket(
            session, customer, external_id="T-1", subject="Return", body="May I?"
        ).id


@pytest.fixture
def client(app: APIFlask, ticket: str) -> FlaskClient:
    """A browser in which the admin is signed in."""
    client = app.test_client()
    assert client.post(
        "/login", data={"email": "a@ours.example", "password": "correct horse"}
    ).location
    return client


def test_a_draft_that_cannot_be_stored_is_logged_and_quotes_nobody(
    client: FlaskClient,
    ticket: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    quoted = "ann@t.example said something"

    def fail(*_: object) -> None:
        raise RuntimeError(quoted)

    monkeypatch.setattr(suggestions, "run", fail)
    assert client.post(f"/tickets/{ticket}/draft").status_code == 303
    give_up = time.monotonic() + 5
    while "RuntimeError" not in caplog.text and time.monotonic() < give_up:
        time.sleep(0.02)
    assert "RuntimeError" in caplog.text
    assert "ann@t.example" not in caplog.text


@pytest.mark.parametrize(("lines", "older"), [(8, None), (20, 12), (60, 52), (75, 52)])
def test_a_long_history_says_how_much_of_it_is_shown(
    app: APIFlask, client: FlaskClient, ticket: str, lines: int, older: int | None
) -> None:
    with app.extensions["frugaldesk.database"].write() as session:
        customer = session.get_one(models.Ticket, ticket).customer
        start = models.utc_now() - timedelta(days=lines)
        for day in range(lines):
            at = start + timedelta(days=day)
            customers.add_history(session, customer, at=at, text=f"contact {day}.")
    page = client.get(f"/tickets/{ticket}").text
    assert page.count("contact ") == min(lines, 60)
    assert page.index(f"contact {lines - 1}.") < page.index(f"contact {lines - 8}.")
    assert re.findall(r"(\d+) older", page) == ([str(older)] if older else [])
    assert ("What came before these is not shown" in page) == (lines > 60)


def test_an_admin_who_comes_too_late_is_told_and_keeps_what_was_typed(
    app: APIFlask, client: FlaskClient, ticket: str
) -> None:
    database: Database = app.extensions["frugaldesk.database"]
    draft, escalation = escalate(app, ticket)
    here = f"/review/{escalation}"
    assert client.post(f"{here}/claim").location.endswith(here)
    assert "Resolve" in client.get(here).text
    edited = {"action": "edited", "final_text": "Yes."}
    assert client.post(f"/tickets/{ticket}/suggestions/{draft}/feedback", data=edited).location
    assert "cannot be resolved any more" in client.get(here).text
    given = {"final_text": "Perhaps not.", "root_cause": "model"}
    refused = client.post(f"{here}/resolve", data=given)
    assert refused.status_code == 409
    assert "somebody has answered" in refused.text
    assert "Perhaps not." in refused.text
    with database.read() as session:
        assert session.get_one(models.Ticket, ticket).reply == "Yes."
    assert client.post(f"{here}/dismiss").location.endswith("/review")
    assert client.get(f"{here}/next").location.endswith(here)


def test_an_unknown_review_is_not_found(client: FlaskClient) -> None:
    page = client.get(f"/review/{models.new_id()}", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "no review" in page.text


def escalate(app: APIFlask, ticket: str) -> tuple[str, str]:
    """Have a draft for the ticket cut off; returns its id and its escalation's."""
    database: Database = app.extensions["frugaldesk.database"]
    with database.write() as session:
        row = session.get_one(models.Ticket, ticket)
        setup = app.extensions["frugaldesk.desk"].setup(row.tenant_id)
        begun = suggestions.begin(session, Caller(row.tenant_id, "test"), row, setup)
    suggestions.settle_cut_off(database, now=models.utc_now() + timedelta(hours=1))
    with database.read() as session:
        escalation = session.scalars(select(models.Review)).one()
        return begun.suggestion_id, escalation.id
