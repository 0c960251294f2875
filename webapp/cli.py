"""The `frugaldesk` command: thin; each command reads its files, calls one function, prints."""

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import click

from cascade.errors import CascadeError
from scoring.errors import BadExamples, ScoringError
from webapp import learning_commands, log_commands
from webapp.cache_commands import cache
from webapp.customer_commands import customers
from webapp.errors import WebappError
from webapp.example_commands import examples as examples_group
from webapp.feedback_commands import feedback_group
from webapp.operating import TenantSlug, open_database, tenant_named
from webapp.policy_commands import policies
from webapp.settings import Settings, scorer_base

ExamplesFile = click.option(
    "--examples",
    "source",
    type=click.File(encoding="utf-8-sig"),
    required=True,
    help="JSONL; - is stdin.",
)
AdaptersFolder = click.option(
    "--adapters", type=click.Path(file_okay=False, path_type=Path), required=True
)


class _Command(click.Group):
    """Turns the packages' errors into one line on stderr and exit status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ScoringError, CascadeError, WebappError) as exc:
            click.echo(f"frugaldesk: {exc}", err=True)
            sys.exit(2)
        except UnicodeDecodeError as exc:
            click.echo(f"frugaldesk: the file is not UTF-8 text: {exc}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            raise
        except OSError as exc:
            told = exc.strerror or str(exc)
            where = "" if exc.filename is None else f"{exc.filename}: "
            click.echo(f"frugaldesk: {where}{told}", err=True)
            sys.exit(2)


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Scored answers for support agents, cheapest model first."""


# The scorer, on files alone


@main.command()
@ExamplesFile
@AdaptersFolder
@click.option("--segment", help="Train this segment's adapter only, from the shared one.")
@click.option("--seed", default=0, show_default=True)
def train(source: TextIO, adapters: Path, segment: str | None, seed: int) -> None:
    """Train an adapter for each segment with enough examples, and the shared one."""
    from scoring.encoder import load_encoder
    from scoring.examples import read_examples
    from scoring.registry import Registry
    from scoring.training import falling_back
    from scoring.training import train as train_adapters

    examples = read_examples(source, name=source.name)
    trained = train_adapters(
        examples,
        encoder=load_encoder(scorer_base()),
        registry=Registry(adapters),
        segment=segment,
        seed=seed,
        created=datetime.now(UTC),
    )
    for adapter in trained:
        figures = " ".join(f"{name} {_figure(value)}" for name, value in adapter.metrics.items())
        click.echo(
            f"{adapter.version}  {adapter.examples} examples of {adapter.customers} customers in "
            f"{source.name}, seed {seed}, on customers kept out: {figures}  {adapter.seconds:.1f} s"
        )
    if segment is None:
        for name, count in falling_back(examples).items():
            click.echo(f"{name}: {count} examples, too few; falls back to shared")


@main.command()
@ExamplesFile
@AdaptersFolder
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def score(source: TextIO, adapters: Path, out: Path) -> None:
    """Write each line of the examples again, with `score` and `adapter` added."""
    from scoring.examples import read_rows, write_rows

    rows = list(read_rows(source, name=source.name, labelled=False))
    if not rows:
        raise BadExamples(f"{source.name}: no examples; expected at least one JSON object a line")
    scorer, champions = _scorer(adapters)
    scores = scorer.score([example.pair for _, example in rows], champions)
    write_rows(
        out,
        (
            {**row, "score": each.value, "adapter": each.adapter}
            for (row, _), each in zip(rows, scores, strict=True)
        ),
    )
    click.echo(f"{out}: {len(rows)} rows scored")


@main.command()
@ExamplesFile
@AdaptersFolder
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap and the shuffling.")
@click.option("--json", "as_json", is_flag=True)
def evaluate(source: TextIO, adapters: Path, seed: int, as_json: bool) -> None:
    """Measure AUC, accuracy, Brier score and ECE, with the controls that hide the customer."""
    from scoring.evaluation import evaluate as measure
    from scoring.examples import read_examples

    examples = read_examples(source, name=source.name)
    scorer, champions = _scorer(adapters)
    report = measure(examples, scorer=scorer, champions=champions, seed=seed, name=source.name)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


@main.command("import-tickets")
@click.option(
    "--tickets",
    "source",
    type=click.File(encoding="utf-8-sig"),
    required=True,
    help="CSV or JSONL; - is stdin.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option(
    "--format", "kind", type=click.Choice(["csv", "jsonl"]), help="Where no suffix says it."
)
def import_tickets(source: TextIO, out: Path, kind: Literal["csv", "jsonl"] | None) -> None:
    """Turn past tickets with their replies into labelled examples, to train on."""
    from scoring.encoder import load_encoder
    from scoring.examples import as_row, write_rows
    from scoring.mining import mine
    from scoring.tickets import format_of, read_tickets

    if not out.parent.is_dir():
        raise BadExamples(f"{out.parent} is no folder; make it, or choose another --out")
    tickets = read_tickets(source, name=source.name, kind=kind or format_of(source.name))
    mined = mine(tickets, load_encoder(scorer_base()))
    write_rows(out, map(as_row, mined.examples))
    click.echo(
        f"{out}: {len(tickets)} tickets of {mined.customers} customers, {mined.positives} "
        f"positives, {mined.negatives} negatives; tickets without a differing reply: "
        f"{mined.without_negative}"
    )
    if not mined.negatives:
        click.echo(
            "No negatives: no two customers got opposite replies to questions alike. Training "
            "needs both labels; add more tickets, or label examples by hand."
        )


# The cascade, on outcome logs

for command in log_commands.COMMANDS:
    main.add_command(command)


# The service


@main.group()
def db() -> None:
    """The database's schema."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the database to the newest schema, from whatever it has."""
    from webapp import schema

    database = open_database(any_schema=True)
    schema.upgrade(database, revision)
    click.echo(f"the database is at {schema.current(database)}")


@db.command()
@click.argument("revision", default="base")
def downgrade(revision: str) -> None:
    """Take the schema back; rows of tables that go are lost."""
    from webapp import schema

    database = open_database(any_schema=True)
    schema.downgrade(database, revision)
    click.echo(f"the database is at {schema.current(database) or 'nothing'}")


@main.command()
def serve() -> None:
    """Serve API and pages on HOST:PORT."""
    from webapp.serving import serve as run

    run(Settings.from_env())


@main.command()
@click.option("--prepare-only", is_flag=True, help="Stop before serving.")
def demo(prepare_only: bool) -> None:
    """Set up the synthetic demo shop (once) and serve it."""
    from webapp.demo.starting import prepare
    from webapp.serving import serve as run
    from webapp.serving import worker_beside

    settings = Settings.from_env()
    prepare(settings)
    if not prepare_only:
        with worker_beside():
            run(settings)


# What an operator sets up


@main.group()
def tenants() -> None:
    """Support organisations."""


@tenants.command("create")
@click.argument("slug")
@click.argument("name")
def create_tenant(slug: str, name: str) -> None:
    """Add a tenant."""
    from sqlalchemy.exc import IntegrityError

    from webapp.models import Tenant

    try:
        with open_database().write() as session:
            session.add(Tenant(slug=slug, name=name))
    except IntegrityError:
        raise WebappError(f"there is a tenant {slug!r} already; choose another slug") from None
    click.echo(f"tenant {slug} added; restart the service to serve it")


@main.group()
def users() -> None:
    """People who sign in."""


@users.command("put")
@TenantSlug
@click.argument("email")
@click.option("--name", default="")
@click.option("--role", type=click.Choice(["agent", "admin"]), default="agent", show_default=True)
@click.password_option(help="Asked for where it is not given.")
def put_user(tenant: str, email: str, name: str, role: str, password: str) -> None:
    """Add a person, or give them this name, role and password."""
    from webapp import access

    with open_database().write() as session:
        access.put_user(
            session,
            tenant_named(session, tenant),
            email=email,
            name=name or email,
            role=role,
            password=password,
        )
    click.echo(f"{email} can sign in as {role}")


@users.command("end")
@TenantSlug
@click.argument("email")
def end_user(tenant: str, email: str) -> None:
    """Sign a person out everywhere and let them in no more; `users put` lets them in again."""
    from webapp import access

    with open_database().write() as session:
        access.end_user(session, tenant_named(session, tenant), email)
    click.echo(f"{email} can no longer sign in")


@main.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@TenantSlug
@click.argument("name")
def create_key(tenant: str, name: str) -> None:
    """Make an API key and print it, this once."""
    from webapp import access

    with open_database().write() as session:
        key = access.create_api_key(session, tenant_named(session, tenant), name)
    click.echo(key)


@keys.command("revoke")
@TenantSlug
@click.argument("name")
def revoke_key(tenant: str, name: str) -> None:
    """End every live key of that name."""
    from webapp import access

    with open_database().write() as session:
        count = access.revoke_api_keys(session, tenant_named(session, tenant), name)
    click.echo(f"{count} revoked")


@main.group()
def adapters() -> None:
    """Trained adapters of a tenant."""


@adapters.command("publish")
@TenantSlug
@AdaptersFolder
@click.option(
    "--examples",
    "sources",
    type=click.File(encoding="utf-8-sig"),
    multiple=True,
    help="A file they were trained on, so that it is known whom they learnt from; repeatable.",
)
def publish_adapters(tenant: str, adapters: Path, sources: tuple[TextIO, ...]) -> None:
    """Copy a folder's champions to the service's own and make them live.

    Without --examples every erasure marks them: they may have learnt from anybody.
    """
    from scoring.encoder import load_encoder
    from scoring.examples import read_examples
    from webapp.adapters import check_examples, import_folder, record_customers

    settings = Settings.from_env()
    files = {source.name: read_examples(source, name=source.name) for source in sources}
    if files:
        check_examples(adapters, files)
    encoder = load_encoder(settings.scorer_base)
    with closing(open_database(settings)) as database, database.write() as session:
        tenant_id = tenant_named(session, tenant)
        versions = import_folder(
            session,
            tenant_id,
            adapters,
            settings.adapters,
            base_digest=encoder.digest,
            actor="cli",
        )
        for examples in files.values():
            record_customers(session, tenant_id, versions, examples, secret=settings.secret_key)
    click.echo("live: " + ", ".join(versions))


main.add_command(policies)
main.add_command(cache)
main.add_command(feedback_group)
main.add_command(customers)
main.add_command(examples_group)


for command in (
    learning_commands.list_adapters,
    learning_commands.promote,
    learning_commands.roll_back,
    learning_commands.challenge,
):
    adapters.add_command(command)
main.add_command(learning_commands.retrain)
main.add_command(learning_commands.worker)


@main.group("knowledge")
def knowledge_group() -> None:
    """Macros and policy passages of a tenant."""


@knowledge_group.command("import")
@TenantSlug
@click.option(
    "--macros", type=click.File(encoding="utf-8-sig"), help="JSONL: id, title, questions, body."
)
@click.option("--passages", type=click.File(encoding="utf-8-sig"), help="JSONL: id, title, body.")
def import_knowledge(tenant: str, macros: TextIO | None, passages: TextIO | None) -> None:
    """Add or replace macros and passages; nothing is written if a line is bad."""
    from webapp import knowledge

    with open_database().write() as session:
        tenant_id = tenant_named(session, tenant)
        count = knowledge.import_lines(session, tenant_id, macros=macros, passages=passages)
    click.echo(f"{count} imported")


def _scorer(folder: Path) -> Any:
    """Return a scorer with the folder's champions loaded, and the champions."""
    from scoring.encoder import load_encoder
    from scoring.registry import Registry
    from scoring.scorer import with_champions

    return with_champions(load_encoder(scorer_base()), Registry(folder))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
