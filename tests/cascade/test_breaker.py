"""A breaker opens on outages in a row, lets one trial through, and closes when it works."""

import pytest

from cascade.breaker import Breaker
from cascade.errors import BadResponse, CircuitOpen, ProviderError, ProviderUnavailable


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def call(breaker: Breaker, error: BaseException | None = None) -> None:
    with breaker.guard(outages=(ProviderUnavailable,)):
        if error is not None:
            raise error


def fail(breaker: Breaker) -> None:
    with pytest.raises(ProviderUnavailable):
        call(breaker, ProviderUnavailable("down"))


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=2, reset_s=30, clock=clock)
    fail(breaker)
    fail(breaker)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = opened(Clock())
    with pytest.raises(CircuitOpen, match="30 s"):
        call(breaker)


def test_a_success_between_starts_the_count_again() -> None:
    breaker = Breaker(failures=2, clock=Clock())
    fail(breaker)
    call(breaker)
    fail(breaker)
    assert not breaker.is_open


def test_an_unreadable_answer_shows_that_the_provider_is_up() -> None:
    breaker = Breaker(failures=2, clock=Clock())
    fail(breaker)
    with pytest.raises(BadResponse):
        call(breaker, BadResponse("odd"))
    fail(breaker)
    assert not breaker.is_open


def test_a_good_trial_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.seconds = 30
    call(breaker)
    assert not breaker.is_open
    fail(breaker)
    assert not breaker.is_open


def test_a_bad_trial_opens_it_again_at_once() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.seconds = 30
    fail(breaker)
    clock.seconds = 59
    with pytest.raises(CircuitOpen):
        call(breaker)
    clock.seconds = 60
    call(breaker)


def test_one_trial_at_a_time() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.seconds = 30
    with breaker.guard(outages=(ProviderError,)), pytest.raises(CircuitOpen, match="now"):
        call(breaker)


def test_a_trial_that_breaks_off_for_our_own_reasons_leaves_the_next_one() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.seconds = 30
    with pytest.raises(KeyboardInterrupt):
        call(breaker, KeyboardInterrupt())
    assert breaker.is_open
    call(breaker)
    assert not breaker.is_open
