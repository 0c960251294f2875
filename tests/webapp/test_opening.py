"""How the service gets ready to answer, and what it tends while it serves. No encoder is loaded."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import select

from cascade import Policy, Tier
from scoring.scorer import Scorer
from webapp import Settings, models, policies
from webapp.db import Database
from webapp.desk import Desk


@pytest.fixture(autouse=True)
def without_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled weights take seconds, and nothing is scored here."""
    blank = SimpleNamespace(embed=lambda texts: np.zeros((len(texts), 3), np.float32))
    monkeypatch.setattr("scoring.encoder.load_encoder", lambda base: blank)


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings that name the empty, current database."""
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
