"""`frugaldesk customers`: erase one, or give all that is held on one."""

import json
from contextlib import closing
from pathlib import Path

import click

from webapp.operating import TenantSlug, open_database, tenant_named
from webapp.settings import Settings

ACTOR = "cli"


@click.group("customers")
def customers() -> None:
    """What is held on a customer: erase it, or export it."""


@customers.command("erase")
@TenantSlug
@click.argument("external_id")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
def erase_customer(tenant: str, external_id: str, yes: bool) -> None:
    """Delete all that is held on the customer EXTERNAL_ID; it cannot be taken back.

    Profile, history, tickets, suggestions with all that hangs on them, kept answers, training rows
    and regression cases go. Adapters that learnt from the customer are marked.
    """
    from webapp.erasure import erase

    settings = Settings.from_env()
    with closing(open_database(settings)) as database:
        with database.read() as session:
            tenant_id = tenant_named(session, tenant)
        if not yes:
            click.confirm(f"Delete all that is held on the customer {external_id}?", abort=True)
        with database.write() as session:
            erased = erase(session, tenant_id, external_id, actor=ACTOR, secret=settings.secret_key)
    for name, count in erased.deleted.items():
        click.echo(f"{count:6}  {name.replace('_', ' ')}")
    if erased.marked:
        click.echo(f"to be trained again: {', '.join(erased.marked)}")


@customers.command("export")
@TenantSlug
@click.argument("external_id")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that only its owner may read; without it, standard output.",
)
def export_customer(tenant: str, external_id: str, out: Path | None) -> None:
    """Give all that is held on the customer EXTERNAL_ID as JSON."""
    from webapp.customer_export import export

    with closing(open_database()) as database, database.read() as session:
        found = export(session, tenant_named(session, tenant), external_id)
    text = json.dumps(found, indent=2)
    if out is None:
        click.echo(text)
        return
    _write(out, text + "\n")
    click.echo(f"{out} written")


def _write(out: Path, text: str) -> None:
    """Write what only the owner may read; the file appears whole or not at all."""
    unfinished = out.with_name(out.name + ".partial")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(out)
    except OSError as exc:
        raise click.FileError(str(out), exc.strerror) from exc
