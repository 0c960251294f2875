"""A stand-in for a model in load tests and benchmarks, and never called anything else."""

import time
from collections.abc import Callable

from cascade.deadline import Deadline
from cascade.errors import DeadlineExceeded
from cascade.pricing import Usage
from cascade.providers import DraftRequest, Drafts


class Simulated:
    """A provider whose answer, usage and latency (seconds) are given.

    >>> Simulated("simulated-small", lambda request: "Yes.", usage=Usage(100, 5), latency_s=0.2)
    """

    source = "simulated"
    attempts = 1

    def __init__(
        self,
        model: str,
        answer: Callable[[DraftRequest], str],
        *,
        usage: Usage,
        latency_s: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model = model
        self._answer = answer
        self._usage = usage
        self._latency_s = latency_s
        self._sleep = sleep

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        """The given answer after the given latency; `DeadlineExceeded` if that is too long."""
        left = deadline.left()
        self._sleep(min(self._latency_s, left))
        if self._latency_s > left:
            raise DeadlineExceeded("the ticket's time ran out while waiting", lost_calls=1)
        return Drafts((self._answer(request),), self._usage)

    def largest_cost(self, request: DraftRequest) -> Usage | None:
        """The given usage."""
        return self._usage
