"""What searches for thresholds are worth on rows they have not seen, over a range of budgets.

Every search chooses a policy for each of 30 budgets on training rows; all are then replayed on the
same held-out rows. A search that finds nothing as cheap as a budget counts with its cheapest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.plain_search import plain_search
from benchmarks.published_search import quick_search
from cascade.baselines import Interval, resampled, singles, static_mix
from cascade.chains import NEVER, Cloud, Rows, Skip, clouds
from cascade.chances import chances_of, fit_knots
from cascade.optimiser import Frontier, Point, Search, optimise
from cascade.policy import Instead, Policy, Tier
from cascade.replay import Human, Outcomes, run

Numbers = NDArray[np.float64]
Choose = Callable[[Outcomes, Numbers], list[Point]]
"""Training rows and budgets in, a point for each budget out."""

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 10: 2.262, 20: 2.093}
"""By number of splits: how many standard errors 95 % lie within (Student)."""


@dataclass(frozen=True)
class Measured:
    """What one search's choices do on held-out rows.

    `quality` and `cost` are (budgets, n), in [0, 1] and US dollars. `expected` is the quality that
    the search saw on its training rows, `budgets` what each choice may cost.
    """

    budgets: Numbers
    expected: Numbers
    quality: Numbers
    cost: Numbers

    @property
    def average(self) -> float:
        """The quality, averaged over rows and budgets."""
        return float(self.quality.mean())

    @property
    def spent(self) -> float:
        """The share of the budget that is spent on held-out rows, averaged over budgets."""
        return float((self.cost.mean(1) / self.budgets).mean())

    @property
    def gap(self) -> float:
        """By how much the search thought itself better than it is."""
        return float(self.expected.mean()) - self.average


@dataclass(frozen=True)
class Over:
    """By how much one search's average quality is above another's, with a 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def at_its_spending(ours: Measured, other: Measured) -> float:
    """Return by how much ours is better where it really spends what the other does.

    Between the budgets ours was measured at, its quality is taken to lie on straight lines.
    """
    spent, order = other.cost.mean(1), np.argsort(ours.cost.mean(1))
    quality = np.interp(spent, ours.cost.mean(1)[order], ours.quality.mean(1)[order])
    return float((quality - other.quality.mean(1)).mean())


def measure(choose: Choose, train: Outcomes, test: Outcomes, budgets: Numbers) -> Measured:
    """Return what a search's choices do on `test`, lots cast by the tickets' names."""
    points = choose(train, budgets)
    done = [run(point.policy, test) for point in points]
    return Measured(
        budgets,
        np.array([point.expected.quality for point in points]),
        np.stack([each.quality for each in done]),
        np.stack([each.cost for each in done]),
    )


def over_rows(better: Measured, worse: Measured) -> Over:
    """Return the difference on one split, its interval from resampled rows, pair by pair."""
    found: Interval = resampled((better.quality - worse.quality).mean(0), np.mean)
    return Over(found.value, found.low, found.high)


def over_splits(better: Sequence[Measured], worse: Sequence[Measured]) -> Over:
    """Return the average difference; its interval is for other training rows of the same log.

    Held-out rows of different splits are largely the same, whose own chance it leaves out.
    """
    return averaged([one.average - other.average for one, other in zip(better, worse, strict=True)])


def averaged(found: Sequence[float]) -> Over:
    """Return the average of one figure a split, with Student's interval."""
    around = float(T_95[len(found)] * np.std(found, ddof=1) / np.sqrt(len(found)))
    value = float(np.mean(found))
    return Over(value, value - around, value + around)


def fresh_splits(
    pooled: Outcomes, training: int, count: int
) -> Iterator[tuple[Outcomes, Outcomes]]:
    """Yield random splits with so many training rows."""
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(pooled))
        yield pooled.take(order[:training]), pooled.take(order[training:])


def joined(first: Outcomes, second: Outcomes) -> Outcomes:
    """Return two logs of the same models as one."""
    first.without(second)
    second = second.of_models(first.models)
    return replace(
        first,
        rows=first.rows + second.rows,
        cost=np.concatenate([first.cost, second.cost]),
        quality=np.concatenate([first.quality, second.quality]),
        score=np.concatenate([first.score, second.score]),
        latency_ms=np.concatenate([first.latency_ms, second.latency_ms]),
    )


def ours(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose with the project's optimiser."""
    return chosen_from(optimise(train, Search()), budgets)


def chosen_from(frontier: Frontier, budgets: Numbers) -> list[Point]:
    """Return the frontier's point for each budget."""
    least = frontier.corners[0].expected.cost
    return [frontier.for_budget(max(float(usd), least)) for usd in budgets]


def mixed_singles(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose the static mix: tickets sent to one of two models by lot."""
    known = static_mix(singles(train, Search())).singles
    costs = np.array([single.estimate.cost for single in known])
    tiers = [Tier(single.model, "llm", 0.0) for single in known]
    found = []
    for usd in np.clip(budgets, costs[0], costs[-1]):
        above = min(int(np.searchsorted(costs, usd, side="right")), len(known) - 1)
        below = max(0, above - 1)
        share = float((usd - costs[below]) / max(1e-300, costs[above] - costs[below]))
        dearer = Instead(share, (tiers[above],)) if 0 < share < 1 else None
        place = above if share >= 1 else below
        expected = known[below].estimate.mixed(known[above].estimate, share)
        found.append(Point(Policy((tiers[place],), instead=dearer), expected))
    return found


def unconstrained(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose with the published search, its quantiles free to fall along the chain."""
    return quick_search(train, budgets, rising=False)


def unmixed(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose from our frontier what is best for each budget as it is, without mixing."""
    points = optimise(train, Search()).points
    costs = [point.expected.cost for point in points]
    places = np.searchsorted(costs, budgets * (1 + 1e-9), side="right") - 1
    return [points[max(0, int(place))] for place in places]


def depth_of_three(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose with our optimiser among chains of at most three models."""
    return chosen_from(optimise(train, Search(depth=3)), budgets)


def on_raw_qualities(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose with our optimiser on the qualities as they were observed."""

    def observed(_: Numbers, quality: Numbers, __: int) -> Numbers:
        return quality

    with patch("cascade.optimiser.expected_quality", observed):
        return ours(train, budgets)


def with_chances_in_sample(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose with our optimiser, chances fitted to their own rows."""

    def in_sample(score: Numbers, quality: Numbers, _: int) -> Numbers:
        columns = zip(score.T, quality.T, strict=True)
        return chances_of(score, [fit_knots(*column) for column in columns])

    with patch("cascade.optimiser.out_of_fold", in_sample):
        return ours(train, budgets)


def without_best_seen(train: Outcomes, budgets: Numbers) -> list[Point]:
    """Choose with our optimiser among chains whose last tier answers in any case."""
    with _last_answers():
        return ours(train, budgets)


@contextmanager
def _last_answers() -> Iterator[None]:
    def filtered(rows: Rows, *, depth: int, human: Human | None, skip: Skip) -> Iterator[Cloud]:
        for cloud in clouds(rows, depth=depth, human=human, skip=skip):
            if cloud.last != NEVER:
                yield cloud

    with patch("cascade.optimiser.clouds", filtered):
        yield


SEARCHES: Mapping[str, Choose] = {
    "ours": ours,
    "plain": plain_search,
    "published": quick_search,
    "published, unconstrained": unconstrained,
    "static mix": mixed_singles,
}

WITHOUT: Mapping[str, Choose] = {
    "without mixing": unmixed,
    "observed qualities": on_raw_qualities,
    "chances fitted in sample": with_chances_in_sample,
    "depth 3": depth_of_three,
    "without best-seen": without_best_seen,
}
