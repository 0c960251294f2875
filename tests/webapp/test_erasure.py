"""Erasing a customer: what goes, what stays, what is marked, and what comes too late."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from sqlalchemy import inspect, select, text
from sqlalchemy.orm import Session

from cascade.cache import Which
from cascade.scopes import place
from scoring.customer import Customer
from scoring.examples import Example, Pair, as_row
from tests.webapp.cache_shop import QUESTION, CacheShop, completion, open_shop
from webapp import access, adapters, cache_stores, customers, idempotency, models
from webapp.audit import Caller
from webapp.cli import main
from webapp.customer_export import export
from webapp.db import Database
from webapp.erasure import Erased, customer_hash, erase
from webapp.errors import Unknown

SECRET = "kept in the settings"
MARKER = "zebrafish"
WHO = f"c-{MARKER}"
EVERYWHERE = {
    *("customers", "history_entries", "tickets", "suggestions", "suggestion_steps", "feedback"),
    *("reviews", "cache_entries", "cache_vectors", "training_rows", "regression_cases"),
    "idempotency_keys",
}


@pytest.fixture
def shop(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CacheShop]:
    with open_shop(database, tmp_path, monkeypatch, FRUGALDESK_SECRET_KEY=SECRET) as opened:
        add(opened)
        yield opened


@pytest.fixture
def command(shop: CacheShop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`frugaldesk customers`, over the shop's database."""
    url = shop.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("FRUGALDESK_DATABASE_URL", url)
    monkeypatch.setenv("FRUGALDESK_SECRET_KEY", SECRET)

    def call(name: str, *arguments: str, given: str = "", code: int = 0) -> Result:
        whole = ["customers", name, "--tenant", "t", *arguments]
        done = CliRunner().invoke(main, whole, input=given)
        assert done.exit_code == code, done.output
        return done

    return call


def add(shop: CacheShop) -> None:
    """Add the customer whose name, id and words are all the marker."""
    with shop.database.write() as session:
        row, _ = customers.put(
            session,
            shop.tenant,
            WHO,
            segment="gold",
            features={"membership": "gold", "likes": MARKER},
            name=f"Ann {MARKER}",
            email=f"{MARKER}@c.example",
        )
        customers.add_history(session, row, at=None, text=f"asked about a {MARKER}")


def erase_now(shop: CacheShop, who: str = WHO) -> Erased:
    with shop.database.write() as session:
        return erase(session, shop.tenant, who, actor="test", secret=SECRET)


def example(customer: str, label: int = 1) -> Example:
    asker = Customer(customer, "gold", {"membership": "gold"}, (f"told of {MARKER}",))
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Example(Pair(f"May I, {customer}?", "Yes.", asker), label, at)


def train_on(session: Session, tenant: str, customer: str) -> None:
    """Store one training row of the customer."""
    row = as_row(example(customer))
    session.add(
        models.TrainingRow(
            tenant_id=tenant, customer=customer, segment="gold", row=row, source="file"
        )
    )


def ask(
    shop: CacheShop, customer: str, body: str = f"{QUESTION}, 4711-{MARKER}", **headers: str
) -> Any:
    asked = {
        "ticket": {"subject": f"Of {customer}", "body": body},
        "customer": {"external_id": customer},
    }
    made = shop.api.post("/api/v1/suggestions", json=asked, headers=headers)
    shop.settle()
    return made


def live_through_all(shop: CacheShop) -> None:
    """Do everything with the customer that leaves a row somewhere."""
    made = ask(shop, WHO, **{"Idempotency-Key": f"k-{MARKER}"}).json
    other = ask(shop, "gold-1", f"{QUESTION}, please").json
    verdict = {"action": "edited", "final_text": f"Dear {MARKER}, no."}
    path = f"/api/v1/suggestions/{made['id']}/feedback"
    key = {"Idempotency-Key": "verdict"}
    assert shop.api.post(path, json=verdict, headers=key).status_code == 201
    shop.settle()
    line = {"text": f"wrote of a {MARKER}"}
    path = f"/api/v1/customers/{WHO}/history"
    shop.api.post(path, json=line, headers={"Idempotency-Key": "line"})
    with shop.database.write() as session:
        add_what_reviews_leave(session, shop.tenant, made["id"], other["id"])
        train_on(session, shop.tenant, WHO)
        caller = Caller(shop.tenant, "test")
        cache_stores.erase_recorded(session, caller, Which(customer=WHO, segment="guest"))
        cache_stores.erase_recorded(session, caller, Which(customer=f"no-{WHO}"))


def add_what_reviews_leave(session: Session, tenant: str, made: str, other: str) -> None:
    for first, second in ((made, None), (other, made)):
        session.add(
            models.Review(
                tenant_id=tenant,
                kind="contradiction" if second else "audit",
                suggestion_id=first,
                other_id=second,
                reason="drawn",
                note=f"It is {MARKER}",
            )
        )
    row = as_row(example(WHO))
    case = {"customer": WHO, "segment": "gold", "label": 1, "row": row}
    session.add(models.RegressionCase(tenant_id=tenant, suggestion_id=made, **case))
    session.add(
        models.ShadowScore(
            tenant_id=tenant, suggestion_id=made, position=0, adapter="gold@1", score=0.5
        )
    )
    for step in session.query(models.SuggestionStep).filter_by(suggestion_id=made):
        step.answer = f"{step.answer} {MARKER}"


def everything(database: Database) -> dict[str, str]:
    """Every row of every table as text, whatever the table is for."""
    with database.read() as session:
        return {
            table: "\n".join(
                " ".join(_said(value) for value in row)
                for row in session.execute(text(f'SELECT * FROM "{table}"'))
            )
            for table in inspect(database.engine).get_table_names()
        }


def _said(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def holding(database: Database) -> set[str]:
    """The tables that hold the marker; the parts of one on PostgreSQL are that one."""
    found = {name for name, content in everything(database).items() if MARKER in content}
    return {"cache_vectors" if name.startswith("cache_vectors") else name for name in found}


# What goes


def test_after_an_erasure_no_table_holds_anything_of_the_customer(shop: CacheShop) -> None:
    live_through_all(shop)
    assert holding(shop.database) == EVERYWHERE
    erased = erase_now(shop)
    assert holding(shop.database) == set()
    assert {name for name, count in erased.deleted.items() if not count} == set()
    assert (erased.deleted["idempotency_keys"], erased.deleted["history"]) == (3, 2)


def test_what_is_of_others_stays(shop: CacheShop) -> None:
    live_through_all(shop)
    with shop.database.write() as session:
        train_on(session, shop.tenant, "gold-1")
    before = ask(shop, "gold-1", "May I?", **{"Idempotency-Key": "theirs"}).json
    with shop.database.read() as session:
        theirs = export(session, shop.tenant, "gold-1")
    erase_now(shop)
    assert ask(shop, "gold-1", "May I?", **{"Idempotency-Key": "theirs"}).json == before
    with shop.database.read() as session:
        after = export(session, shop.tenant, "gold-1")
    assert theirs.pop("reviews")
    assert not after.pop("reviews")
    theirs.pop("exported_at")
    after.pop("exported_at")
    assert after == theirs


def test_what_stays_is_a_keyed_hash_and_an_audit_entry_without_the_id(shop: CacheShop) -> None:
    live_through_all(shop)
    erased = erase_now(shop)
    with shop.database.read() as session:
        (tombstone,) = session.scalars(select(models.Erasure))
        entry = session.scalars(
            select(models.AuditEntry).where(models.AuditEntry.action == "customer.erased")
        ).one()
    assert tombstone.customer_hash == customer_hash(SECRET, shop.tenant, WHO)
    assert (tombstone.actor, tombstone.deleted) == ("test", erased.deleted)
    assert (entry.actor, entry.subject) == ("test", tombstone.id)
    assert entry.detail == {**erased.deleted, "adapters_marked": 0}
    others = {customer_hash("other", shop.tenant, WHO), customer_hash(SECRET, "other", WHO)}
    assert len({*others, tombstone.customer_hash}) == 3


def test_of_nobody_there_is_nothing_to_erase_and_a_second_time_neither(shop: CacheShop) -> None:
    with pytest.raises(Unknown, match="nobody"):
        erase_now(shop, "nobody")
    erase_now(shop)
    with pytest.raises(Unknown, match="nothing is held"):
        erase_now(shop)
    add(shop)
    assert erase_now(shop).deleted["profile"] == 1
    with shop.database.read() as session:
        assert session.query(models.Erasure).count() == 2


def test_who_is_in_the_training_rows_alone_is_erased(shop: CacheShop) -> None:
    with shop.database.write() as session:
        train_on(session, shop.tenant, "past")
    erased = erase_now(shop, "past")
    assert {name: count for name, count in erased.deleted.items() if count} == {"training_rows": 1}


# What is marked


def test_adapters_that_learnt_from_the_customer_or_may_have_are_marked(shop: CacheShop) -> None:
    with shop.database.write() as session:
        for name in ("gold@1", "guest@1", "shared@1"):
            segment = name.partition("@")[0]
            session.add(
                models.Adapter(tenant_id=shop.tenant, segment=segment, version=name, manifest={})
            )
        session.flush()
        for version, learnt_from in (("gold@1", WHO), ("guest@1", "guest-1")):
            learn = [example(learnt_from), example("guest-2")]
            for _ in range(2):
                adapters.record_customers(session, shop.tenant, [version], learn, secret=SECRET)
        assert session.query(models.AdapterCustomer).count() == 4
    assert erase_now(shop).marked == ("gold@1", "shared@1")
    with shop.database.read() as session:
        because = {row.version: row.marked_because or "" for row in session.query(models.Adapter)}
    assert because["guest@1"] == ""
    assert "learnt from a customer" in because["gold@1"]
    assert "not known" in because["shared@1"]


def test_an_adapter_that_learnt_from_who_was_erased_meanwhile_is_marked_at_once(
    shop: CacheShop,
) -> None:
    erase_now(shop)
    with shop.database.write() as session:
        mine = {"tenant_id": shop.tenant, "segment": "gold", "manifest": {}}
        session.add_all(models.Adapter(version=each, **mine) for each in ("gold@1", "gold@2"))
        session.flush()
        for version, who in (("gold@1", WHO), ("gold@2", "gold-1")):
            adapters.record_customers(
                session, shop.tenant, [version], [example(who)], secret=SECRET
            )
    with shop.database.read() as session:
        marked = {row.version: row.marked_at is not None for row in session.query(models.Adapter)}
    assert marked == {"gold@1": True, "gold@2": False}


# What comes too late


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_run_whose_customer_is_erased_ends_quietly_and_stores_nothing(
    shop: CacheShop, comes_back: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def erase_and_answer(handler: BaseHTTPRequestHandler) -> None:
        erase_now(shop)
        if comes_back:
            with shop.database.write() as session:
                customers.put(session, shop.tenant, WHO, segment="gold", features={})
        completion(handler, shop.upstream.received[-1].body)

    shop.upstream.script[:] = [erase_and_answer]
    with caplog.at_level(logging.INFO):
        made = ask(shop, WHO, **{"Idempotency-Key": "mine"})
    assert (made.status_code, made.content_type) == (404, "application/problem+json")
    assert holding(shop.database) == ({"customers"} if comes_back else set())
    with shop.database.read() as session:
        assert session.query(models.Suggestion).count() == 0
        assert session.query(models.Ticket).count() == 0
    said = [each for each in caplog.records if each.name.startswith("webapp")]
    assert {each.levelname for each in said} == {"INFO"}
    assert "was erased with its customer; nothing more is stored" in said[0].getMessage()
    assert MARKER not in " ".join(each.getMessage() for each in said)


@pytest.mark.parametrize("verdict", [False, True])
@pytest.mark.parametrize("comes_back", [False, True])
def test_no_answer_is_kept_of_a_customer_who_is_erased_meanwhile(
    shop: CacheShop,
    verdict: bool,
    comes_back: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def erase_first(*arguments: Any, **named: Any) -> Any:
        erase_now(shop)
        if comes_back:
            with shop.database.write() as session:
                customers.put(session, shop.tenant, WHO, segment="gold", features={})
        return place(*arguments, **named)

    made = ask(shop, WHO).json if verdict else None
    monkeypatch.setattr("webapp.remembering.place", erase_first)
    with caplog.at_level(logging.INFO):
        if made:
            shop.judge(made, "edited", final_text=f"Dear {MARKER}, no.")
        else:
            ask(shop, WHO)
    assert shop.entries() == []
    assert holding(shop.database) == ({"customers"} if comes_back else set())
    assert {each.levelname for each in caplog.records if each.name.startswith("webapp")} <= {"INFO"}


def test_an_answer_on_its_way_is_not_kept_for_a_repeated_request(
    shop: CacheShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = idempotency._keep

    def erase_first(key: str, response: Any) -> None:
        erase_now(shop)
        keep(key, response)

    monkeypatch.setattr(idempotency, "_keep", erase_first)
    assert ask(shop, WHO, **{"Idempotency-Key": "mine"}).status_code == 201
    assert holding(shop.database) == set()
    with shop.database.read() as session:
        assert session.query(models.IdempotencyKey).count() == 0


def test_an_erasure_waits_for_who_writes_to_a_ticket_of_the_customer(shop: CacheShop) -> None:
    made = ask(shop, WHO).json

    def write_slowly() -> None:
        with shop.database.write() as session:
            row = session.get_one(models.Suggestion, made["id"], with_for_update=True)
            time.sleep(0.4)
            session.get_one(models.Ticket, row.ticket_id, with_for_update=True).reply = MARKER

    with ThreadPoolExecutor(1) as other:
        writing = other.submit(write_slowly)
        time.sleep(0.1)
        assert erase_now(shop).deleted["suggestions"] == 1
        writing.result()
    assert holding(shop.database) == set()


# What is given


def keys_of(found: Mapping[str, Any], name: str) -> set[str]:
    return set(found[name][0])


def test_an_export_gives_everything_held_as_json(shop: CacheShop) -> None:
    live_through_all(shop)
    with shop.database.read() as session:
        found = json.loads(json.dumps(export(session, shop.tenant, WHO)))
    assert list(found) == [
        *("external_id", "exported_at", "profile", "history", "tickets", "reviews"),
        *("shadow_scores", "cache_entries", "training_rows", "regression_cases", "suggestions"),
    ]
    assert found["profile"]["features"] == {"membership": "gold", "likes": MARKER}
    assert datetime.fromisoformat(found["profile"]["created_at"]).tzinfo
    assert [line["text"] for line in found["history"]] == [
        f"asked about a {MARKER}",
        f"wrote of a {MARKER}",
    ]
    (made,) = found["suggestions"]
    assert made["shown"]["id"] == WHO
    assert [step["source"] for step in made["steps"]] == ["cache", "macro", "llm"]
    assert MARKER in made["steps"][-1]["answer"]
    assert [each["final_text"] for each in made["feedback"]] == [f"Dear {MARKER}, no."]
    assert found["tickets"][0]["reply"] == f"Dear {MARKER}, no."
    assert [each["note"] for each in found["reviews"]] == [f"It is {MARKER}"] * 2
    assert {"question", "answer", "scope"} <= keys_of(found, "cache_entries")
    assert found["training_rows"][0]["row"] == as_row(example(WHO))
    assert found["regression_cases"][0]["label"] == 1
    with shop.database.read() as session:
        again = export(session, shop.tenant, WHO)
    assert {**again, "exported_at": found["exported_at"]} == found


def test_the_api_exports_and_erases(shop: CacheShop) -> None:
    live_through_all(shop)
    path = f"/api/v1/customers/{WHO}"
    given = shop.api.get(f"{path}/export")
    assert given.status_code == 200
    assert given.json
    assert given.json["suggestions"][0]["customer"] == WHO
    erased = shop.api.delete(path)
    assert erased.status_code == 200
    assert erased.json
    assert (erased.json["deleted"]["profile"], erased.json["adapters_marked"]) == (1, [])
    for answer in (shop.api.delete(path), shop.api.get(f"{path}/export"), shop.api.get(path)):
        assert answer.status_code == 404
        assert answer.content_type == "application/problem+json"
    assert shop.api.delete("/api/v1/customers/%00").status_code == 422
    assert holding(shop.database) == set()


def test_another_tenant_reaches_nobody_here(shop: CacheShop) -> None:
    with shop.database.write() as session:
        tenant = models.Tenant(slug="other", name="Other")
        session.add(tenant)
        session.flush()
        key = access.create_api_key(session, tenant.id, "test")
        train_on(session, tenant.id, WHO)
    client: FlaskClient = shop.app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    erased = client.delete(f"/api/v1/customers/{WHO}")
    assert erased.json
    assert erased.json["deleted"]["profile"] == 0
    assert shop.api.get(f"/api/v1/customers/{WHO}").status_code == 200


def test_the_commands_export_and_erase(
    shop: CacheShop, command: Callable[..., Result], tmp_path: Path
) -> None:
    live_through_all(shop)
    assert json.loads(command("export", WHO).stdout)["external_id"] == WHO
    out = tmp_path / "export.json"
    assert "written" in command("export", WHO, "--out", str(out)).output
    assert json.loads(out.read_text())["profile"]["name"] == f"Ann {MARKER}"
    assert out.stat().st_mode & 0o077 == 0
    missing = tmp_path / "none" / "export.json"
    assert "export.json" in command("export", WHO, "--out", str(missing), code=1).output
    assert "Delete all" in command("erase", WHO, given="n\n", code=1).output
    assert MARKER in everything(shop.database)["customers"]
    told = command("erase", WHO, "--yes").output
    assert "     1  profile" in told
    assert "     1  training rows" in told
    assert holding(shop.database) == set()
    assert "nothing is held" in command("erase", WHO, "--yes", code=2).output
    assert "nothing is held" in command("export", WHO, code=2).output
