"""How the service gets ready to answer, and what it tends while it serves. No encoder is loaded."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import select

import webapp
from cascade import Policy, Tier
from scoring.examples import digest, read_examples
from scoring.registry import Registry
from scoring.scorer import Scorer
from webapp import (
    Settings,
    adapters,
    create_app,
    customers,
    models,
    policies,
    schema,
    suggestions,
    training_rows,
)
from webapp.audit import Caller
from webapp.db import Database
from webapp.demo.seeding import SLUG
from webapp.demo.starting import prepare
from webapp.desk import Desk, Setup, read_prices
from webapp.errors import BadSettings


@pytest.fixture(autouse=True)
def without_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled weights take seconds, and nothing is scored here."""
    blank = SimpleNamespace(
        digest="blank", embed=lambda texts: np.zeros((len(texts), 3), np.float32)
    )
    monkeypatch.setattr("scoring.encoder.load_encoder", lambda base: blank)


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings that name the database with the newest schema and no rows."""
    return settings_of(database, tmp_path)


def settings_of(database: Database, tmp_path: Path) -> Settings:
    url = database.engine.url.render_as_string(hide_password=False)
    return Settings.from_env({"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_DATABASE_URL": url})


@pytest.fixture
def second(database: Database) -> Iterator[Database]:
    """The same database, as another process reaches it."""
    opened = Database(database.engine.url.render_as_string(hide_password=False))
    yield opened
    opened.close()


def add_tenant(database: Database) -> str:
    with database.write() as session:
        tenant = models.Tenant(slug="t", name="T")
        session.add(tenant)
        session.flush()
        return tenant.id


def serve_adapter(database: Database, tenant_id: str) -> None:
    with database.write() as session:
        adapter = models.Adapter(
            tenant_id=tenant_id, segment="shared", version="shared@1", manifest={}
        )
        session.add(adapter)
        session.flush()
        session.add(
            models.LiveAdapter(tenant_id=tenant_id, segment="shared", adapter_id=adapter.id)
        )


def test_processes_that_start_together_load_their_adapters_side_by_side(
    database: Database, second: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_adapter(database, add_tenant(database))
    both_load = Barrier(2, timeout=5)
    monkeypatch.setattr(Scorer, "load", lambda self, version: both_load.wait())
    desks = [Desk(settings, each) for each in (database, second)]
    with ThreadPoolExecutor(2) as starting:
        list(starting.map(Desk.open, desks))
    assert [desk.problem for desk in desks] == [None, None]


def test_of_processes_that_publish_at_once_one_does_and_the_others_find_it(
    database: Database, second: Database
) -> None:
    tenant = add_tenant(database)
    policy = Policy((Tier("macros", "macro", 0.8),))

    def publish_too() -> None:
        with second.write() as session:
            policies.keep_built_in(session, [tenant], policy)

    with ThreadPoolExecutor(1) as other:
        with database.write() as session:
            policies.keep_built_in(session, [tenant], policy)
            late = other.submit(publish_too)
            with pytest.raises(TimeoutError):
                late.result(timeout=0.5)
        late.result(timeout=10)
    with database.read() as session:
        assert policies.live(session, tenant) == policy
        published = session.scalars(
            select(models.AuditEntry).where(models.AuditEntry.action == "policy.published")
        ).all()
        assert len(published) == 1


def until(done: Callable[[], bool]) -> None:
    """Wait a few seconds for what happens in the background."""
    give_up = time.monotonic() + 10
    while not done() and time.monotonic() < give_up:
        time.sleep(0.02)
    assert done()


def test_a_service_started_too_early_gets_ready_once_the_schema_is_there(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webapp, "RETRY_S", 0.05)
    client = create_app(settings_of(empty_database, tmp_path)).test_client()
    until(lambda: "db upgrade" in client.get("/readyz").text)
    assert client.get("/readyz").status_code == 503
    schema.upgrade(empty_database)
    until(lambda: client.get("/readyz").status_code == 200)


def test_runs_cut_off_before_the_start_and_after_it_are_settled(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webapp, "SETTLE_S", 0.05)
    tenant_id = add_tenant(database)
    before = add_overdue_run(database, tenant_id)
    create_app(settings)
    until(lambda: status_of(database, before) == "escalated")
    after = add_overdue_run(database, tenant_id)
    until(lambda: status_of(database, after) == "escalated")


def add_overdue_run(database: Database, tenant_id: str) -> str:
    with database.write() as session:
        customer, _ = customers.put(session, tenant_id, "c-1", segment=None, features={})
        ticket = suggestions.put_ticket(
            session, customer, external_id=None, subject="Return", body="May I?"
        )
        setup = Setup("t", Policy((Tier("macros", "macro", 0.8),)), {}, None)  # type: ignore[arg-type]
        begun = suggestions.begin(session, Caller(tenant_id, "test"), ticket, setup)
        row = session.get_one(models.Suggestion, begun.suggestion_id)
        row.deadline_at -= timedelta(days=1)
        return row.id


def status_of(database: Database, suggestion_id: str) -> str:
    with database.read() as session:
        return session.get_one(models.Suggestion, suggestion_id).status


@pytest.fixture
def demo(demo_var: Path, tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    """A copy of the prepared demo, to prepare once more."""
    var = tmp_path / "var"
    shutil.copytree(demo_var, var)
    settings = Settings.from_env({"FRUGALDESK_VAR": str(var)})
    database = Database(settings.database_url)
    yield settings, database
    database.close()


def promote_another(database: Database) -> models.LiveAdapter:
    """Make another version live for one segment."""
    with database.write() as session:
        live = session.scalars(select(models.LiveAdapter)).first()
        assert live is not None
        mine = {"tenant_id": live.tenant_id, "segment": live.segment, "manifest": {}}
        other = models.Adapter(version=f"{live.segment}@0123456789ab", **mine)
        session.add(other)
        session.flush()
        live.adapter_id = other.id
        return live


def test_what_was_promoted_stays_live_when_the_demo_starts_again(
    demo: tuple[Settings, Database],
) -> None:
    settings, database = demo
    live = promote_another(database)
    with database.write() as session:
        lost = select(models.LiveAdapter).where(models.LiveAdapter.segment != live.segment)
        session.delete(session.scalars(lost).first())
    prepare(settings)
    trained = Registry(settings.adapters).champions()
    with database.read() as session:
        found = adapters.champions(session, live.tenant_id)
    assert found == {**trained, live.segment: f"{live.segment}@0123456789ab"}


def test_the_demo_makes_live_what_it_trained_last(
    demo: tuple[Settings, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, database = demo
    live = promote_another(database)
    monkeypatch.setattr("scoring.training.train", lambda *_, **__: [])
    (settings.adapters / "demo.sha256").unlink()
    prepare(settings)
    with database.read() as session:
        found = adapters.champions(session, live.tenant_id)
    assert found == Registry(settings.adapters).champions()
    assert (settings.adapters / "demo.sha256").exists()


def test_the_demo_trains_again_what_another_release_stored(
    demo: tuple[Settings, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = demo
    trained: list[object] = []
    monkeypatch.setattr("scoring.training.train", lambda *_, **how: trained.append(how))
    prepare(settings)
    assert not trained
    monkeypatch.setattr("webapp.demo.starting.FORMAT", -1)
    prepare(settings)
    assert len(trained) == 1


def test_the_demo_stores_what_it_trained_on_once_and_whom_it_learnt_from(
    demo: tuple[Settings, Database],
) -> None:
    settings, database = demo
    with (settings.var / "demo" / "examples.train.jsonl").open(encoding="utf-8") as source:
        trained_on = read_examples(source, name="examples")

    def counts() -> tuple[int, int]:
        with database.read() as session:
            rows = session.query(models.TrainingRow).count()
            return rows, session.query(models.AdapterCustomer).count()

    people = {each.pair.customer.id for each in trained_on}
    before = counts()
    assert before[1] == len(people) * len(Registry(settings.adapters).champions())
    with database.read() as session:
        tenant = session.scalars(select(models.Tenant.id).where(models.Tenant.slug == SLUG)).one()
        stored = training_rows.rows(session, tenant, None)
    assert [digest([each]) for each in stored] == list(
        dict.fromkeys(digest([each]) for each in trained_on)
    )
    prepare(settings)
    assert counts() == before


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[[price", b'[[price]]\nmodel = "m"\ninput_per_million = "free"\n']
)
def test_a_price_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    settings = Settings.from_env(
        {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_PRICES": str(tmp_path / "mine.toml")}
    )
    with pytest.raises(BadSettings, match=r"FRUGALDESK_PRICES is .*mine\.toml"):
        read_prices(settings)
