"""What a frontier has to beat: each model alone, the cheapest that is as good, the static mix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.chains import Estimate
from cascade.optimiser import Frontier, Search, corners
from cascade.policy import Policy
from cascade.replay import Outcomes, run

Numbers = NDArray[np.float64]

BUDGETS = 30
RESAMPLES = 2000
NORMAL_95 = 1.959964
ROUNDING = 1e-9
"""What sums of floats may differ by that mean the same."""


@dataclass(frozen=True)
class Interval:
    """A figure and the 95 % interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    @property
    def is_gain(self) -> bool:
        """Whether the whole interval is above zero, and not by rounding alone."""
        return self.low > ROUNDING


@dataclass(frozen=True)
class Single:
    """What one model alone costs and gets right."""

    model: str
    estimate: Estimate


@dataclass(frozen=True)
class StaticMix:
    """Tickets sent to one of two models by lot: `singles` are those that no such lot beats."""

    singles: tuple[Single, ...]

    def quality_at(self, cost: float) -> float:
        """The best quality for this cost; the cheapest model's where nothing is as cheap."""
        costs = [single.estimate.cost for single in self.singles]
        qualities = [single.estimate.quality for single in self.singles]
        return float(np.interp(cost, costs, qualities))


@dataclass(frozen=True)
class Saving:
    """What a policy saves beside one model, on rows that had no part in choosing either.

    `saved` is the share of the model's cost that is not spent, `quality` the difference in quality,
    the policy's less the model's.
    """

    model: str
    policy: Policy
    saved: Interval
    quality: Interval


def singles(outcomes: Outcomes, search: Search) -> tuple[Single, ...]:
    """Every model alone, in the log's order; scoring is not counted, for nothing is decided."""
    costs = (outcomes.cost * (1 + search.retries)).mean(0)
    return tuple(
        Single(model, Estimate(float(cost), float(quality)))
        for model, cost, quality in zip(
            outcomes.models, costs, outcomes.quality.mean(0), strict=True
        )
    )


def static_mix(alone: Sequence[Single]) -> StaticMix:
    """The models between which a lot is worth casting, cheapest first."""
    kept = corners([single.estimate for single in alone])
    return StaticMix(tuple(alone[place] for place in kept))


def best_single(outcomes: Outcomes) -> str:
    """The model that is right most often, the cheapest of equals."""
    quality, cost = outcomes.quality.mean(0), outcomes.cost.mean(0)
    return outcomes.models[int(np.lexsort((cost, -quality))[0])]


def cheapest_as_good(outcomes: Outcomes) -> str:
    """The cheapest model that is not significantly worse than the best, pair by pair, at 95 %."""
    best = outcomes.quality[:, outcomes.models.index(best_single(outcomes))]
    behind = best[:, None] - outcomes.quality  # (n, m)
    error = behind.std(0) / np.sqrt(len(behind))
    as_good = behind.mean(0) <= NORMAL_95 * error
    cost = np.where(as_good, outcomes.cost.mean(0), np.inf)
    return outcomes.models[int(cost.argmin())]


def budgets(outcomes: Outcomes, search: Search) -> Numbers:
    """Budgets from the cheapest to the best model alone, in US dollars a ticket, evenly in log.

    Scoring is counted, as it is for every policy, so that the least budget affords one.
    """
    costs = search.priced(outcomes).cost.mean(0)
    dearest = float(costs[outcomes.models.index(best_single(outcomes))])
    least = max(float(costs.min()), dearest * 1e-6, 1e-12)
    return np.geomspace(least, max(least, dearest), BUDGETS)


def qualities_at(frontier: Frontier, spending: Numbers, log: Outcomes) -> Numbers:
    """Each row's quality under the policy for each budget, (budgets, n).

    A budget below the frontier's cheapest point counts with that point.
    """
    least = frontier.corners[0].expected.cost
    search = frontier.search
    return np.stack(
        [
            run(
                frontier.for_budget(max(usd, least)).policy,
                search.priced(log),
                human=search.human,
            ).quality
            for usd in spending
        ]
    )


def area(rows: Numbers, seed: int = 0) -> Interval:
    """The average of (budgets, n) qualities, with its interval over resampled rows."""
    return resampled(rows.mean(0), np.mean, seed)


def saving(frontier: Frontier, model: str, train: Outcomes, test: Outcomes) -> Saving:
    """What the cheapest policy expected to be as good as the model saves, measured on `test`.

    Where no policy is expected to be as good, the best one is taken.
    """
    place, search = train.models.index(model), frontier.search
    aim = float(train.quality[:, place].mean())
    best = frontier.corners[-1].expected.quality
    policy = frontier.for_quality(min(aim, best)).policy
    done = run(policy, search.priced(test), human=search.human)
    alone = test.cost[:, place] * (1 + search.retries)

    def saved(rows: Numbers) -> float:
        spent, beside = rows.mean(0)
        # Beside a model that costs nothing, nothing can be saved.
        return float((beside - spent) / beside) if beside > 0 else 0.0

    return Saving(
        model,
        policy,
        resampled(np.stack([done.cost, alone], axis=1), saved),
        resampled(done.quality - test.quality[:, place], np.mean),
    )


def resampled(rows: Numbers, figure: Callable[[Numbers], float], seed: int = 0) -> Interval:
    """A figure of rows (n, ...) with the interval that resampled rows give (percentiles)."""
    random, count = np.random.default_rng(seed), len(rows)
    found = [float(figure(rows[random.integers(0, count, count)])) for _ in range(RESAMPLES)]
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(float(figure(rows)), float(low), float(high))
