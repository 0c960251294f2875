"""Background jobs: huey carries ids, the rows are the truth.

A job that is lost on the way costs a minute: every minute a worker looks for runs that wait or
whose worker is gone. `frugaldesk worker` carries jobs out, on SQLite from a file beside the
database, on PostgreSQL from tables of its own in it.
"""

import logging
from functools import lru_cache
from typing import Any

from huey import Huey, PostgresHuey, SqliteHuey, crontab
from sqlalchemy import make_url

from webapp.db import Database
from webapp.settings import Settings

log = logging.getLogger(__name__)

NAME = "frugaldesk"


class Jobs:
    """The queue of one service, and what its jobs do."""

    def __init__(self, settings: Settings, *, immediate: bool = False) -> None:
        self._settings = settings
        self.huey = _queue(settings, immediate=immediate)
        self._train = self.huey.task(name="train")(self._carry_out)
        self.huey.periodic_task(crontab(), name="look_after_runs")(self.look_after_runs)

    def train(self, run_id: str) -> None:
        """Let a worker carry out this run; called after the run is committed."""
        self._train(run_id)

    def look_after_runs(self) -> None:
        """Queue what waits or was left by a dead worker, and begin runs that the rules ask for."""
        from webapp import retraining_rules, runs

        database = _database(self._settings.database_url)
        with database.write() as session:
            waiting = runs.take_from_the_dead(session)
        with database.write() as session:
            waiting += retraining_rules.begin_due(session, self._settings)
        for run_id in waiting:
            self.train(run_id)

    def work(self, *, processes: int = 1) -> None:
        """Carry out jobs until stopped, in so many processes; a training takes a core or two."""
        consumer = self.huey.create_consumer(
            workers=processes,
            worker_type="process",
            check_worker_health=True,
            health_check_interval=5,
            max_delay=1.0,
            shutdown_timeout=5,
        )
        consumer.run()

    def close(self) -> None:
        """Close this thread's connection to the queue."""
        self.huey.storage.close()

    def _carry_out(self, run_id: str) -> None:
        from webapp import retraining

        retraining.carry_out(_database(self._settings.database_url), self._settings, run_id)


def _queue(settings: Settings, *, immediate: bool) -> Huey:
    url = make_url(settings.database_url)
    options: dict[str, Any] = {"results": False, "immediate": immediate}
    if url.get_backend_name() == "postgresql":
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        return PostgresHuey(NAME, dsn=dsn, **options)
    settings.var.mkdir(parents=True, exist_ok=True)
    return SqliteHuey(NAME, filename=str(settings.var / "jobs.db"), **options)


@lru_cache(maxsize=1)
def _database(url: str) -> Database:
    """Return the process's database; a worker process opens its own."""
    return Database(url)
