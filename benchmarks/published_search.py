"""The published search for thresholds (FrugalGPT: Chen, Zaharia, Zou; arXiv 2305.05176).

Made anew from its description. For each ordered chain of exactly L models, all combinations of 40
escalation quantiles a stage that rise along the chain are run row by row in plain Python; the best
one starts a Nelder-Mead polish, here a small one of our own with scipy's defaults. What has the
best training quality under one budget wins; the last answer counts, nothing is mixed.

`quick_search` finds the same grid optima for many budgets at once from cumulated sums, and
polishes each budget's winner only; it stands in where the row-by-row search would take days.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations, product

import numpy as np
from numpy.typing import NDArray

from benchmarks.plain_search import BestForBudgets, as_point
from cascade.chains import ALWAYS, Candidate, Chain, Estimate, Rows, cloud_of
from cascade.optimiser import Point
from cascade.replay import Outcomes

Numbers = NDArray[np.float64]
Vector = tuple[float, ...]

QUANTILES = 40
DEPTH = 3
NOT_ALLOWED = 1.0
"""The loss of what costs too much or breaks the constraint; all else has one below 0."""


@dataclass(frozen=True)
class Chosen:
    """The best quantiles of one chain, and what they cost and get right on the training rows."""

    chain: Chain
    quantiles: Vector
    cost: float
    quality: float


def chains(models: int, depth: int = DEPTH) -> list[Chain]:
    """Return every ordered chain of exactly so many models."""
    return list(permutations(range(models), depth))


def published_search(
    log: Outcomes, budget: float, tried: Sequence[Chain], *, rising: bool = True
) -> Chosen | None:
    """Return the best of the chains for one budget in US dollars a ticket, None if none is."""
    found = [search_chain(log, chain, budget, rising=rising) for chain in tried]
    return max((each for each in found if each), key=lambda each: each.quality, default=None)


def search_chain(
    log: Outcomes, chain: Chain, budget: float, *, rising: bool = True
) -> Chosen | None:
    """Return one chain's best quantiles for a budget, None where it has none."""
    rows = _Loop(log, chain)

    def loss(quantiles: Vector) -> float:
        if not _allowed(quantiles, rising):
            return NOT_ALLOWED
        cost, quality = rows.run(quantiles)
        return -quality if cost <= budget else NOT_ALLOWED

    grid = np.linspace(0, 1, QUANTILES).tolist()
    start = min(product(grid, repeat=len(chain) - 1), key=loss)
    if loss(start) == NOT_ALLOWED:
        return None
    best = polished(loss, start)
    return Chosen(chain, best, *rows.run(best))


def quick_search(log: Outcomes, budgets: Numbers, *, rising: bool = True) -> list[Point]:
    """Return the search's choice among chains of three for each budget.

    The cheapest chain stands where nothing is as cheap.
    """
    grid = np.linspace(0, 1, QUANTILES)
    rows = _on_grid(log, grid)
    first, second = np.meshgrid(grid, grid, indexing="ij")
    allowed = (first <= second).ravel() if rising else np.ones(first.size, dtype=bool)
    best = BestForBudgets(rows, budgets)
    for chain in chains(len(log.models)):
        best.add(cloud_of(rows, chain, ALWAYS, None), allowed)
    return [
        as_point(log, _polish(log, rows, found, float(budget), rising))
        for found, budget in zip(best.found, budgets, strict=True)
    ]


def polished(loss: Callable[[Vector], float], start: Vector) -> Vector:
    """Return the best point that Nelder and Mead's simplex comes by from a start."""
    corners = [start, *(_moved(start, axis) for axis in range(len(start)))]
    simplex = sorted((loss(corner), corner) for corner in corners)
    for _ in range(200 * len(start)):
        if simplex[-1][0] - simplex[0][0] <= 1e-4 and _width(simplex) <= 1e-4:
            break
        simplex = sorted(_stepped(loss, simplex))
    return simplex[0][1]


def _stepped(
    loss: Callable[[Vector], float], simplex: list[tuple[float, Vector]]
) -> list[tuple[float, Vector]]:
    """Return the simplex, best corner first, with its worst corner moved, or shrunken."""
    *kept, (worst_loss, worst) = simplex
    centre = tuple(np.mean([corner for _, corner in kept], axis=0).tolist())

    def beyond(step: float) -> tuple[float, Vector]:
        """The point on the line from the worst corner through the centre."""
        point = tuple(c + step * (c - w) for c, w in zip(centre, worst, strict=True))
        return loss(point), point

    mirrored = beyond(1.0)
    if mirrored[0] < kept[0][0]:
        return [*kept, min(beyond(2.0), mirrored)]
    if mirrored[0] < kept[-1][0]:
        return [*kept, mirrored]
    inner = beyond(0.5 if mirrored[0] < worst_loss else -0.5)
    if inner[0] < min(mirrored[0], worst_loss):
        return [*kept, inner]
    best = simplex[0][1]
    halves = [
        tuple((b + c) / 2 for b, c in zip(best, corner, strict=True)) for _, corner in simplex
    ]
    return [(loss(half), half) for half in halves]


def _moved(start: Vector, axis: int) -> Vector:
    """Return the start with one coordinate 5 % larger, or a little above nothing."""
    return tuple(
        (value * 1.05 or 0.00025) if place == axis else value for place, value in enumerate(start)
    )


def _width(simplex: Sequence[tuple[float, Vector]]) -> float:
    corners = np.array([corner for _, corner in simplex])
    return float(np.abs(corners - corners[0]).max())


def _allowed(quantiles: Vector, rising: bool) -> bool:
    inside = all(0 <= value <= 1 for value in quantiles)
    return inside and (not rising or all(low <= high for low, high in pairwise(quantiles)))


class _Loop:
    """A chain's scores, costs and qualities as lists, run through row by row."""

    def __init__(self, log: Outcomes, chain: Chain) -> None:
        self._sorted = [np.sort(log.score[:, model]) for model in chain[:-1]]
        columns = list(chain)
        self._scores = log.score[:, columns].tolist()
        self._costs = log.cost[:, columns].tolist()
        self._qualities = log.quality[:, columns].tolist()

    def run(self, quantiles: Vector) -> tuple[float, float]:
        """Return average cost and quality where a model escalates these shares of its scores."""
        thresholds = [
            float(np.quantile(scores, share))
            for scores, share in zip(self._sorted, quantiles, strict=True)
        ]
        last, spent, right = len(thresholds), 0.0, 0.0
        for scores, costs, qualities in zip(
            self._scores, self._costs, self._qualities, strict=True
        ):
            place = 0
            spent += costs[0]
            while place < last and scores[place] < thresholds[place]:
                place += 1
                spent += costs[place]
            right += qualities[place]
        return spent / len(self._scores), right / len(self._scores)


def _on_grid(log: Outcomes, grid: Numbers) -> Rows:
    """Return the rows with thresholds at the grid's quantiles of each model's scores."""
    thresholds = tuple(np.quantile(log.score, grid, axis=0).T)
    bins = [
        np.searchsorted(known, scores, side="right")
        for known, scores in zip(thresholds, log.score.T, strict=True)
    ]
    return Rows(log.score, log.quality, log.cost, thresholds, np.stack(bins, axis=1))


def _polish(log: Outcomes, rows: Rows, found: Candidate, budget: float, rising: bool) -> Candidate:
    """Return the candidate with polished thresholds, as `search_chain` would."""
    models = found.chain[:-1]

    def run(quantiles: Vector) -> tuple[tuple[float, ...], Estimate]:
        own = [
            float(np.quantile(log.score[:, model], share))
            for model, share in zip(models, quantiles, strict=True)
        ]
        cost, quality = rows.under(found.chain, (*own, ALWAYS), None)
        return (*own, ALWAYS), Estimate(float(cost.mean()), float(quality.mean()))

    def loss(quantiles: Vector) -> float:
        if not _allowed(quantiles, rising):
            return NOT_ALLOWED
        expected = run(quantiles)[1]
        return -expected.quality if expected.cost <= budget * (1 + 1e-9) else NOT_ALLOWED

    start = tuple(
        float(np.searchsorted(rows.thresholds[model], threshold)) / (QUANTILES - 1)
        for model, threshold in zip(models, found.thresholds, strict=False)
    )
    thresholds, expected = run(polished(loss, start))
    return Candidate(found.chain, thresholds, ALWAYS, expected)
