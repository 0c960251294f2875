"""How long the optimiser takes, what memory it needs, and how both grow; on synthetic logs."""

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from random import Random
from statistics import median

import numpy as np

from benchmarks.published_search import chains, search_chain
from benchmarks.synthetic_logs import synthetic_log
from cascade.optimiser import Search, optimise
from cascade.replay import Outcomes

MOST_REPEATS, ENOUGH_SECONDS = 3, 1.0


@dataclass(frozen=True)
class Size:
    """How large a search is; with `segments` the rows are of four, whose thresholds are tried."""

    rows: int
    models: int
    depth: int
    segments: bool = True

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.models} models, depth {self.depth}"


@dataclass(frozen=True)
class Whole:
    """A whole frontier: how long it took, the process's peak memory, and what was found."""

    seconds: float
    megabytes: float
    chains: int
    points: int


@dataclass(frozen=True)
class Published:
    """The published search's seconds for one chain and for all, and ours for all budgets."""

    timed: int
    chains: int
    seconds_a_chain: float
    ours: float

    @property
    def seconds(self) -> float:
        """What one budget would take, all chains tried."""
        return self.chains * self.seconds_a_chain


def whole_frontier(size: Size) -> Whole:
    """Return time and peak memory of one run in a process of its own, its imports included.

    The peak is at least what this process holds: a child's count starts there.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_whole_frontier, size).result()


def _whole_frontier(size: Size) -> Whole:
    log, search = synthetic_log(size.rows, size.models), Search(size.depth)
    started = time.perf_counter()
    frontier = optimise(log, search)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in kilobytes, macOS in bytes.
    megabytes = peak / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
    return Whole(seconds, megabytes, frontier.chains, len(frontier.points))


def seconds_of(size: Size) -> float:
    """Return the processor's seconds for a whole frontier: the least of up to three runs."""
    log = synthetic_log(size.rows, size.models)
    search = Search(size.depth, by_segment=size.segments)
    return _least(partial(optimise, log, search))


def beside_published(log: Outcomes, search: Search, *, timed: int) -> Published:
    """Time the published search for one budget on chains drawn at random, in turns with ours.

    Medians of the processor's time, so that others on the machine count little; ours counts all its
    threads, theirs has one.
    """
    tried = Random(0).sample(chains(len(log.models), search.depth), timed)
    budget = float(np.sqrt(log.cost.mean(0).min() * log.cost.mean(0).max()))
    theirs, ours = [], []
    for chain in tried:
        theirs.append(_seconds(partial(search_chain, log, chain, budget)))
        ours.append(_seconds(partial(optimise, log, search)))
    return Published(
        timed, len(chains(len(log.models), search.depth)), median(theirs), median(ours)
    )


def exponent(seconds: Mapping[int, float]) -> float:
    """Return the slope of a straight line through the logarithms of sizes and seconds."""
    sizes = np.log(list(seconds))
    return float(np.polyfit(sizes, np.log(list(seconds.values())), 1)[0])


def growth(sizes: Mapping[str, Sequence[Size]]) -> dict[str, dict[int, float]]:
    """Print and return seconds by what grows, `rows`, `models` or `depth`, and how large it is."""
    found: dict[str, dict[int, float]] = {}
    for name, grown in sizes.items():
        found[name] = {}
        for size in grown:
            found[name][int(getattr(size, name))] = seconds = seconds_of(size)
            print(f"{size}: {seconds:.2f} s of processor time", flush=True)
    return found


def _seconds(run: Callable[[], object]) -> float:
    """Return the processor's time, so that others on the machine count little."""
    started = time.process_time()
    run()
    return time.process_time() - started


def _least(run: Callable[[], object]) -> float:
    taken: list[float] = []
    while len(taken) < MOST_REPEATS and sum(taken) < ENOUGH_SECONDS:
        taken.append(_seconds(run))
    return min(taken)
