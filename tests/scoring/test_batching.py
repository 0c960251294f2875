"""Callers on many threads share batches; results and errors reach those whose rows they are."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from scoring import batching
from scoring.batching import Batcher


def doubled(rows: Sequence[int]) -> list[int]:
    """Return twice each row; 13 is a bad row."""
    if 13 in rows:
        raise ValueError("13 is a bad row")
    return [2 * row for row in rows]


class Gate:
    """A function that notes each batch and holds the first one until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.first_runs = threading.Event()
        self.let_go = threading.Event()

    def run(self, rows: Sequence[int]) -> list[int]:
        """Return twice each row, once the gate is open."""
        self.batches.append(list(rows))
        self.first_runs.set()
        assert self.let_go.wait(10)
        return doubled(rows)


def waiting(batcher: Batcher[int, int], callers: int) -> None:
    """Return once this many callers wait for their turn."""
    deadline = threading.Event()
    for _ in range(1000):
        if batcher.waiting == callers:
            return
        deadline.wait(0.01)
    raise AssertionError(f"{batcher.waiting} callers wait; expected {callers}")


def test_results_come_back_in_order() -> None:
    assert Batcher(doubled, most=4)(range(10)) == [2 * row for row in range(10)]
    assert Batcher(doubled, most=4)([]) == []


def test_no_batch_is_larger_than_it_may_be() -> None:
    sizes: list[int] = []

    def run(rows: Sequence[int]) -> list[int]:
        sizes.append(len(rows))
        return doubled(rows)

    Batcher(run, most=4)(range(10))
    assert sizes == [4, 4, 2]


def test_those_who_come_meanwhile_are_computed_together() -> None:
    gate = Gate()
    batcher = Batcher(gate.run, most=8)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batcher, [0])
        assert gate.first_runs.wait(10)
        rest = [pool.submit(batcher, [number]) for number in range(1, 9)]
        waiting(batcher, 8)
        gate.let_go.set()
        assert first.result(10) == [0]
        assert [each.result(10) for each in rest] == [[2 * number] for number in range(1, 9)]
    assert gate.batches[0] == [0]
    assert [sorted(batch) for batch in gate.batches[1:]] == [list(range(1, 9))]


def test_a_bad_row_fails_its_own_caller_only() -> None:
    gate = Gate()
    batcher = Batcher(gate.run, most=8)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher, [0])
        assert gate.first_runs.wait(10)
        good, bad, other = (pool.submit(batcher, [number]) for number in (1, 13, 2))
        waiting(batcher, 3)
        gate.let_go.set()
        assert first.result(10) == [0]
        assert (good.result(10), other.result(10)) == ([2], [4])
        with pytest.raises(ValueError, match="13 is a bad row"):
            bad.result(10)
    assert batcher([5]) == [10]


def test_whatever_is_raised_reaches_the_caller() -> None:
    def run(rows: Sequence[int]) -> list[int]:
        raise SystemExit(str(rows[0]))

    with pytest.raises(SystemExit, match="7"):
        Batcher(run, most=8)([7])


def test_the_thread_ends_when_nobody_asks_and_another_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "IDLE_SECONDS", 0.01)
    threads: list[threading.Thread] = []

    def run(rows: Sequence[int]) -> list[int]:
        threads.append(threading.current_thread())
        return doubled(rows)

    batcher = Batcher(run, most=8)
    assert batcher([1]) == [2]
    threads[0].join(10)
    assert not threads[0].is_alive()
    assert batcher([2]) == [4]
    assert threads[1] is not threads[0]


def test_many_threads_get_their_own_results() -> None:
    batcher = Batcher(doubled, most=16)
    with ThreadPoolExecutor(16) as pool:
        asked = [[number, number + 1] for number in range(100, 2100)]
        assert list(pool.map(batcher, asked)) == [[2 * a, 2 * b] for a, b in asked]
