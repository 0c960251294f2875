"""Training on a Ray cluster: here one of a single node, started for these tests."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.returns import Trained
from tests.webapp.learning_shop import LearningShop, open_learning_shop
from webapp import models, policies, retraining, runs
from webapp.db import Database
from webapp.desk import Desk
from webapp.trainers import OnRay, Task, train_here

ray = pytest.importorskip("ray", reason="ray is not installed: pip install '.[ray]'")


class Silent:
    """Progress that nobody looks at."""

    total: float | None = None

    def set_description(self, desc: str) -> None:
        """Say nothing."""

    def update(self, n: float) -> None:
        """Count nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster of one node, which ends with the tests."""
    port = free_port()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *(f"--port={port}", "--num-cpus=1", "--include-dashboard=false"),
            *("--disable-usage-stats", "--object-store-memory=100000000"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as head:
        try:
            _wait_for(port, head)
            yield f"127.0.0.1:{port}"
        finally:
            ray.shutdown()
            head.terminate()


def _wait_for(port: int, head: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert head.poll() is None, "`ray start` ended"
            assert time.monotonic() < give_up, "the cluster did not come up"
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def on_ray(address: str) -> OnRay:
    """A trainer on that cluster."""
    return OnRay(address)


@pytest.fixture
def shop(tmp_path: Path, trained: Trained) -> Iterator[LearningShop]:
    """The learning shop on SQLite, with a policy."""
    database = Database(f"sqlite:///{tmp_path}/test.db")
    shop = open_learning_shop(database, tmp_path, trained)
    with database.write() as session:
        built_in = Desk(shop.settings, database).built_in_policy()
        policies.keep_built_in(session, [shop.tenant], built_in)
    yield shop
    database.close()


def request(shop: LearningShop) -> str:
    with shop.database.write() as session:
        return runs.request(session, shop.tenant, "gold", actor="test", reason="test").id


def found(shop: LearningShop, run_id: str) -> models.TrainingRun:
    with shop.database.read() as session:
        run = session.get_one(models.TrainingRun, run_id)
        assert run.adapter is None or run.adapter.version
        return run


def test_a_run_on_the_cluster_makes_what_one_here_makes(shop: LearningShop, on_ray: OnRay) -> None:
    made = []
    for trainer in (on_ray, train_here):
        run_id = request(shop)
        retraining.carry_out(shop.database, shop.settings, run_id, trainer=trainer)
        run = found(shop, run_id)
        assert run.status == "done", run.log
        assert run.adapter is not None
        made.append(run.adapter.version)
    assert made[0] == made[1]


def test_what_training_raises_there_ends_the_run_in_its_own_words(
    shop: LearningShop, on_ray: OnRay
) -> None:
    def one_class_only(task: Task, progress: object) -> object:
        wrong = tuple(replace(each, label=1) for each in task.examples)
        return on_ray(replace(task, examples=wrong), progress)  # type: ignore[arg-type]

    run_id = request(shop)
    retraining.carry_out(shop.database, shop.settings, run_id, trainer=one_class_only)  # type: ignore[arg-type]
    run = found(shop, run_id)
    assert run.status == "failed"
    assert (run.error or "").endswith("labels are 1; expected both 0 and 1")
    assert len((run.error or "").splitlines()) == 1


def test_a_run_on_the_cluster_is_cancelled(shop: LearningShop, on_ray: OnRay) -> None:
    run_id = request(shop)
    at_work = threading.Thread(
        target=retraining.carry_out,
        args=(shop.database, shop.settings, run_id),
        kwargs={"trainer": on_ray},
    )
    at_work.start()
    while found(shop, run_id).stage != "training on the Ray cluster":
        at_work.join(0.05)
        assert at_work.is_alive(), found(shop, run_id).log
    with shop.database.write() as session:
        runs.cancel(session, session.get_one(models.TrainingRun, run_id), actor="test")
    at_work.join(30)
    assert not at_work.is_alive()
    assert (found(shop, run_id).status, found(shop, run_id).adapter_id) == ("cancelled", None)
