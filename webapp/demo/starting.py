"""Prepares the demo: schema, shop, adapters, access. Everything that is there already is kept."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import click

from scoring.examples import read_examples
from scoring.registry import Registry
from webapp import adapters, schema
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
    _train_once(train, settings)
    _publish(database, tenant_id, settings)
    access = seeding.give_access(database, settings, tenant_id)
    database.close()
    click.echo(
        f"The demo shop is synthetic. Sign in as {access.agent_email} / {access.agent_password}\n"
        f"or, to review escalations, {access.admin_email} / {access.admin_password}\n"
        f"(kept, with the API key, in {settings.var / 'demo.json'})"
    )


def _train_once(examples: Path, settings: Settings) -> None:
    """Train the demo's adapters unless this very data was trained on, on this base, before."""
    registry = Registry(settings.adapters)
    stamp = settings.adapters / "demo.sha256"
    wanted = hashlib.sha256(examples.read_bytes() + (settings.scorer_base or "").encode())
    trained = stamp.read_text() if stamp.exists() else ""
    if trained == wanted.hexdigest() and registry.champions():
        return
    click.echo("Training the demo's adapters, once (about a minute on two cores).")
    from scoring.encoder import load_encoder
    from scoring.training import train

    with examples.open(encoding="utf-8") as source:
        rows = read_examples(source, name=str(examples))
    train(
        rows,
        encoder=load_encoder(settings.scorer_base),
        registry=registry,
        created=datetime.now(UTC),
    )
    stamp.write_text(wanted.hexdigest())


def _publish(database: Database, tenant_id: str, settings: Settings) -> None:
    """Make the trained adapters live; those that are stay, those of an earlier training go."""
    registry = Registry(settings.adapters)
    manifests = [registry.manifest(version) for version in registry.champions().values()]
    with database.write() as session:
        adapters.publish(session, tenant_id, manifests, actor="demo")
