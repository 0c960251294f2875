"""`frugaldesk cache`: list, erase and pin the answers that are kept."""

from contextlib import closing

import click

from cascade.cache import Which
from webapp.audit import Caller
from webapp.errors import Unknown
from webapp.operating import TenantSlug, open_database, tenant_named

ACTOR = "cli"
QUESTION_SHOWN = 60


@click.group("cache")
def cache() -> None:
    """Answers given before, kept to be offered again."""


@cache.command("list")
@TenantSlug
@click.option("--search", default="", help="Only where question or answer has this text.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
def list_entries(tenant: str, search: str, limit: int) -> None:
    """List the entries, the last used first: id, scope, whom it was made for, uses, question."""
    from webapp.cache_report import entries

    with closing(open_database()) as database, database.read() as session:
        rows = entries(session, tenant_named(session, tenant), search=search, limit=limit)
    for row in rows:
        question = " ".join(row.question.split())[:QUESTION_SHOWN]
        made_for = f"{row.customer or '-'} ({row.segment or '-'})"
        pinned = "pinned" if row.pinned else ""
        click.echo(
            f"{row.name}  {row.scope:8}  {made_for}  {row.uses}  {pinned:6}  {row.knowledge}  "
            f"{question}"
        )
    if not rows:
        click.echo("nothing is kept here")


@cache.command("delete")
@TenantSlug
@click.option("--entry", help="One entry, by the id that `list` prints.")
@click.option("--customer", help="All that was made for this customer, whoever may see it.")
@click.option("--segment", help="All that was made for customers of this segment.")
@click.option("--version", help="All that was made under this version of the knowledge.")
def delete_entries(
    tenant: str,
    entry: str | None,
    customer: str | None,
    segment: str | None,
    version: str | None,
) -> None:
    """Erase entries, those that fit everything given."""
    from webapp.cache_stores import erase_recorded

    which = Which(entry=entry, customer=customer, segment=segment, knowledge=version)
    with closing(open_database()) as database, database.write() as session:
        count = erase_recorded(session, Caller(tenant_named(session, tenant), ACTOR), which)
    click.echo(f"{count} erased")


@cache.command("pin")
@TenantSlug
@click.argument("entry")
@click.option("--off", is_flag=True, help="Take the pin away.")
def pin_entry(tenant: str, entry: str, off: bool) -> None:
    """Keep ENTRY from expiring and from making room; it still goes with its knowledge."""
    from webapp.cache_stores import pin_recorded

    with closing(open_database()) as database:
        with database.read() as session:
            caller = Caller(tenant_named(session, tenant), ACTOR)
        if not pin_recorded(database, caller, entry, not off):
            raise Unknown(f"no entry {entry!r} here; `frugaldesk cache list` prints them")
    click.echo(f"{entry} is {'no longer ' if off else ''}pinned")
