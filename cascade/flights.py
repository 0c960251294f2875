"""One call where many ask the same at once: the first calls, the others wait for its answer.

This holds within one process. Each process of a service makes a call of its own; what the first of
them stores in the cache saves the later ones.
"""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from cascade.deadline import Deadline
from cascade.errors import DeadlineExceeded
from cascade.pricing import Usage
from cascade.providers import DraftRequest, Drafts, Provider

T = TypeVar("T")


@dataclass
class _Flight(Generic[T]):
    """A call under way: `landed` is set once it has a result, or has failed and has none."""

    landed: threading.Event
    results: list[T]


class Flights(Generic[T]):
    """Calls under way, by key; any thread may use it."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight[T]] = {}
        self._changing = threading.Lock()

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        return len(self._under_way)

    def once(self, key: Hashable, call: Callable[[], T], *, deadline: Deadline) -> tuple[T, bool]:
        """The result of `call`, and whether another caller's call gave it.

        Of those who ask with one key at once, one calls. Where it raises, it alone gets the
        exception and one of those who wait calls in its place. Raises `DeadlineExceeded` for one
        who waits in vain.
        """
        while True:
            flight, mine = self._join(key)
            if mine:
                return self._fly(key, flight, call), False
            if not flight.landed.wait(deadline.left()):
                raise DeadlineExceeded("the ticket's time ran out while another asked the same")
            if flight.results:
                return flight.results[0], True

    def _join(self, key: Hashable) -> tuple[_Flight[T], bool]:
        with self._changing:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = self._under_way[key] = _Flight(threading.Event(), [])
            return flight, True

    def _fly(self, key: Hashable, flight: _Flight[T], call: Callable[[], T]) -> T:
        try:
            result = call()
            flight.results.append(result)
            return result
        finally:
            with self._changing:
                del self._under_way[key]
            flight.landed.set()


class Once:
    """A provider that is asked once where a customer's same ticket comes in many times at once.

    Only the one who called is billed. Customers never share a call: what a model was told about one
    of them is in its answer.

    >>> Once(OpenAIChat(...), flights, tenant="t-1")
    """

    def __init__(self, provider: Provider, flights: Flights[Drafts], *, tenant: str) -> None:
        self._provider = provider
        self._flights = flights
        self._tenant = tenant
        self.model = provider.model
        self.source = provider.source
        self.attempts = provider.attempts

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        """The provider's drafts, or those another call of the same request has just got."""
        drafts, shared = self._flights.once(
            self._key(request),
            lambda: self._provider.draft(request, deadline=deadline),
            deadline=deadline,
        )
        if not shared:
            return drafts
        note = "the answer of the same request, made at the same time"
        return replace(drafts, usage=Usage(0, 0), retries=0, lost_calls=0, note=note)

    def largest_cost(self, request: DraftRequest) -> Usage | None:
        """The provider's."""
        return self._provider.largest_cost(request)

    def _key(self, request: DraftRequest) -> Hashable:
        """All that the answer depends on, and whose it is."""
        customer = request.customer
        return (
            self._tenant,
            self.model,
            " ".join(request.question.split()),
            customer.id,
            customer.segment,
            # Types are part of it: True, 1 and 1.0 are equal and are shown differently.
            tuple(sorted((name, repr(value)) for name, value in customer.features.items())),
            customer.history,
            customer.day,
            request.passages,
        )
