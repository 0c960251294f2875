"""Alembic's entry: runs the revisions over the connection that `webapp.schema` hands in."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from webapp.db import Money, UtcTime
from webapp.models import Base
from webapp.schema import is_modelled


def _plain_type(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    # A revision must mean the same forever, so it names database types and not our classes.
    if kind == "type" and isinstance(item, UtcTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Money):
        return "sa.BigInteger()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=_plain_type,
    compare_type=True,
    include_name=is_modelled,
)
with context.begin_transaction():
    context.run_migrations()
