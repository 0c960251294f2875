"""`frugaldesk worker`, as a process: it carries runs out, and may be killed at any moment."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from sqlalchemy import select

from scoring.encoder import Encoder
from scoring.registry import Registry
from tests.returns import Trained
from tests.webapp.learning_shop import LearningShop, open_learning_shop
from webapp import adapters, models, policies, runs
from webapp.db import Database
from webapp.desk import Desk
from webapp.jobs import Jobs
from webapp.models import utc_now

LATER = runs.LOST_AFTER + timedelta(seconds=1)
WITHIN_S = 120
LOST_THRICE = f"its worker was lost {runs.MOST_ATTEMPTS} times; start it again"

SLOW_DISK = """
import os, time
quick = os.fsync
os.fsync = lambda file: (time.sleep(0.15), quick(file))
from webapp.cli import main
main()
"""
"""The command, where every file that is written takes a moment."""


class Worker:
    """A running `frugaldesk worker`, with every process it makes in a group of its own."""

    def __init__(self, shop: LearningShop, *, slow_disk: bool = False) -> None:
        program = ["-c", SLOW_DISK] if slow_disk else ["-m", "webapp.cli"]
        scratch = shop.settings.var / "scratch"
        scratch.mkdir(exist_ok=True)
        with (shop.settings.var / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "worker"],
                env={
                    **os.environ,
                    "FRUGALDESK_VAR": str(shop.settings.var),
                    "FRUGALDESK_DATABASE_URL": shop.settings.database_url,
                    "FRUGALDESK_SECRET_KEY": shop.settings.secret_key,
                    "TMPDIR": str(scratch),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def alive(self) -> list[int]:
        """The ids of its processes that live, the largest first: that is the one that trains."""
        return sorted(_living(self.process.pid), key=_pages, reverse=True)

    def kill(self) -> None:
        """Kill all its processes in one moment."""
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)


@contextmanager
def working(shop: LearningShop, *, slow_disk: bool = False) -> Iterator[Worker]:
    """A worker for as long as the block lasts."""
    worker = Worker(shop, slow_disk=slow_disk)
    try:
        yield worker
    finally:
        worker.kill()


def _living(group: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z" and int(pgrp) == group:
            yield int(path.parent.name)


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def until(holds: Callable[[], bool], *, within_s: float = WITHIN_S) -> None:
    """Wait until something holds, and fail where it does not in time."""
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, "what was waited for did not come"
        time.sleep(0.01)


def ready_shop(database: Database, var: Path, trained: Trained) -> LearningShop:
    """The learning shop after the service was started once: it has a policy."""
    shop = open_learning_shop(database, var, trained)
    with database.write() as session:
        built_in = Desk(shop.settings, database).built_in_policy()
        policies.keep_built_in(session, [shop.tenant], built_in)
    return shop


def found(shop: LearningShop, run_id: str) -> models.TrainingRun:
    with shop.database.read() as session:
        run = session.get_one(models.TrainingRun, run_id)
        assert run.adapter is None or run.adapter.version
        return run


def version_of(shop: LearningShop, run_id: str) -> str:
    run = found(shop, run_id)
    assert run.status == "done", (run.status, run.log)
    assert run.adapter is not None
    return run.adapter.version


def is_over(shop: LearningShop, run_id: str) -> bool:
    return found(shop, run_id).status not in runs.ACTIVE


def until_running(shop: LearningShop, run_id: str) -> None:
    until(lambda: found(shop, run_id).status == "running")


def until_over(shop: LearningShop, run_id: str) -> None:
    until(lambda: is_over(shop, run_id))


def request(shop: LearningShop, segment: str = "gold") -> str:
    with shop.database.write() as session:
        run = runs.request(session, shop.tenant, segment, actor="test", reason="test")
        run_id = run.id
    Jobs(shop.settings).train(run_id)
    return run_id


def half_written(shop: LearningShop) -> list[Path]:
    return list(shop.settings.adapters.glob(".partial-*"))


def until_writing(shop: LearningShop, count: int) -> None:
    until(lambda: len(half_written(shop)) == count)


def bury(shop: LearningShop) -> None:
    """Do what a worker does once the heartbeat of a killed one is old."""
    with shop.database.write() as session:
        runs.take_from_the_dead(session, now=utc_now() + LATER)


def check_nothing_is_half_there(shop: LearningShop, encoder: Encoder) -> None:
    """Adapters are whole, the champions are those of the beginning, rows have what they name."""
    registry = Registry(shop.settings.adapters)
    whole = {
        registry.check(unquote(folder.name), encoder.digest).version
        for folder in shop.settings.adapters.glob("*@*")
    }
    with shop.database.read() as session:
        assert (
            adapters.champions(session, shop.tenant)
            == Registry(shop.settings.var / "trained").champions()
        )
        stored = {row.id: row.version for row in session.scalars(select(models.Adapter))}
        judged = list(session.scalars(select(models.Evaluation.adapter_id)))
        ended = session.scalars(select(models.TrainingRun)).all()
    assert set(stored.values()) <= whole
    made = [run.adapter_id for run in ended if run.status == "done"]
    assert sorted(judged) == sorted(each for each in made if each)
    assert all((run.status == "done") == (run.adapter_id is not None) for run in ended)


@dataclass(frozen=True)
class Undisturbed:
    """What a run made that nobody disturbed, and the seconds it took once it was claimed."""

    version: str
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, trained: Trained, encoder: Encoder
) -> Undisturbed:
    """A worker carries a run out; progress and log are seen while it runs."""
    var = tmp_path_factory.mktemp("undisturbed")
    database = Database(f"sqlite:///{var}/test.db")
    shop = ready_shop(database, var, trained)
    run_id = request(shop)
    seen: dict[str, tuple[int, int]] = {}
    with working(shop):
        until_running(shop, run_id)
        began = time.monotonic()
        while not is_over(shop, run_id):
            run = found(shop, run_id)
            seen[run.stage] = (run.done, len(run.log))
            time.sleep(0.05)
        seconds = time.monotonic() - began
    assert len(seen) > 3
    assert max(done for done, _ in seen.values()) > 0
    lines = [count for _, count in seen.values()]
    assert lines == sorted(lines)
    assert lines[0] < lines[-1]
    check_nothing_is_half_there(shop, encoder)
    made = version_of(shop, run_id)
    database.close()
    return Undisturbed(made, seconds)


@pytest.fixture
def shop(tmp_path: Path, trained: Trained) -> Iterator[LearningShop]:
    """The learning shop on SQLite."""
    database = Database(f"sqlite:///{tmp_path}/test.db")
    yield ready_shop(database, tmp_path, trained)
    database.close()


def test_a_run_survives_kills_at_any_moment(
    shop: LearningShop, encoder: Encoder, undisturbed: Undisturbed
) -> None:
    chance, kills = random.Random(6), 6
    run_id, landed = request(shop), 0
    for number in range(kills):
        with working(shop) as worker:
            until_running(shop, run_id)
            time.sleep(0.8 * (number + chance.random()) / kills * undisturbed.seconds)
            worker.kill()
        check_nothing_is_half_there(shop, encoder)
        bury(shop)
        run = found(shop, run_id)
        if run.status == "done":
            break
        landed += 1
        if run.status == "failed":
            assert run.error == LOST_THRICE
            run_id = request(shop)
        assert found(shop, run_id).status == "queued"
    assert landed >= kills / 2
    with working(shop):
        until_over(shop, run_id)
    assert version_of(shop, run_id) == undisturbed.version
    check_nothing_is_half_there(shop, encoder)


def test_one_killed_while_it_writes_leaves_no_half_adapter(
    shop: LearningShop, encoder: Encoder, undisturbed: Undisturbed
) -> None:
    chance, run_id = random.Random(7), request(shop)
    with working(shop, slow_disk=True) as worker:
        for kills in (1, 2):
            until_writing(shop, kills)
            time.sleep(chance.random() * 0.6)
            os.kill(worker.alive()[0], signal.SIGKILL)
            assert len(half_written(shop)) == kills
            check_nothing_is_half_there(shop, encoder)
            bury(shop)
            assert found(shop, run_id).status == "queued"
            # Its parent lives, and puts another process in its place.
            Jobs(shop.settings).train(run_id)
        until_over(shop, run_id)
    assert version_of(shop, run_id) == undisturbed.version
    check_nothing_is_half_there(shop, encoder)
    Jobs(shop.settings).look_after_runs()
    assert len(half_written(shop)) == kills
    for folder in half_written(shop):
        os.utime(folder, (0, 0))
    Jobs(shop.settings).look_after_runs()
    assert half_written(shop) == []


def test_two_workers_carry_out_two_runs_once_each(shop: LearningShop, encoder: Encoder) -> None:
    asked = [request(shop, segment) for segment in ("gold", "guest")]
    for run_id in (*asked, *asked):
        Jobs(shop.settings).train(run_id)
    with working(shop), working(shop):
        until(lambda: all(found(shop, run_id).status == "running" for run_id in asked))
        until(lambda: all(is_over(shop, run_id) for run_id in asked))
    for run_id in asked:
        assert version_of(shop, run_id)
        assert sum("begins" in line for line in found(shop, run_id).log) == 1
    check_nothing_is_half_there(shop, encoder)


def test_a_running_run_is_cancelled(shop: LearningShop, encoder: Encoder) -> None:
    run_id = request(shop)
    with working(shop):
        until(lambda: found(shop, run_id).done > 0)
        with shop.database.write() as session:
            runs.cancel(session, session.get_one(models.TrainingRun, run_id), actor="test")
        until(lambda: is_over(shop, run_id), within_s=20)
    run = found(shop, run_id)
    assert (run.status, run.adapter_id, run.error) == ("cancelled", None, None)
    with shop.database.read() as session:
        versions = set(session.scalars(select(models.Adapter.version)))
        assert versions == set(adapters.champions(session, shop.tenant).values())
    check_nothing_is_half_there(shop, encoder)


def test_a_stopped_worker_ends_at_once_and_another_takes_its_run_up(
    empty_database: Database, tmp_path: Path, trained: Trained, undisturbed: Undisturbed
) -> None:
    shop = ready_shop(empty_database, tmp_path, trained)
    run_id = request(shop)
    with working(shop) as worker:
        until_running(shop, run_id)
        worker.process.terminate()
        assert worker.process.wait(timeout=5) == 0
        assert worker.alive() == []
    assert found(shop, run_id).status == "running"
    bury(shop)
    with working(shop):
        until_over(shop, run_id)
    assert version_of(shop, run_id) == undisturbed.version
    assert "the worker was lost; the run begins again" in "\n".join(found(shop, run_id).log)


def test_processes_do_not_outlive_a_killed_worker(shop: LearningShop) -> None:
    with working(shop) as worker:
        until(lambda: len(worker.alive()) == 3)
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait(timeout=30)
        until(lambda: worker.alive() == [], within_s=10)
