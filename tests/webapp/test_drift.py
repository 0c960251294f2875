"""What feedback says of the answers that a policy version accepted."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from cascade import Policy, Tier
from cascade.verdicts import NO_REPLY_NEEDED
from tests.webapp.people import PASSWORD, add_people
from webapp import (
    Settings,
    access,
    create_app,
    customers,
    feedback,
    models,
    policies,
    reviews,
    suggestions,
)
from webapp.audit import Caller
from webapp.db import Database
from webapp.drift import Drift, drift, wrongness

POLICY = Policy((Tier("macros", "macro", 0.7),))
CERTIFICATE = {
    "max_error": 0.05,
    "confidence": 0.95,
    "log": "new.jsonl",
    "rows": 400,
    "tiers": "abc",
}
ALARM = "Accepted answers are wrong more often than was certified."
DRAFT = "Yes, you can still return the jacket within thirty days."


def test_verdicts_come_in_the_order_they_arrived_one_for_each_answer(database: Database) -> None:
    made = {
        name: suggest(database, name, policy="p1")
        for name in ("accepted", "slightly edited", "dismissed", "rewritten")
    }
    give(database, made["dismissed"], "dismissed")
    give(database, made["accepted"], "accepted")
    give(database, made["slightly edited"], "edited", DRAFT.replace("jacket", "coat"))
    give(database, made["dismissed"], "edited", DRAFT)
    give(database, made["rewritten"], "edited", "No, it is too late.")
    give(database, suggest(database, "of another policy", policy="p2"), "dismissed")
    escalated = suggest(database, "not good enough", policy="p1", status="escalated")
    give(database, escalated, "edited", "No.")
    suggest(database, "without a verdict", policy="p1")
    with database.read() as session:
        tenant_id = session.get_one(models.Suggestion, escalated).tenant_id
        assert wrongness(session, tenant_id, "p1") == [1.0, 0.0, 0.0, 1.0]
        assert wrongness(session, tenant_id, "p2") == [1.0]
        assert wrongness(session, tenant_id, "p3") == []
        assert wrongness(session, "another-tenant", "p1") == []


def test_no_reply_needed_says_nothing_about_the_answer(database: Database) -> None:
    made = [suggest(database, f"T-{number}", policy="p1") for number in range(3)]
    give(database, made[0], "dismissed", reason=NO_REPLY_NEEDED)
    give(database, made[1], "dismissed", reason="Wrong")
    give(database, made[2], "dismissed", reason=NO_REPLY_NEEDED)
    # The customer wrote again, and the draft that needed no reply was sent after all.
    give(database, made[2], "accepted")
    with database.read() as session:
        tenant_id = session.get_one(models.Suggestion, made[0]).tenant_id
        assert wrongness(session, tenant_id, "p1") == [1.0, 0.0]


# With a certificate


@pytest.fixture
def tenant(database: Database) -> str:
    with database.write() as session:
        return add_people(session)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[APIFlask]:
    url = database.engine.url.render_as_string(hide_password=False)
    environment = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_DATABASE_URL": url}
    app = create_app(Settings.from_env(environment), open_desk=False)
    yield app
    app.extensions["frugaldesk.database"].close()


def publish(database: Database, tenant: str, made_from: dict[str, Any] | None) -> None:
    with database.write() as session:
        policies.publish(
            session, tenant, POLICY, origin=policies.OPTIMISED, actor="cli", made_from=made_from
        )


def judge(database: Database, verdicts: dict[str, str]) -> None:
    for ticket, action in verdicts.items():
        give(database, suggest(database, ticket, policy=POLICY.version), action)


def seen(database: Database, tenant: str) -> Drift | None:
    with database.read() as session:
        return drift(session, tenant, policies.live_row(session, tenant).policy)


def test_nothing_is_watched_without_a_certificate(database: Database, tenant: str) -> None:
    for made_from in (None, {"log": "train.jsonl", "rows": 9}):
        publish(database, tenant, made_from)
        judge(database, {f"T-{made_from and 1}-{number}": "dismissed" for number in range(8)})
        assert seen(database, tenant) is None


def test_a_certified_policy_is_watched_until_the_alarm(database: Database, tenant: str) -> None:
    publish(database, tenant, {"certificate": CERTIFICATE})
    assert seen(database, tenant) == Drift(0.05, 0.95, 0, 0, 0.0, 1.0, 0, None, alarm=False)
    judge(database, {f"right-{number}": "accepted" for number in range(15)})
    found = seen(database, tenant)
    assert found is not None
    assert (found.judged, found.wrong, found.alarm) == (15, 0, False)
    assert found.lower == 0
    assert 0 < found.upper < 0.5
    judge(database, {f"wrong-{number}": "dismissed" for number in range(8)})
    found = seen(database, tenant)
    assert found is not None
    assert (found.judged, found.wrong, found.alarm) == (23, 8, True)
    assert found.lower > 0.05
    # It stays up, however good the answers are from now on.
    judge(database, {f"later-{number}": "accepted" for number in range(15)})
    later = seen(database, tenant)
    assert later is not None
    assert (later.judged, later.wrong, later.alarm) == (38, 8, True)
    assert found.lower <= later.lower < later.upper <= found.upper


def test_pages_and_api_show_what_the_watch_sees(
    app: APIFlask, database: Database, tenant: str
) -> None:
    publish(database, tenant, {"certificate": CERTIFICATE})
    admin, api = signed_in(app, "admin"), with_key(app, database, tenant)
    judge(database, {f"right-{number}": "accepted" for number in range(3)})
    page = plain(admin, "/policy")
    assert "Certificate kept" in page
    assert "at most 5 % of accepted answers are wrong, with 95 % confidence" in page
    assert "3 accepted answers, 0 of them wrong" in page
    assert "at most 5 % wrong, with 95 % confidence, on new.jsonl, 400 rows" in page
    assert ALARM not in page + plain(admin, "/review")
    live = api.get("/api/v1/policies/live").json
    assert live is not None
    assert live["drift"]["alarm"] is False
    assert live["made_from"]["certificate"] == CERTIFICATE

    judge(database, {f"wrong-{number}": "dismissed" for number in range(8)})
    page = plain(admin, "/policy")
    assert "Certificate alarm" in page
    assert ALARM in page
    assert "11 accepted answers, 8 of them wrong" in page
    live = api.get("/api/v1/policies/live").json
    assert live is not None
    assert live["drift"] | {"lower": 0, "upper": 0} == {
        "max_error": 0.05,
        "confidence": 0.95,
        "judged": 11,
        "wrong": 8,
        "lower": 0,
        "upper": 0,
        "audited": 0,
        "corrected": None,
        "alarm": True,
    }
    assert 0.05 < live["drift"]["lower"] < 8 / 11 < live["drift"]["upper"] <= 1
    # With nothing to review, and with an escalation in hand.
    assert ALARM in plain(admin, "/review")
    assert "Nothing waits for a review" in plain(admin, "/review")
    escalate(database, tenant)
    page = plain(admin, "/review")
    assert ALARM in page
    assert "May I?" in page
    assert 'href="/policy">See the policy' in admin.get("/review", follow_redirects=True).text


def signed_in(app: APIFlask, role: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/login").text)
    assert token
    form = {"csrf_token": token[1], "email": f"{role}@t.example", "password": PASSWORD}
    client.post("/login", data=form)
    return client


def with_key(app: APIFlask, database: Database, tenant: str) -> FlaskClient:
    with database.write() as session:
        key = access.create_api_key(session, tenant, "test")
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def plain(client: FlaskClient, path: str) -> str:
    page = client.get(path, follow_redirects=True)
    assert page.status_code == 200
    text = re.sub(r"<[^>]+>", " ", page.text).replace("\N{NO-BREAK SPACE}", " ")
    return re.sub(r"\s+", " ", text)


def escalate(database: Database, tenant: str) -> None:
    row_id = suggest(database, "escalated", policy=POLICY.version, status="escalated")
    with database.write() as session:
        session.add(models.Review(tenant_id=tenant, suggestion_id=row_id, reason="Too low."))


# Rows


def test_no_reply_needed_says_nothing_of_the_answer_whatever_is_added(database: Database) -> None:
    made = suggest(database, "thanks", policy="p1")
    with database.write() as session:
        row = session.get_one(models.Suggestion, made)
        reason = f"{NO_REPLY_NEEDED}: they only said thank you"
        caller = Caller(row.tenant_id, "test")
        feedback.give(session, caller, row, action="dismissed", reason=reason)
        assert wrongness(session, row.tenant_id, "p1") == []


def audit(
    database: Database, tenant: str, ticket: str, *, share: float, suits: bool | None
) -> None:
    """Accept a draft that was drawn for an audit with this chance; `suits` None leaves it open."""
    made = suggest(database, ticket, policy=POLICY.version)
    give(database, made, "accepted")
    with database.write() as session:
        (row,) = session.query(models.Feedback).filter_by(suggestion_id=made)
        row.observed = share
        review = reviews.add(session, tenant, "audit", reason="drawn", suggestion_id=made)
        if suits is not None:
            review.status, review.suits, review.closed_at = "resolved", suits, models.utc_now()


def test_audits_speak_for_the_answers_that_were_accepted_unread(
    database: Database, tenant: str
) -> None:
    publish(database, tenant, {"certificate": CERTIFICATE})
    judge(database, {f"silent-{number}": "accepted" for number in range(6)})
    for number in range(2):
        audit(database, tenant, f"right-{number}", share=0.25, suits=True)
    audit(database, tenant, "wrong", share=0.25, suits=False)
    audit(database, tenant, "open", share=0.25, suits=None)
    found = seen(database, tenant)
    assert found
    assert (found.judged, found.wrong, found.audited) == (10, 0, 3)
    assert found.corrected == pytest.approx(4 / 9)
    assert not found.alarm


def test_audits_raise_the_alarm_that_no_agent_raised(database: Database, tenant: str) -> None:
    publish(database, tenant, {"certificate": CERTIFICATE})
    for number in range(5):
        audit(database, tenant, f"wrong-{number}", share=0.5, suits=False)
    found = seen(database, tenant)
    assert found
    assert (found.wrong, found.alarm) == (0, True)


def suggest(database: Database, ticket: str, *, policy: str, status: str = "suggested") -> str:
    """Store a finished suggestion for a ticket of its own."""
    with database.write() as session:
        tenant = session.query(models.Tenant).first() or models.Tenant(slug="t", name="T")
        session.add(tenant)
        session.flush()
        customer, _ = customers.put(session, tenant.id, "c-1", segment=None, features={})
        asked = suggestions.put_ticket(
            session, customer, external_id=ticket, subject="Return", body="May I?"
        )
        row = models.Suggestion(
            tenant_id=tenant.id,
            ticket_id=asked.id,
            customer_id=customer.id,
            question="May I?",
            shown=customers.shown(session, customer),
            policy=policy,
            status=status,
            answer=DRAFT,
            deadline_at=models.utc_now(),
        )
        session.add(row)
        session.flush()
        return row.id


def give(
    database: Database,
    suggestion_id: str,
    action: str,
    text: str | None = None,
    *,
    reason: str | None = None,
) -> None:
    with database.write() as session:
        row = session.get_one(models.Suggestion, suggestion_id)
        caller = Caller(row.tenant_id, "key:test")
        feedback.give(session, caller, row, action=action, final_text=text, reason=reason)
