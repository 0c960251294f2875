"""`frugaldesk feedback`: take an actor's verdicts out of what is learnt, and put them back."""

from contextlib import closing
from datetime import UTC, datetime

import click

from webapp.errors import Refused
from webapp.operating import TenantSlug, open_database, tenant_named

ACTOR = "cli"

Actor = click.option("--actor", required=True, help="user:EMAIL or key:NAME.")
Since = click.option("--since", help="Only verdicts from this time on, ISO 8601; UTC if no zone.")


@click.group("feedback")
def feedback_group() -> None:
    """Verdicts that people gave."""


@feedback_group.command("withdraw")
@TenantSlug
@Actor
@Since
def withdraw(tenant: str, actor: str, since: str | None) -> None:
    """Let the verdicts of a person or key that was ended teach nothing any more."""
    from webapp.feedback import withdraw as withdraw_all

    with closing(open_database()) as database, database.write() as session:
        count = withdraw_all(
            session,
            tenant_named(session, tenant),
            actor_withdrawn=actor,
            by=ACTOR,
            since=_moment(since),
        )
    click.echo(f"{count} withdrawn")


@feedback_group.command("restore")
@TenantSlug
@Actor
@Since
def restore(tenant: str, actor: str, since: str | None) -> None:
    """Let withdrawn verdicts of a person or key count again."""
    from webapp.feedback import restore as restore_all

    with closing(open_database()) as database, database.write() as session:
        count = restore_all(
            session,
            tenant_named(session, tenant),
            actor_restored=actor,
            by=ACTOR,
            since=_moment(since),
        )
    click.echo(f"{count} restored")


def _moment(given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise Refused(f"--since is {given!r}; expected a time such as 2026-05-01T09:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
