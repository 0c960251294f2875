"""The schema: migrations up and down, no drift from the models, and what the database refuses."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import delete, inspect, update
from sqlalchemy.exc import DatabaseError, IntegrityError, StatementError

from webapp import Settings, audit, models, schema
from webapp.db import Database
from webapp.jobs import Jobs


def add_tenant(database: Database, slug: str) -> str:
    with database.write() as session:
        tenant = models.Tenant(slug=slug, name=slug)
        session.add(tenant)
        session.flush()
        return tenant.id


def add_customer(database: Database, tenant_id: str, external_id: str) -> str:
    with database.write() as session:
        customer = models.Customer(tenant_id=tenant_id, external_id=external_id, features={})
        session.add(customer)
        session.flush()
        return customer.id


def test_upgrades_from_empty_and_downgrades_to_empty(empty_database: Database) -> None:
    assert not schema.is_current(empty_database)
    schema.upgrade(empty_database)
    assert schema.is_current(empty_database)
    schema.downgrade(empty_database)
    assert inspect(empty_database.engine).get_table_names() == ["alembic_version"]
    schema.upgrade(empty_database)
    assert schema.is_current(empty_database)


def test_what_is_live_stays_live_through_every_migration(empty_database: Database) -> None:
    schema.upgrade(empty_database, "0001")
    tenant = add_tenant(empty_database, "ours")
    columns = "(id, tenant_id, version, document, origin, created_at)"
    values = f"('p-1', '{tenant}', 'v', '{{}}', 'built-in', '2026-01-01 00:00:00')"
    pointer = f"('l-1', '{tenant}', 'p-1', '2026-01-01 00:00:00')"
    with empty_database.write() as session:
        run = session.connection().exec_driver_sql
        run(f"INSERT INTO policies {columns} VALUES {values}")
        run(f"INSERT INTO live_policies (id, tenant_id, policy_id, created_at) VALUES {pointer}")
    schema.upgrade(empty_database)
    with empty_database.read() as session:
        live = session.query(models.LivePolicy).one()
        assert (live.policy.version, live.policy.made_from, live.moved_by) == ("v", None, None)
    schema.downgrade(empty_database, "0001")
    with empty_database.read() as session:
        found = session.connection().exec_driver_sql("SELECT policy_id FROM live_policies")
        assert found.scalar() == "p-1"


def test_migrated_schema_is_the_models_schema(database: Database) -> None:
    with database.read() as session:
        options = {"compare_type": True, "include_name": schema.is_modelled}
        context = MigrationContext.configure(session.connection(), opts=options)
        assert compare_metadata(context, models.Base.metadata) == []


def test_every_tenant_table_names_its_tenant_in_each_unique_key() -> None:
    for table in models.Base.metadata.sorted_tables:
        if table.name == "tenants":
            continue
        assert "tenant_id" in table.columns, table.name
        unique = [c for c in table.constraints if c.__class__.__name__ == "UniqueConstraint"]
        for constraint in unique:
            assert "tenant_id" in constraint.columns, constraint.name  # type: ignore[attr-defined]


def test_a_row_cannot_point_into_another_tenant(database: Database) -> None:
    ours, theirs = add_tenant(database, "ours"), add_tenant(database, "theirs")
    their_customer = add_customer(database, theirs, "c-1")
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(
            models.Ticket(
                tenant_id=ours, customer_id=their_customer, external_id="T", subject="", body="b"
            )
        )


def test_audit_log_refuses_change_and_deletion(database: Database) -> None:
    tenant = add_tenant(database, "ours")
    with database.write() as session:
        audit.record(session, tenant, "user:a", "did", "something", number=1)
    changes = (update(models.AuditEntry).values(actor="x"), delete(models.AuditEntry))
    for change in changes:
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(change)


def test_times_are_utc_and_naive_ones_refused(database: Database) -> None:
    tenant = add_tenant(database, "ours")
    with database.read() as session:
        created = session.get_one(models.Tenant, tenant).created_at
    assert created.utcoffset() is not None
    assert created.utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    with pytest.raises(StatementError, match="time zone"), database.write() as session:
        session.add(models.Tenant(slug="n", name="n", created_at=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_money_keeps_every_nano_dollar(database: Database) -> None:
    tenant = add_tenant(database, "ours")
    customer = add_customer(database, tenant, "c-1")
    cost = Decimal("0.000043001")
    with database.write() as session:
        ticket = models.Ticket(
            tenant_id=tenant, customer_id=customer, external_id="T", subject="", body="b"
        )
        session.add(ticket)
        session.flush()
        session.add(
            models.Suggestion(
                tenant_id=tenant,
                ticket_id=ticket.id,
                customer_id=customer,
                question="q",
                shown={},
                policy="p",
                cost=cost,
                deadline_at=models.utc_now(),
            )
        )
    with database.read() as session:
        assert session.query(models.Suggestion).one().cost == cost


def test_sqlite_runs_in_wal_mode_with_foreign_keys(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/wal.db")
    with database.read() as session:
        connection = session.connection()
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_the_queue_of_jobs_makes_its_own_tables(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = {
        "FRUGALDESK_VAR": str(tmp_path),
        "FRUGALDESK_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
    }
    settings = Settings.from_env(told)
    with ThreadPoolExecutor(4) as at_once:
        list(at_once.map(lambda number: Jobs(settings).train(f"run-{number}"), range(4)))
    assert [record.getMessage() for record in caplog.records] == []
    test_migrated_schema_is_the_models_schema(database)
