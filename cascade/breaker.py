"""When to leave a failing provider alone.

Own code because `pybreaker` holds its lock while the call runs, so that one provider would serve
one ticket at a time, and because its clock cannot be injected.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cascade.errors import CircuitOpen, DeadlineExceeded, ProviderError


class Breaker:
    """A circuit breaker: opens after `failures` outages in a row, tries again after `reset_s`.

    While open it raises `CircuitOpen`. After `reset_s` seconds one call is let through; its
    success closes the breaker, its failure opens it for another `reset_s`.

    >>> with breaker.guard(outages=(ProviderUnavailable,)):
    ...     call()
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        reset_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._reset_s = reset_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._trial_at: float | None = None
        self._trial_running = False

    @property
    def is_open(self) -> bool:
        """Whether the provider counts as down; a trial may still be let through."""
        return self._trial_at is not None

    @contextmanager
    def guard(self, *, outages: tuple[type[ProviderError], ...]) -> Iterator[None]:
        """Run the block unless the breaker is open; only `outages` count as failures.

        `DeadlineExceeded` counts neither for the provider nor against it, unless it is among them.
        """
        self._enter()
        try:
            yield
        except outages:
            self._failed()
            raise
        except DeadlineExceeded:
            # So little time was left that it says nothing about the provider.
            self._interrupted()
            raise
        except ProviderError:
            # A refusal or an unreadable answer shows that the provider is up.
            self._worked()
            raise
        except BaseException:
            # An error of our own says nothing about the provider; the next call is the trial.
            self._interrupted()
            raise
        else:
            self._worked()

    def _enter(self) -> None:
        with self._lock:
            if self._trial_at is None:
                return
            wait = self._trial_at - self._clock()
            if wait > 0:
                raise CircuitOpen(f"too many failures in a row; tried again in {wait:.0f} s")
            if self._trial_running:
                raise CircuitOpen("too many failures in a row; one call is trying again now")
            self._trial_running = True

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._trial_running = False
            if self._trial_at is not None or self._failures >= self._limit:
                self._trial_at = self._clock() + self._reset_s

    def _interrupted(self) -> None:
        with self._lock:
            self._trial_running = False

    def _worked(self) -> None:
        with self._lock:
            self._failures = 0
            self._trial_at = None
            self._trial_running = False
