"""What an operator's commands start from: the database, and a tenant by its slug."""

from typing import TYPE_CHECKING

import click

from webapp.errors import NotReady, WebappError
from webapp.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from webapp.db import Database

TenantSlug = click.option("--tenant", required=True, help="The tenant's slug.")


def open_database(settings: Settings | None = None, *, any_schema: bool = False) -> "Database":
    """Return the service's database; raises `NotReady` where it is not there or out of date."""
    from sqlalchemy.exc import OperationalError

    from webapp import schema
    from webapp.db import Database

    database = Database((settings or Settings.from_env()).database_url)
    try:
        is_current = schema.is_current(database)
    except OperationalError as exc:
        said = str(exc.orig).partition("\n")[0]
        raise NotReady(f"no database: {said}; see FRUGALDESK_DATABASE_URL") from exc
    if not is_current and not any_schema:
        raise NotReady("the database is not up to date; run `frugaldesk db upgrade`")
    return database


def tenant_named(session: "Session", slug: str) -> str:
    """Return the id of the tenant with this slug, or raise `WebappError`."""
    from sqlalchemy import select

    from webapp.models import Tenant

    found = session.scalar(select(Tenant.id).where(Tenant.slug == slug))
    if found is None:
        raise WebappError(f"no tenant {slug!r}; add it with `frugaldesk tenants create`")
    return found
