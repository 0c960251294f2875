"""One batch at a time per process: what many threads ask for meanwhile is computed together.

Nobody waits for a batch to fill: whoever asks while none runs is computed at once, and whoever asks
while one runs is in the next. All batches run on one thread, because numeric libraries keep a team
of threads for every thread that calls them.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Row = TypeVar("Row")
Result = TypeVar("Result")

IDLE_SECONDS = 10.0
"""The thread ends when nobody has asked for so long; the next caller starts another."""


@dataclass
class _Job(Generic[Row, Result]):
    """What one caller asked for, and what came of it once it is `done`."""

    rows: Sequence[Row]
    done: threading.Event = field(default_factory=threading.Event)
    results: Sequence[Result] = ()
    error: BaseException | None = None


class Batcher(Generic[Row, Result]):
    """Runs a function over rows, those of several threads together, `most` rows at a time.

    The function returns one result per row, in order. Where it fails, every caller's rows are run
    again alone, so that an error reaches only the caller whose rows caused it.
    """

    def __init__(self, run: Callable[[Sequence[Row]], Sequence[Result]], *, most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: deque[_Job[Row, Result]] = deque()
        self._asked = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many callers wait for a batch to begin."""
        return len(self._waiting)

    def __call__(self, rows: Sequence[Row]) -> list[Result]:
        """Return one result per row, in order; raises what the function raises."""
        results: list[Result] = []
        for start in range(0, len(rows), self._most):
            results += self._one(rows[start : start + self._most])
        return results

    def _one(self, rows: Sequence[Row]) -> Sequence[Result]:
        job: _Job[Row, Result] = _Job(rows)
        with self._asked:
            self._waiting.append(job)
            if self._thread is None or not self._thread.is_alive():  # none yet, or idle
                self._thread = threading.Thread(target=self._serve, name="batches", daemon=True)
                self._thread.start()
            self._asked.notify()
        job.done.wait()
        if job.error is not None:
            raise job.error
        return job.results

    def _serve(self) -> None:
        while batch := self._taken():
            self._settle(batch)

    def _taken(self) -> list[_Job[Row, Result]]:
        """Return the jobs of the next batch; none where nobody asked for long."""
        with self._asked:
            if not self._asked.wait_for(lambda: self._waiting, IDLE_SECONDS):
                self._thread = None
                return []
            batch = [self._waiting.popleft()]
            rows = len(batch[0].rows)
            while self._waiting and rows + len(self._waiting[0].rows) <= self._most:
                batch.append(self._waiting.popleft())
                rows += len(batch[-1].rows)
        return batch

    def _settle(self, batch: Sequence[_Job[Row, Result]]) -> None:
        """Give each job its results or its error."""
        try:
            results = list(self._run([row for job in batch for row in job.rows]))
            if len(results) != sum(len(job.rows) for job in batch):
                raise RuntimeError(f"got {len(results)} results; expected one per row")
        except BaseException as exc:
            if len(batch) > 1:
                for job in batch:
                    self._settle([job])
                return
            batch[0].error = exc
        else:
            start = 0
            for job in batch:
                job.results = results[start : start + len(job.rows)]
                start += len(job.rows)
        for job in batch:
            job.done.set()
