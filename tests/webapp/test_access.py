"""Who gets in and what they may open: sign-in, sessions, CSRF, headers, roles, tenants."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from argon2 import PasswordHasher
from flask.testing import FlaskClient

from webapp import Settings, access, create_app, models, schema
from webapp.db import Database
from webapp.errors import Unknown

PASSWORD = "correct horse"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[APIFlask]:
    """The app over an empty database, with an agent and an admin of one tenant."""
    settings = Settings.from_env({"FRUGALDESK_VAR": str(tmp_path)})
    schema.upgrade(Database(settings.database_url))
    app = create_app(settings, open_desk=False)
    with app.extensions["frugaldesk.database"].write() as session:
        tenant = models.Tenant(slug="ours", name="Ours")
        session.add(tenant)
        session.flush()
        for role in ("agent", "admin"):
            access.put_user(
                session,
                tenant.id,
                email=f"{role}@ours.example",
                name=role.title(),
                role=role,
                password=PASSWORD,
            )
    yield app
    app.extensions["frugaldesk.database"].close()


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


def token_on(client: FlaskClient, path: str) -> str:
    """Return the CSRF token of the page's form."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def sign_in(
    client: FlaskClient,
    role: str = "agent",
    *,
    password: str = PASSWORD,
    path: str = "/login",
    email: str | None = None,
) -> tuple[int, str]:
    """Post the form; returns the status and where it leads."""
    form = {
        "email": email or f"{role}@ours.example",
        "password": password,
        "csrf_token": token_on(client, "/login"),
    }
    response = client.post(path, data=form)
    return response.status_code, response.headers.get("location", "")


def add_ticket(app: APIFlask, tenant_slug: str) -> str:
    database: Database = app.extensions["frugaldesk.database"]
    with database.write() as session:
        tenant = session.query(models.Tenant).filter_by(slug=tenant_slug).one_or_none()
        if tenant is None:
            tenant = models.Tenant(slug=tenant_slug, name=tenant_slug)
            session.add(tenant)
            session.flush()
        customer = models.Customer(tenant_id=tenant.id, external_id="c-1", features={})
        session.add(customer)
        session.flush()
        ticket = models.Ticket(
            tenant_id=tenant.id, customer_id=customer.id, external_id="T", subject="S", body="B"
        )
        session.add(ticket)
        session.flush()
        return ticket.id


def test_the_right_password_leads_to_the_inbox(client: FlaskClient) -> None:
    assert sign_in(client) == (302, "/tickets")
    assert client.get("/tickets").status_code == 200


def test_a_wrong_password_and_an_unknown_person_look_the_same(client: FlaskClient) -> None:
    assert sign_in(client, password="wrong")[0] == 401
    assert sign_in(client, email="nobody@ours.example")[0] == 401
    assert client.get("/tickets").status_code == 302


def test_too_many_wrong_passwords_lock_even_the_right_one_out(client: FlaskClient) -> None:
    for _ in range(access.FAILURES_ALLOWED):
        assert sign_in(client, password="wrong")[0] == 401
    assert sign_in(client)[0] == 429
    assert sign_in(client, "admin")[0] == 302


def test_an_unknown_e_mail_is_locked_out_just_like_a_known_one(client: FlaskClient) -> None:
    for _ in range(access.FAILURES_ALLOWED):
        assert sign_in(client, email="Nobody@ours.example")[0] == 401
    assert sign_in(client, email="nobody@ours.example ")[0] == 429


def test_an_e_mail_no_database_takes_is_unknown(client: FlaskClient) -> None:
    assert sign_in(client, email="a\x00b")[0] == 401
    assert sign_in(client, email="a" * 5000)[0] == 401


def test_others_can_write_while_a_password_is_checked(
    app: APIFlask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = PasswordHasher.verify

    def verify(self: PasswordHasher, *args: Any) -> Any:
        with app.extensions["frugaldesk.database"].write() as session:
            session.add(models.Tenant(slug="meanwhile", name="Meanwhile"))
        return checked(self, *args)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    assert sign_in(client)[0] == 302


def test_one_e_mail_in_two_tenants_is_told_apart_by_its_password(
    app: APIFlask, client: FlaskClient
) -> None:
    with app.extensions["frugaldesk.database"].write() as session:
        tenant = models.Tenant(slug="theirs", name="Theirs")
        session.add(tenant)
        session.flush()
        for tenant_id in (tenant.id, session.query(models.User.tenant_id).limit(1).scalar()):
            access.put_user(
                session,
                tenant_id,
                email="both@ours.example",
                name=tenant_id,
                role="agent",
                password=f"{PASSWORD} of {tenant_id}",
            )
    with app.extensions["frugaldesk.database"].read() as session:
        people = session.query(models.User).filter_by(email="both@ours.example").all()
    for person in people * (access.FAILURES_ALLOWED + 1):
        password = f"{PASSWORD} of {person.tenant_id}"
        assert sign_in(client, email=person.email, password=password)[0] == 302
        with client.session_transaction() as cookie:
            assert cookie["user"] == person.id
        client.delete_cookie("session")


def test_pages_lead_to_sign_in_and_back(client: FlaskClient) -> None:
    response = client.get("/tickets?status=answered")
    assert response.status_code == 302
    assert sign_in(client, path=response.headers["location"]) == (302, "/tickets?status=answered")


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/tickets\r\nX: y",
        "/ /evil.example",
    ],
)
def test_sign_in_never_leads_to_another_site(client: FlaskClient, target: str) -> None:
    response = client.get("/login", query_string={"next": target})
    assert response.status_code == 200
    form = {
        "email": "agent@ours.example",
        "password": PASSWORD,
        "csrf_token": token_on(client, "/login"),
    }
    response = client.post("/login", query_string={"next": target}, data=form)
    assert response.headers["location"] == "/tickets"


def test_a_form_without_its_token_does_nothing(app: APIFlask, client: FlaskClient) -> None:
    ticket = add_ticket(app, "ours")
    sign_in(client)
    assert client.post(f"/tickets/{ticket}/draft").status_code == 400
    assert client.post("/logout").status_code == 400
    assert client.get("/tickets").status_code == 200


def test_signing_out_ends_the_session(client: FlaskClient) -> None:
    sign_in(client)
    client.post("/logout", data={"csrf_token": token_on(client, "/tickets")})
    assert client.get("/tickets").status_code == 302


def test_a_new_password_ends_the_sessions_of_the_old_one(
    app: APIFlask, client: FlaskClient
) -> None:
    sign_in(client)
    with app.extensions["frugaldesk.database"].write() as session:
        user = session.query(models.User).filter_by(role="agent").one()
        access.put_user(
            session,
            user.tenant_id,
            email=user.email,
            name=user.name,
            role="agent",
            password="another one",
        )
    assert client.get("/tickets").status_code == 302


def test_a_person_who_was_ended_is_out_until_put_again(app: APIFlask, client: FlaskClient) -> None:
    sign_in(client)
    with app.extensions["frugaldesk.database"].write() as session:
        tenant_id = session.query(models.Tenant.id).scalar()
        access.end_user(session, tenant_id, "Agent@ours.example")
        with pytest.raises(Unknown):
            access.end_user(session, tenant_id, "nobody@ours.example")
    assert client.get("/tickets").status_code == 302
    assert sign_in(client)[0] == 401
    with app.extensions["frugaldesk.database"].write() as session:
        access.put_user(
            session,
            tenant_id,
            email="agent@ours.example",
            name="Agent",
            role="agent",
            password=PASSWORD,
        )
    assert sign_in(client)[0] == 302


def test_agents_cannot_open_the_review_queue(client: FlaskClient) -> None:
    sign_in(client)
    assert client.get("/review").status_code == 403
    fresh = client.application.test_client()
    sign_in(fresh, "admin")
    assert fresh.get("/review").status_code == 200


def test_another_tenants_ticket_is_not_found(app: APIFlask, client: FlaskClient) -> None:
    ours, theirs = add_ticket(app, "ours"), add_ticket(app, "theirs")
    sign_in(client, "admin")
    assert client.get(f"/tickets/{ours}").status_code == 200
    assert client.get(f"/tickets/{theirs}").status_code == 404
    token = token_on(client, f"/tickets/{ours}")
    draft = client.post(f"/tickets/{theirs}/draft", data={"csrf_token": token})
    assert draft.status_code in (302, 303, 404)
    with app.extensions["frugaldesk.database"].read() as session:
        assert session.query(models.Suggestion).count() == 0


def test_a_dismissal_takes_only_a_reason_from_the_page(app: APIFlask, client: FlaskClient) -> None:
    ticket_id = add_ticket(app, "ours")
    with app.extensions["frugaldesk.database"].write() as session:
        ticket = session.get_one(models.Ticket, ticket_id)
        suggestion = models.Suggestion(
            tenant_id=ticket.tenant_id,
            ticket_id=ticket.id,
            customer_id=ticket.customer_id,
            status="suggested",
            question="B",
            answer="A",
            score=0.9,
            threshold=0.8,
            tier=0,
            model="macros",
            source="macro",
            adapter="shared@0123456789ab",
            latency_ms=1,
            shown={"id": "c-1", "segment": None, "features": {}, "history": []},
            policy="p@1",
            deadline_at=models.utc_now(),
        )
        session.add(suggestion)
        session.flush()
        address = f"/tickets/{ticket_id}/suggestions/{suggestion.id}/feedback"
    sign_in(client)
    form = {"action": "dismissed", "csrf_token": token_on(client, f"/tickets/{ticket_id}")}
    for reason, status in (("Tone\0", 409), ("x" * 5000, 409), ("Tone or wording", 303)):
        assert client.post(address, data={**form, "reason": reason}).status_code == status


def test_security_headers_are_on_every_page(client: FlaskClient) -> None:
    for path in ("/login", "/docs", "/nowhere", "/openapi.json"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        assert "default-src 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_passwords_are_kept_as_argon2_hashes(app: APIFlask) -> None:
    with app.extensions["frugaldesk.database"].read() as session:
        hashes = [user.password_hash for user in session.query(models.User)]
    assert all(kept.startswith("$argon2id$") for kept in hashes)


def test_before_the_desk_opens_the_service_says_so(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
