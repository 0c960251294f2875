"""Which models earn their place: what each adds to the frontier, and where one more stops paying.

The worth of a set of models is the average quality that its best policies reach over budgets from
the cheapest to the best model alone, on rows that had no part in choosing them. Below its cheapest
model a set leaves tickets unanswered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cascade.baselines import Interval, budgets, resampled
from cascade.chains import Candidate, Cloud, Estimate, Rows, clouds
from cascade.chances import chances_of
from cascade.errors import BadOutcomes
from cascade.optimiser import Prepared, Search, check_enough, corners, undominated
from cascade.replay import Outcomes, check_scored

Numbers = NDArray[np.float64]

FOLDS = 5
PRICE_FACTORS = (1.0, 0.5, 0.25, 0.1, 0.0)
"""At which shares of its price a model that does not pay is tried again."""


@dataclass(frozen=True)
class Without:
    """What is lost where one model is left out: quality, averaged over budgets.

    `pays_at` is the largest tried share of the model's price at which leaving it out loses more
    than the noise: 1 where it pays as it is, None where it would not even for nothing or where
    lower prices were not tried.
    """

    model: str
    loss: Interval
    pays_at: float | None

    @property
    def pays(self) -> bool:
        """Whether more is lost than noise explains."""
        return self.loss.is_gain


@dataclass(frozen=True)
class Step:
    """The set of models after one more: its worth, and what the last one added."""

    model: str
    worth: Interval
    gain: Interval


@dataclass(frozen=True)
class Advice:
    """What every model adds to a log's frontier.

    `steps` take in one model after the other, the one first that helps most; the first `enough` of
    them are worth having: each later one adds less than its noise.
    """

    log: str
    rows: int
    without: tuple[Without, ...]
    steps: tuple[Step, ...]

    @property
    def enough(self) -> int:
        """How many models there are before the first that adds less than its noise."""
        paying = [step.gain.is_gain for step in self.steps]
        return paying.index(False) if False in paying else len(paying)


def advise(outcomes: Outcomes, search: Search | None = None, *, prices: bool = False) -> Advice:
    """Measure what each model adds; with `prices` also at which lower price it would pay.

    Raises `BadOutcomes` for missing scores, fewer than 30 rows, or a single model.
    """
    search = replace(search or Search(), human=None, by_segment=False)
    check_scored(outcomes)
    check_enough(outcomes)
    if len(outcomes.models) < 2:
        raise BadOutcomes(
            f"{outcomes.name} holds one model, {outcomes.models[0]!r}; advice compares two or more"
        )
    explored = _Explored.of(outcomes, search)
    every = frozenset(range(len(outcomes.models)))
    whole = explored.worth(every)
    without = tuple(
        _without(outcomes, search, model, whole - explored.worth(every - {model}), prices)
        for model in sorted(every)
    )
    return Advice(outcomes.name, len(outcomes), without, tuple(_steps(explored, outcomes.models)))


def _without(
    outcomes: Outcomes, search: Search, model: int, lost: Numbers, prices: bool
) -> Without:
    loss = _mean(lost)
    pays_at = 1.0 if loss.is_gain else None
    if pays_at is None and prices:
        pays_at = _pays_at(outcomes, search, model)
    return Without(outcomes.models[model], loss, pays_at)


def _pays_at(outcomes: Outcomes, search: Search, model: int) -> float | None:
    """Return the largest tried share of its price at which the model adds more than noise."""
    every = frozenset(range(len(outcomes.models)))
    others = every - {model}
    spending = budgets(outcomes, search)
    for factor in PRICE_FACTORS[1:]:
        cost = outcomes.cost.copy()
        cost[:, model] *= factor
        cheaper = _Explored.of(replace(outcomes, cost=cost), search, spending)
        if _mean(cheaper.worth(every) - cheaper.worth(others)).is_gain:
            return factor
    return None


def _steps(explored: "_Explored", models: Sequence[str]) -> list[Step]:
    """Take in the models one by one, each time the one that is expected to help most."""
    chosen: frozenset[int] = frozenset()
    before, steps = np.zeros(explored.rows), []
    while len(chosen) < len(models):
        rest = sorted(set(range(len(models))) - chosen)
        added = max(rest, key=lambda model: explored.expected(chosen | {model}))
        chosen |= {added}
        worth = explored.worth(chosen)
        steps.append(Step(models[added], _mean(worth), _mean(worth - before)))
        before = worth
    return steps


def _mean(rows: Numbers) -> Interval:
    return resampled(rows, lambda sample: float(sample.mean()))


@dataclass(frozen=True)
class _Fold:
    """One part of the log, with the policies that were found on the others."""

    candidates: tuple[Candidate, ...]
    unseen: Rows
    places: NDArray[np.intp]
    spending: Numbers

    @classmethod
    def of(
        cls,
        known: Outcomes,
        unseen: Outcomes,
        places: NDArray[np.intp],
        spending: Numbers,
        search: Search,
    ) -> "_Fold":
        log = Prepared.of(search.priced(known), search)
        found = [
            candidate
            for cloud in clouds(log.rows, depth=search.depth)
            for candidate in _corner_candidates(cloud, log.rows)
        ]
        priced = search.priced(unseen)
        chances = chances_of(priced.score, log.knots)
        rows = Rows(chances, priced.quality, priced.cost, log.rows.thresholds, log.rows.bins)
        return cls(tuple(found), rows, places, spending)

    def corners(self, models: frozenset[int]) -> list[Candidate]:
        """Return the best policies of these models, cheapest first."""
        own = [
            each for each, asks in zip(self.candidates, self._asks, strict=True) if asks <= models
        ]
        kept = corners([NOTHING, *(each.expected for each in own)])
        return [own[place - 1] for place in kept if place]

    def expected(self, models: frozenset[int]) -> float:
        """Return the worth that the rows which the policies were found on promise."""
        best = [NOTHING, *(each.expected for each in self.corners(models))]
        costs, qualities = [each.cost for each in best], [each.quality for each in best]
        return float(np.interp(self.spending, costs, qualities).mean())

    def worth(self, models: frozenset[int]) -> Numbers:
        """Return each unseen row's quality, averaged over budgets, (n,)."""
        best = self.corners(models)
        costs = np.array([0.0, *(each.expected.cost for each in best)])
        qualities = np.stack(
            [
                np.zeros(len(self.places)),
                *(self.unseen.under(each.chain, each.thresholds, None)[1] for each in best),
            ]
        )
        shares = _shares(costs, self.spending)  # (budgets, policies)
        worth: Numbers = shares.mean(0) @ qualities
        return worth

    @cached_property
    def _asks(self) -> list[frozenset[int]]:
        return [frozenset(each.chain) for each in self.candidates]


NOTHING = Estimate(0.0, 0.0)
"""What leaving a ticket unanswered costs and is worth."""


@dataclass(frozen=True)
class _Explored:
    """A log in folds, each with the policies that the other folds suggest."""

    rows: int
    folds: tuple[_Fold, ...]

    @classmethod
    def of(cls, outcomes: Outcomes, search: Search, spending: Numbers | None = None) -> "_Explored":
        spending = budgets(outcomes, search) if spending is None else spending
        order = np.random.default_rng(search.seed).permutation(len(outcomes))
        parts = np.array_split(order, FOLDS)
        folds = tuple(
            _Fold.of(
                outcomes.take(np.setdiff1d(order, part)),
                outcomes.take(part),
                part,
                spending,
                search,
            )
            for part in parts
        )
        return cls(len(outcomes), folds)

    def expected(self, models: frozenset[int]) -> float:
        """Return the worth that the folds' own rows promise."""
        return float(np.mean([fold.expected(models) for fold in self.folds]))

    def worth(self, models: frozenset[int]) -> Numbers:
        """Return each row's quality, averaged over budgets, by policies that never saw it, (n,)."""
        out = np.zeros(self.rows)
        for fold in self.folds:
            out[fold.places] = fold.worth(models)
        return out


def _corner_candidates(cloud: Cloud, rows: Rows) -> list[Candidate]:
    """Return those thresholds of one chain that no mix of two others beats."""
    cost, quality = cloud.cost.ravel(), cloud.quality.ravel()
    places = undominated(cost, quality)
    known = [Estimate(float(cost[place]), float(quality[place])) for place in places]
    return [cloud.candidate(int(places[kept]), rows) for kept in corners(known)]


def _shares(costs: Numbers, spending: Numbers) -> Numbers:
    """Return how much of each policy is in the mix for each budget, (budgets, policies)."""
    return np.stack([np.interp(spending, costs, unit) for unit in np.eye(len(costs))], axis=1)
