"""The same question from many at once calls the model once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cascade.deadline import Deadline
from cascade.errors import DeadlineExceeded, ProviderUnavailable
from cascade.flights import Flights, Once
from cascade.pricing import Usage
from cascade.providers import DraftRequest, Drafts
from cascade.simulated import Simulated
from scoring.customer import Customer

REQUEST = DraftRequest("Can I return it?", Customer("c-1", "gold", {"age": 1}))
CALLERS = 16


class Counted:
    """Counts its calls; each waits until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = threading.Event()
        self._counting = threading.Lock()

    def __call__(self, _: DraftRequest) -> str:
        with self._counting:
            self.calls += 1
        assert self.go.wait(10)
        return f"Yes {self.calls}."


def at_once(count: int, call: Callable[[int], Drafts], started: threading.Event) -> list[Drafts]:
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(call, number) for number in range(count)]
        threading.Timer(0.2, started.set).start()
        return [future.result(10) for future in futures]


def test_one_calls_and_is_billed_and_the_others_get_its_answer() -> None:
    counted, flights = Counted(), Flights[Drafts]()
    provider = Simulated("small", counted, usage=Usage(100, 5))

    def call(_: int) -> Drafts:
        once = Once(provider, flights, tenant="t-1")
        return once.draft(REQUEST, deadline=Deadline.after(10))

    drafts = at_once(CALLERS, call, counted.go)
    assert counted.calls == 1
    assert {each.texts for each in drafts} == {("Yes 1.",)}
    assert sorted(each.usage.input_tokens for each in drafts if each.usage) == [0] * 15 + [100]


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, customer=replace(REQUEST.customer, id="c-2")),
        replace(REQUEST, customer=replace(REQUEST.customer, features={"age": True})),
        replace(REQUEST, customer=replace(REQUEST.customer, history=("Called.",))),
        replace(REQUEST, question="Can I keep it?"),
    ],
)
def test_another_customer_or_profile_never_shares_a_call(other: DraftRequest) -> None:
    counted, flights = Counted(), Flights[Drafts]()
    once = Once(Simulated("small", counted, usage=Usage(1, 1)), flights, tenant="t-1")
    requests = (REQUEST, other)
    at_once(2, lambda n: once.draft(requests[n], deadline=Deadline.after(10)), counted.go)
    assert counted.calls == 2


def test_another_tenant_never_shares_a_call() -> None:
    counted, flights = Counted(), Flights[Drafts]()
    provider = Simulated("small", counted, usage=Usage(1, 1))
    tenants = [Once(provider, flights, tenant=name) for name in ("t-1", "t-2")]
    at_once(2, lambda n: tenants[n].draft(REQUEST, deadline=Deadline.after(10)), counted.go)
    assert counted.calls == 2


def test_later_callers_call_again() -> None:
    flights, calls = Flights[int](), iter(range(9))
    results = [flights.once("k", lambda: next(calls), deadline=Deadline.after(1)) for _ in range(2)]
    assert results == [(0, False), (1, False)]


def test_where_the_caller_fails_one_of_the_others_takes_over() -> None:
    flights, go = Flights[str](), threading.Event()
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        first = len(calls) == 1
        assert go.wait(10)
        if first:
            raise ProviderUnavailable("down")
        return "up"

    with ThreadPoolExecutor(8) as pool:
        ask = lambda: flights.once("k", call, deadline=Deadline.after(10))  # noqa: E731
        futures = [pool.submit(ask) for _ in range(8)]
        threading.Timer(0.2, go.set).start()
        failed = [future for future in futures if future.exception(10)]
        worked = [future.result() for future in futures if not future.exception()]
    assert len(failed) == 1
    assert {result for result, _ in worked} == {"up"}


def test_who_waits_in_vain_is_told_at_the_deadline() -> None:
    flights, go = Flights[bool](), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(
            lambda: flights.once("k", lambda: go.wait(10), deadline=Deadline.after(10))
        )
        while not flights.under_way:
            pass
        with pytest.raises(DeadlineExceeded, match="another asked the same"):
            flights.once("k", lambda: True, deadline=Deadline.after(0.05))
        go.set()
        assert slow.result(10) == (True, False)
