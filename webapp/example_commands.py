"""`frugaldesk examples`: labelled examples kept in the database, to train on."""

from contextlib import closing
from typing import TextIO

import click

from webapp.operating import TenantSlug, open_database, tenant_named
from webapp.settings import Settings


@click.group("examples")
def examples() -> None:
    """Labelled examples of a tenant, kept where an erasure reaches them."""


@examples.command("import")
@TenantSlug
@click.option(
    "--examples",
    "source",
    type=click.File(encoding="utf-8-sig"),
    required=True,
    help="JSONL; - is stdin.",
)
def import_examples(tenant: str, source: TextIO) -> None:
    """Store the examples of a file; nothing is written if a line is bad.

    Those that are stored already are left out, and so are those of customers who were erased, save
    what is of a later moment.
    """
    from webapp import training_rows

    settings = Settings.from_env()
    with closing(open_database(settings)) as database, database.write() as session:
        done = training_rows.import_rows(
            session,
            tenant_named(session, tenant),
            source,
            source.name,
            settings.secret_key,
        )
    click.echo(
        f"{source.name}: {done.count} imported, {done.skipped_known} stored already, "
        f"{done.skipped_erased} of erased customers left out"
    )


@examples.command("list")
@TenantSlug
def list_examples(tenant: str) -> None:
    """Count the stored examples per segment and source."""
    from webapp import training_rows

    with closing(open_database()) as database, database.read() as session:
        found = training_rows.counts(session, tenant_named(session, tenant))
    for segment, source, count in found:
        click.echo(f"{segment or '-'}  {source}  {count}")
    if not found:
        click.echo("no examples are stored here; `frugaldesk examples import` stores a file's")
