"""Prepares the demo: schema, shop, adapters, access. Everything that is there already is kept."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from scoring.examples import Example, read_examples
from scoring.registry import FORMAT, Registry
from webapp import adapters, models, schema, training_rows
from webapp.db import Database
from webapp.demo import seeding
from webapp.demo.shop import build_shop
from webapp.settings import Settings


def prepare(settings: Settings) -> None:
    """Bring the demo to where it can be served, and write `var/demo.json`."""
    database = Database(settings.database_url)
    schema.upgrade(database)
    shop = build_shop()
    tenant_id = seeding.seed(database, shop)
    train, _ = seeding.write_examples(shop, settings.var / "demo")
    stamp, wanted = settings.adapters / "demo.sha256", _fingerprint(train, settings)
    afresh = not Registry(settings.adapters).champions() or _text(stamp) != wanted
    if afresh:
        _train(train, settings)
    with database.write() as session:
        _publish(session, tenant_id, train, settings, afresh=afresh)
        _import_once(session, tenant_id, train, settings, afresh=afresh)
    # Last, so that what was trained and not published is trained again.
    stamp.write_text(wanted)
    access = seeding.give_access(database, settings, tenant_id)
    database.close()
    click.echo(
        f"The demo shop is synthetic. Sign in as {access.agent_email} / {access.agent_password}\n"
        f"or, to review escalations, {access.admin_email} / {access.admin_password}\n"
        f"(kept, with the API key, in {settings.var / 'demo.json'})"
    )


def _fingerprint(examples: Path, settings: Settings) -> str:
    """Return what the adapters depend on: the examples, the base, and how adapters are stored."""
    beside = f"{settings.scorer_base or ''} {FORMAT}"
    return hashlib.sha256(examples.read_bytes() + beside.encode()).hexdigest()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _train(examples: Path, settings: Settings) -> None:
    click.echo("Training the demo's adapters, once (about two minutes on two cores).")
    from scoring.encoder import load_encoder
    from scoring.training import train

    train(
        _read(examples),
        encoder=load_encoder(settings.scorer_base),
        registry=Registry(settings.adapters),
        created=datetime.now(UTC),
    )


def _read(examples: Path) -> list[Example]:
    with examples.open(encoding="utf-8") as source:
        return read_examples(source, name=examples.name)


def _publish(
    session: Session, tenant_id: str, examples: Path, settings: Settings, *, afresh: bool
) -> None:
    """Make the trained adapters live: all of them afresh, else where a segment has none.

    So what was promoted since the training stays. Whom they learnt from is recorded once.
    """
    registry = Registry(settings.adapters)
    trained, live = registry.champions(), adapters.champions(session, tenant_id)
    wanted = [version for segment, version in trained.items() if afresh or segment not in live]
    adapters.publish(session, tenant_id, map(registry.manifest, wanted), actor="demo")
    unknown = adapters.of_unknown_origin(session, tenant_id, trained.values())
    if unknown:
        rows, secret = _read(examples), settings.secret_key
        adapters.record_customers(session, tenant_id, unknown, rows, secret=secret)


def _import_once(
    session: Session, tenant_id: str, examples: Path, settings: Settings, *, afresh: bool
) -> None:
    """Store the examples that were trained on, unless an earlier start did."""
    rows, mine = models.TrainingRow, models.TrainingRow.tenant_id == tenant_id
    there = select(rows.id).where(mine, rows.source == examples.name).limit(1)
    if not afresh and session.scalar(there) is not None:
        return
    with examples.open(encoding="utf-8") as source:
        training_rows.import_rows(session, tenant_id, source, examples.name, settings.secret_key)
