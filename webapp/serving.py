"""Serves the app with gunicorn: threads for waiting on models, processes for more cores."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gunicorn.app.base import BaseApplication

from webapp import create_app
from webapp.desk import read_prices
from webapp.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until stopped. Raises before anything is served where settings or prices are wrong."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    read_prices(settings)
    print(  # noqa: T201
        f"frugaldesk serves on http://{settings.host}:{settings.port}\n"
        f"  agents and admins  http://{settings.host}:{settings.port}/\n"
        f"  API reference      http://{settings.host}:{settings.port}/docs",
        flush=True,
    )
    _Server(settings).run()


@contextmanager
def worker_beside() -> Iterator[None]:
    """Run `frugaldesk worker` in a process of its own for as long as the block lasts."""
    command = [sys.executable, "-m", "webapp.cli", "worker", "--with-parent"]
    process = subprocess.Popen(command)  # noqa: S603
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"{self._settings.host}:{self._settings.port}",
            "worker_class": "gthread",
            "workers": self._settings.workers,
            "threads": self._settings.threads,
            "timeout": 120,
            "graceful_timeout": 10,
            # Longer than clients and proxies keep an idle connection (mostly 60 s): who closes it
            # first never loses a request to a connection that the other end is just closing.
            "keepalive": 75,
            # The default is a folder on disk, where a busy disk makes workers look dead.
            "worker_tmp_dir": _memory_folder(),
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if value is not None and name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        # Called in the worker, after the fork: torch's threads would not survive one.
        return create_app(self._settings)


def _memory_folder() -> str | None:
    from pathlib import Path

    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
