"""Where a candidate adapter is trained: in this process, or on a Ray cluster; the same function."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoring.examples import Example
from scoring.registry import Manifest, Registry
from webapp.errors import NotReady

if TYPE_CHECKING:
    from scoring.encoder import Encoder
    from scoring.learning import Progress

Files = dict[str, bytes]
Stored = tuple[Manifest, Files]

POLL_S = 1.0


@dataclass(frozen=True)
class Task:
    """All that a training needs, so that it runs on any machine.

    `shared` is the adapter that a segment's starts from, with its files; `base` the encoder, as in
    `Settings.scorer_base`.
    """

    examples: tuple[Example, ...]
    segment: str
    shared: Stored | None
    base: str | None
    seed: int
    created: datetime


Trainer = Callable[[Task, "Progress"], Stored]


def train_here(task: Task, progress: "Progress") -> Stored:
    """Train in this process; what `progress` raises ends it and leaves nothing behind."""
    from scoring.training import train_candidate

    encoder = encoder_of(task.base)
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder))
        shared = registry.add(*task.shared) if task.shared else None
        trained = train_candidate(
            task.examples,
            task.segment,
            shared=shared,
            encoder=encoder,
            registry=registry,
            seed=task.seed,
            created=task.created,
            progress=progress,
        )
        return registry.read(trained.version, encoder.digest)


@lru_cache(maxsize=1)
def encoder_of(base: str | None) -> "Encoder":
    """Return the process's encoder, loaded once."""
    from scoring.encoder import load_encoder

    return load_encoder(base)


class OnRay:
    """Trains on the Ray cluster at an address: `host:6379`, `ray://host:10001`, or `auto`.

    Its nodes need this package installed, in the same version. Raises `NotReady` where ray or the
    cluster is not there.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as exc:
            raise NotReady(
                "RAY_ADDRESS is set, but ray is not installed; `pip install 'frugaldesk[ray]'`"
            ) from exc
        self._ray: Any = ray
        if ray.is_initialized():
            return
        try:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as exc:
            raise NotReady(
                f"no Ray cluster answers at {address!r}; start one with `ray start --head`, "
                "or correct RAY_ADDRESS"
            ) from exc

    def __call__(self, task: Task, progress: "Progress") -> Stored:
        """Train on some node of the cluster; what `progress` raises cancels it there too.

        What training raises there is raised here; `NotReady` where the node itself was lost.
        """
        progress.set_description("training on the Ray cluster")
        running = self._ray.remote(_train_silently).remote(task)
        try:
            while not self._ray.wait([running], timeout=POLL_S)[0]:
                progress.update(0)
        except BaseException:
            self._ray.cancel(running, force=True)
            raise
        return self._result(running)

    def _result(self, running: object) -> Stored:
        errors = self._ray.exceptions
        try:
            stored: Stored = self._ray.get(running)
        except errors.RayTaskError as exc:
            # Its own message is the traceback of another machine.
            raise exc.cause from exc
        except errors.RayError as exc:
            raise NotReady(
                f"the Ray cluster lost the training ({type(exc).__name__}); start the run again"
            ) from exc
        return stored


def trainer_for(ray_address: str | None) -> Trainer:
    """Return what trains: the cluster where an address is set, else this process."""
    return OnRay(ray_address) if ray_address else train_here


class _Silent:
    total: float | None = None

    def set_description(self, desc: str) -> None:
        """Say nothing."""

    def update(self, n: float) -> None:
        """Count nothing."""


def _train_silently(task: Task) -> Stored:
    return train_here(task, _Silent())
