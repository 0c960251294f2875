"""The plain search for thresholds, as one would write it in an afternoon.

Each model's scores are calibrated by isotonic regression on the rows the thresholds are then chosen
on. Cost-ordered chains of up to three models try 20 quantiles a stage; the last model answers in
any case. For a budget the best on those rows is taken, as it is: nothing is mixed.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cascade.chains import ALWAYS, Candidate, Cloud, Rows, clouds
from cascade.chances import chances_of
from cascade.optimiser import Point
from cascade.policy import Knots, Policy, Tier
from cascade.replay import Outcomes

Numbers = NDArray[np.float64]

DEPTH, QUANTILES = 3, 20


def plain_search(log: Outcomes, budgets: Numbers) -> list[Point]:
    """Return the best point for each budget; the cheapest of all where nothing is as cheap."""
    knots = [
        isotonic(scores, quality)
        for scores, quality in zip(log.score.T, log.quality.T, strict=True)
    ]
    rows = Rows.of(chances_of(log.score, knots), log.quality, log.cost, QUANTILES + 1)
    best = BestForBudgets(rows, budgets)
    for cloud in clouds(rows, depth=DEPTH):
        if cloud.last == ALWAYS:
            best.add(cloud)
    return [as_point(log, found, knots) for found in best.found]


@dataclass
class BestForBudgets:
    """The best seen so far for each budget; the cheapest seen where none is as cheap."""

    rows: Rows
    budgets: Numbers
    _best: dict[int, Candidate] = field(default_factory=dict)
    _cheapest: Candidate | None = None

    @property
    def found(self) -> list[Candidate]:
        """One candidate for each budget."""
        if self._cheapest is None:
            raise ValueError("nothing was added that there could be a best of")
        return [self._best.get(at, self._cheapest) for at in range(len(self.budgets))]

    def add(self, cloud: Cloud, allowed: NDArray[np.bool_] | None = None) -> None:
        """Take in a chain's thresholds; with `allowed` (flat) only some of them."""
        places = np.arange(cloud.cost.size) if allowed is None else np.flatnonzero(allowed)
        cost, quality = cloud.cost.ravel()[places], cloud.quality.ravel()[places]
        order = np.lexsort((-quality, cost))
        cost, quality, places = cost[order], quality[order], places[order]
        leads = np.r_[True, quality[1:] > np.maximum.accumulate(quality)[:-1]]
        cost, quality, places = cost[leads], quality[leads], places[leads]
        if self._cheapest is None or cost[0] < self._cheapest.expected.cost:
            self._cheapest = cloud.candidate(int(places[0]), self.rows)
        within = np.searchsorted(cost, self.budgets * (1 + 1e-9), side="right") - 1
        for at in np.flatnonzero(within >= 0):
            known = self._best.get(int(at))
            if known is None or quality[within[at]] > known.expected.quality + 1e-12:
                self._best[int(at)] = cloud.candidate(int(places[within[at]]), self.rows)


def as_point(log: Outcomes, found: Candidate, knots: list[Knots] | None = None) -> Point:
    """Return a candidate as a policy; without `knots` its thresholds are scores."""
    tiers = [
        Tier(log.models[model], log.sources[model], threshold, {}, knots[model] if knots else ())
        for model, threshold in zip(found.chain, found.thresholds, strict=True)
    ]
    return Point(Policy(tuple(tiers)), found.expected)


def isotonic(scores: Numbers, quality: Numbers) -> Knots:
    """Return the isotonic regression of qualities (n,) on scores (n,), one knot for each score."""
    known, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    sums = np.bincount(place, weights=quality)
    blocks: list[tuple[float, int, int]] = []  # the sum of qualities, rows, scores
    for total, count in zip(sums.tolist(), counts.tolist(), strict=True):
        block = (total, count, 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    worth = np.repeat([total / rows for total, rows, _ in blocks], [each for _, _, each in blocks])
    return tuple(zip(known.tolist(), worth.tolist(), strict=True))
