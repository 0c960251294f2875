"""The schema's version: upgrade, downgrade, and whether the database is up to date."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from webapp.db import Database

OTHERS = ("cache_vectors", "cache_nearest", "huey_")


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database to `revision`, from whatever it is at, in one transaction."""
    with database.write() as session:
        command.upgrade(_config(session.connection()), revision)


def downgrade(database: Database, revision: str = "base") -> None:
    """Take the database back to `revision`; tables made later are dropped with their rows."""
    with database.write() as session:
        command.downgrade(_config(session.connection()), revision)


def current(database: Database) -> str | None:
    """Return the revision the database is at, None where it is empty."""
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def is_current(database: Database) -> bool:
    """Return whether every migration of this version of the code has run."""
    return current(database) == ScriptDirectory.from_config(_config(None)).get_current_head()


def is_modelled(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether a table of the database should be one of the models', for Alembic's compare.

    The vectors of the cache are none: their type and index are each database's own. Nor are the
    tables that the queue of jobs makes for itself.
    """
    return not (kind == "table" and (name or "").startswith(OTHERS))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
