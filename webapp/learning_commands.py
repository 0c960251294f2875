"""Commands that make the scorer better: retrain, worker, and moving adapters."""

import os
from typing import TYPE_CHECKING

import click

from webapp.errors import WebappError
from webapp.operating import TenantSlug, open_database, tenant_named
from webapp.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@click.command()
@click.option("--tenant", help="The tenant's slug; may be left out where there is one tenant.")
@click.option("--segment", "segments", multiple=True, help="May be given several times.")
@click.option("--all", "everything", is_flag=True, help="Every segment, the shared adapter first.")
@click.option("--seed", default=0, show_default=True)
@click.option("--now", is_flag=True, help="Train in this process instead of asking a worker.")
def retrain(
    tenant: str | None, segments: tuple[str, ...], everything: bool, seed: int, now: bool
) -> None:
    """Train and judge a candidate for a segment from the feedback there is."""
    from webapp import promotion, retraining, runs
    from webapp.jobs import Jobs

    if bool(segments) == everything:
        raise WebappError("name the segments with --segment, or give --all")
    settings = Settings.from_env()
    database = open_database(settings)
    with database.write() as session:
        tenant_id = _only_tenant(session) if tenant is None else tenant_named(session, tenant)
        if everything:
            segments = tuple(promotion.segments(session, tenant_id))
        for segment in segments:
            promotion.check_segment(session, tenant_id, segment)
        wanted = [
            runs.request(
                session, tenant_id, segment, actor="cli", reason="asked for by command", seed=seed
            ).id
            for segment in segments
        ]
    for segment, run_id in zip(segments, wanted, strict=True):
        if now:
            retraining.carry_out(database, settings, run_id)
            with database.read() as session:
                run = runs.find(session, tenant_id, run_id)
                made = run.adapter.version if run.adapter else run.status
                click.echo(f"{segment}: {made}: {run.log[-1]}")
        else:
            Jobs(settings).train(run_id)
            click.echo(f"{segment}: run {run_id} waits for `frugaldesk worker`")


@click.command()
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--with-parent", is_flag=True, hidden=True, help="End when the parent process does.")
def worker(processes: int, with_parent: bool) -> None:
    """Carry out training runs until stopped; any number of workers may run beside each other."""
    import logging
    import threading

    from webapp.jobs import Jobs, end_with

    settings = Settings.from_env()
    open_database(settings).close()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if with_parent:
        threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    Jobs(settings).work(processes=processes)


@click.command("list")
@TenantSlug
def list_adapters(tenant: str) -> None:
    """Print each segment's champion, what was live before, and its challenger."""
    from webapp import promotion

    with open_database().read() as session:
        for each in promotion.standings(session, tenant_named(session, tenant)):
            own = "" if each.own else "  (the shared one)"
            before = f"  before: {each.before}" if each.before else ""
            challenger = f"  challenger: {each.challenger}" if each.challenger else ""
            click.echo(f"{each.segment:16}{each.champion}{own}{before}{challenger}")


@click.command()
@TenantSlug
@click.argument("version")
def promote(tenant: str, version: str) -> None:
    """Make a judged adapter its segment's champion."""
    from webapp import promotion

    with open_database().write() as session:
        made = promotion.promote(session, tenant_named(session, tenant), version, actor="cli")
        click.echo(f"{version} is live: {made.report['verdict']}")


@click.command("rollback")
@TenantSlug
@click.argument("segment")
def roll_back(tenant: str, segment: str) -> None:
    """Put back what was live before a segment's last promotion."""
    from webapp import promotion

    with open_database().write() as session:
        back = promotion.roll_back(session, tenant_named(session, tenant), segment, actor="cli")
        click.echo(f"{segment} is scored by {back or 'the shared adapter'} again")


@click.command()
@TenantSlug
@click.argument("version")
@click.option("--off", is_flag=True, help="End it: VERSION is then the segment.")
def challenge(tenant: str, version: str, off: bool) -> None:
    """Let an adapter score its segment's tickets too, served to nobody."""
    from webapp import promotion

    with open_database().write() as session:
        tenant_id = tenant_named(session, tenant)
        if off:
            promotion.end_challenge(session, tenant_id, version, actor="cli")
            click.echo(f"nothing challenges the champion of {version} any more")
        else:
            promotion.challenge(session, tenant_id, version, actor="cli")
            click.echo(f"{version} challenges its champion")


def _only_tenant(session: "Session") -> str:
    from sqlalchemy import select

    from webapp.models import Tenant

    found = session.execute(select(Tenant.id, Tenant.slug)).all()
    if len(found) != 1:
        known = ", ".join(slug for _, slug in found) or "none"
        raise WebappError(f"there are {len(found)} tenants ({known}); name one with --tenant")
    tenant_id: str = found[0][0]
    return tenant_id
