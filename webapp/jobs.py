"""Background jobs: huey carries ids, the rows are the truth.

A job that is lost on the way costs a minute: every minute a worker looks for runs that wait or
whose worker is gone. `frugaldesk worker` carries jobs out, on SQLite from a file beside the
database, on PostgreSQL from tables of its own in it.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any

from huey import Huey, PostgresHuey, SqliteHuey, crontab
from huey.consumer import Consumer, ProcessEnvironment
from sqlalchemy import make_url

from scoring.registry import Registry
from webapp.db import Database
from webapp.errors import places
from webapp.models import utc_now
from webapp.settings import Settings

log = logging.getLogger(__name__)

NAME = "frugaldesk"
WRITTEN_WITHIN = timedelta(hours=1)
"""A half-written adapter that is older than this has lost its writer."""


class Jobs:
    """The queue of one service, and what its jobs do; it is opened when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._cores: int | None = None

    def train(self, run_id: str) -> None:
        """Let a worker carry out this run; called after the run is committed."""
        try:
            # Closed again each time: a service asks for a run now and then, from any thread.
            with self._turn:
                huey, train = self._opened
                with closing(huey.storage):
                    train(run_id)
        except Exception as exc:
            log.warning("run %s waits until a worker looks for it\n%s", run_id, places(exc))

    def look_after_runs(self) -> None:
        """Queue what waits or was left by a dead worker, and begin runs that the rules ask for."""
        from webapp import retraining_rules, runs

        Registry(self._settings.adapters).tidy(before=utc_now() - WRITTEN_WITHIN)
        database = _database(self._settings.database_url)
        with database.write() as session:
            waiting = runs.take_from_the_dead(session)
        with database.write() as session:
            waiting += retraining_rules.begin_due(session, self._settings)
        for run_id in waiting:
            self.train(run_id)

    def work(self, *, processes: int = 1) -> None:
        """Carry out jobs until stopped, in so many processes, which share half of the cores."""
        huey, _ = self._opened
        self._cores = max(1, (os.cpu_count() or 1) // 2 // processes)
        _Workers(
            huey,
            workers=processes,
            worker_type="process",
            check_worker_health=True,
            health_check_interval=5,
            max_delay=1.0,
            shutdown_timeout=5,
        ).run()

    @cached_property
    def _opened(self) -> tuple[Huey, Callable[[str], object]]:
        """The queue, which knows its tasks, and what puts a training into it."""
        huey = _queue(self._settings)
        huey.periodic_task(crontab(), name="look_after_runs")(self.look_after_runs)
        return huey, huey.task(name="train")(self._carry_out)

    def _carry_out(self, run_id: str) -> None:
        import torch

        from webapp import retraining

        if self._cores is not None:
            # The service has the others: threads that wait for each other are worse than none.
            torch.set_num_threads(self._cores)
        retraining.carry_out(_database(self._settings.database_url), self._settings, run_id)


class _Mortal(ProcessEnvironment):  # type: ignore[misc]
    """Processes that end at once when told to, and with their parent, however it ended."""

    def init_child(self, process: Any) -> None:
        """Prepare a process that was just forked."""
        super().init_child(process)
        # Not as an exception, which could arise in the middle of an import and pass for a failure:
        # a run bears a kill at any step, so it bears this one.
        signal.signal(self.interrupt, signal.SIG_DFL)
        threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()


class _Workers(Consumer):  # type: ignore[misc]
    def get_environment(self, worker_type: str) -> ProcessEnvironment:
        """Return how processes are made."""
        return _Mortal(self._graceful_sig, self._interrupt_sig)


def end_with(parent: int) -> None:
    """End this process soon after its parent has; a run bears that at any step."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _queue(settings: Settings) -> Huey:
    url = make_url(settings.database_url)
    if url.get_backend_name() == "postgresql":
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        huey = PostgresHuey(NAME, dsn=dsn, results=False, create_tables=False)
        # Processes that begin together would meet in `create table if not exists`.
        huey.storage.ddl = ["select pg_advisory_xact_lock(7061)", *huey.storage.ddl]
        huey.storage.initialize_schema()
        return huey
    settings.var.mkdir(parents=True, exist_ok=True)
    return SqliteHuey(NAME, filename=str(settings.var / "jobs.db"), results=False)


@lru_cache(maxsize=1)
def _database(url: str) -> Database:
    """Return the process's database; a worker process opens its own."""
    return Database(url)
