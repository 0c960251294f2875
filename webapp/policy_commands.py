"""`frugaldesk policies`: publish what `optimise` wrote, list what is stored, roll back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cascade import Policy
from cascade.errors import BadPolicy
from webapp.operating import TenantSlug, open_database, tenant_named
from webapp.settings import Settings

if TYPE_CHECKING:
    from webapp import models

ACTOR = "cli"


@click.group()
def policies() -> None:
    """Which models a tenant's tickets are asked of, and what is good enough."""


@policies.command("publish")
@TenantSlug
@click.option(
    "--policy",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="What `frugaldesk optimise --policy` wrote.",
)
@click.option(
    "--limits-as-written",
    is_flag=True,
    help="Take budgets and deadline from the file even where it sets none.",
)
def publish_policy(tenant: str, path: Path, limits_as_written: bool) -> None:
    """Store a policy file as a version and make it live.

    Where the file has no budget for a ticket, no daily budgets, or no deadline but the usual 30
    seconds, those of the tenant's live policy go on holding, each for itself; of a tenant without
    a policy, those of the settings. `optimise` writes none of the three.
    """
    from webapp import policies as versions
    from webapp import policy_files
    from webapp.desk import Desk

    file = policy_files.read(policy_text(path), name=str(path))
    settings = Settings.from_env()
    database = open_database(settings)
    desk = Desk(settings, database)
    with database.write() as session:
        mine = tenant_named(session, tenant)
        policy, before = file.policy, versions.live_version(session, mine)
        if not limits_as_written:
            served = versions.live(session, mine) if before else desk.built_in_policy()
            policy = policy_files.with_limits_of(policy, served)
        policy_files.check_servable(policy, desk.sources)
        versions.publish(
            session,
            mine,
            policy,
            origin=file.origin,
            actor=ACTOR,
            made_from=file.made_from,
        )
        row = versions.find(session, mine, policy.version)
    _say_live(row, before)


@policies.command("list")
@TenantSlug
def list_policies(tenant: str) -> None:
    """List the stored versions, those stored last first, with the live one marked."""
    from webapp import display
    from webapp import policies as versions

    with open_database().read() as session:
        mine = tenant_named(session, tenant)
        live, rows = versions.live_version(session, mine), versions.stored(session, mine)
    for row in rows:
        mark = "live" if row.version == live else ""
        click.echo(f"{row.version}  {mark:4}  {row.origin:9}  {display.moment(row.created_at)}")
    if not rows:
        click.echo("no policies yet; the service makes the first one when it starts")


@policies.command("rollback")
@TenantSlug
@click.argument("version", required=False)
def roll_back(tenant: str, version: str | None) -> None:
    """Make a stored VERSION live again, or the one that was live before.

    Twice without VERSION ends where it began; name a version to go further back.
    """
    from webapp import policies as versions
    from webapp import policy_files
    from webapp.desk import Desk

    settings = Settings.from_env()
    database = open_database(settings)
    sources = Desk(settings, database).sources
    with database.write() as session:
        mine = tenant_named(session, tenant)
        before = versions.live_version(session, mine)
        row = versions.find(session, mine, version or versions.version_before(session, mine))
        policy_files.check_servable(Policy.from_json(row.document), sources)
        versions.make_live(session, mine, row.version, actor=ACTOR, instead_of=before)
    _say_live(row, before)


def _say_live(row: "models.Policy", before: str | None) -> None:
    from webapp import policy_words

    if row.version == before:
        click.echo(f"{row.version} is live already; nothing has changed")
    else:
        click.echo(f"live: {row.version} ({row.origin}), before: {before or 'none'}")
    told = policy_words.facts(Policy.from_json(row.document))
    for about, text in {**told, **policy_words.estimates(row.made_from)}.items():
        click.echo(f"  {about}: {text}")


def policy_text(path: Path) -> str:
    """Return what a policy file says; `BadPolicy` where it is no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadPolicy(f"{path} is not UTF-8 text: {exc}") from exc
