"""Every chain with every combination of thresholds, from cumulated sums.

A row's chances are binned by each model's candidate thresholds. The rows that all models of a
chain reject are then a corner of a histogram over their bins, so that one cumulated sum per axis
gives quality and cost of all combinations at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.replay import Human

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

Chain = tuple[int, ...]

Skip = Callable[[Chain, Chain], bool]
"""Whether no chain that starts with the first models and goes on with some of the others helps."""

ALWAYS, NEVER = 0.0, 1.0
"""The last tier's threshold where it answers in any case, and where it leaves it to others: to the
human where there is one, else to the best-scored answer seen."""


@dataclass(frozen=True)
class Rows:
    """What is known of n rows and m models, and the thresholds that may be set.

    `chance`, `quality` and `cost` are (n, m); `thresholds` has the candidates of each model,
    rising; `bins` (n, m) counts how many of its model's thresholds a chance reaches.
    """

    chance: Numbers
    quality: Numbers
    cost: Numbers
    thresholds: tuple[Numbers, ...]
    bins: Places

    @classmethod
    def of(cls, chance: Numbers, quality: Numbers, cost: Numbers, bins: int) -> "Rows":
        """Put thresholds at the quantiles of each model's chances; at most `bins` bins."""
        shares = np.arange(1, bins) / bins
        thresholds = tuple(_candidates(column, shares) for column in chance.T)
        places = [
            np.searchsorted(known, column, side="right")
            for known, column in zip(thresholds, chance.T, strict=True)
        ]
        return cls(chance, quality, cost, thresholds, np.stack(places, axis=1))

    def under(
        self, chain: Chain, thresholds: Sequence[float], human: Human | None
    ) -> tuple[Numbers, Numbers]:
        """Return what a chain with thresholds costs and gets right, row by row: (n,) and (n,)."""
        columns = np.array(chain)
        chance = self.chance[:, columns]
        passes = chance >= np.array(thresholds)
        accepted, rows = passes.any(1), np.arange(len(chance))
        last = np.where(accepted, passes.argmax(1), len(chain) - 1)
        given = np.where(accepted, last, chance.argmax(1))
        cost = self.cost[:, columns].cumsum(1)[rows, last]
        quality = self.quality[rows, columns[given]]
        if human is None:
            return cost, quality
        handed = ~accepted
        return cost + handed * human.price, np.where(handed, human.quality, quality)

    def rejected(self, chain: Chain, thresholds: Sequence[float]) -> NDArray[np.bool_]:
        """Return which rows a chain with thresholds accepts no answer for, (n,)."""
        passes = self.chance[:, np.array(chain)] >= np.array(thresholds)
        accepted: NDArray[np.bool_] = passes.max(1)
        return ~accepted

    def take(self, rows: Places) -> "Rows":
        """Return these rows, with the same thresholds."""
        return Rows(
            self.chance[rows], self.quality[rows], self.cost[rows], self.thresholds, self.bins[rows]
        )


@dataclass(frozen=True)
class Estimate:
    """Averages over rows: US dollars a ticket, quality, the share that no tier accepts."""

    cost: float
    quality: float
    escalated: float = 0.0

    def mixed(self, other: "Estimate", share: float) -> "Estimate":
        """Return what results where a share of the tickets goes the other way."""
        return Estimate(
            (1 - share) * self.cost + share * other.cost,
            (1 - share) * self.quality + share * other.quality,
            (1 - share) * self.escalated + share * other.escalated,
        )

    def slope_to(self, dearer: "Estimate") -> float:
        """Return the quality that a dollar more buys on the way to a dearer estimate."""
        return (dearer.quality - self.quality) / max(1e-300, dearer.cost - self.cost)


@dataclass(frozen=True)
class Candidate:
    """A chain with a threshold for every tier, and what is expected of it."""

    chain: Chain
    thresholds: tuple[float, ...]
    last: float | None
    expected: Estimate


@dataclass(frozen=True)
class Cloud:
    """One chain with all its thresholds: average cost, quality and share that goes to the human.

    The three arrays have an axis for every tier that has thresholds; `last` is the threshold of
    the last tier where it has no axis. `handed` counts what no tier accepts, human or not.
    """

    chain: Chain
    last: float | None
    cost: Numbers
    quality: Numbers
    handed: Numbers

    def candidate(self, place: int, rows: Rows) -> Candidate:
        """Return what stands at a flat place of the arrays."""
        thresholds = thresholds_at(rows, self.chain, self.last, place)
        found = (float(array.flat[place]) for array in (self.cost, self.quality, self.handed))
        return Candidate(self.chain, thresholds, self.last, Estimate(*found))


def grid_of(rows: Rows, chain: Chain, last: float | None) -> tuple[int, ...]:
    """Return how many thresholds each tier has to choose from, in a cloud of this chain."""
    tiers = chain if last is None else chain[:-1]
    return tuple(len(rows.thresholds[model]) for model in tiers)


def thresholds_at(rows: Rows, chain: Chain, last: float | None, place: int) -> tuple[float, ...]:
    """Return the thresholds, one per tier, at a flat place of a cloud of this chain."""
    axes = (
        np.unravel_index(place, grid_of(rows, chain, last))
        if len(chain) > 1 or last is None
        else ()
    )
    own = [float(rows.thresholds[model][at]) for model, at in zip(chain, axes, strict=False)]
    return (*own, *(() if last is None else (last,)))


def _nothing(_: Chain, __: Chain) -> bool:
    return False


def clouds(
    rows: Rows, *, depth: int, human: Human | None = None, skip: Skip = _nothing
) -> Iterator[Cloud]:
    """Yield every cost-ordered chain of at most `depth` models with all its thresholds.

    `skip` is asked before a chain is begun or gone on with. The last tier answers in any case, or
    leaves it to the best-scored answer seen; with a human it leaves it to them, always or below a
    threshold of its own.
    """
    root = _Prefix.root(rows, human)
    cheapest_first = np.argsort(rows.cost.mean(0), kind="stable")
    yield from root.extended(tuple(map(int, cheapest_first)), depth, skip)


def cloud_of(rows: Rows, chain: Chain, last: float | None, human: Human | None) -> Cloud:
    """Return the one cloud of this chain and last tier; costs as little as its arrays."""
    prefix = _Prefix.root(rows, human)
    for model in chain[:-1]:
        prefix = prefix.with_(model)
    found = prefix.ended(chain[-1])
    return next(each for each in found if each.last == last)


@dataclass(frozen=True)
class _Prefix:
    """A chain's first tiers, each with a threshold: an array has an axis for each of them.

    `rejected` (2 m + 1, ...) sums every model's quality, every model's cost and 1 over the rows
    that all of them reject; `right` and `spent` sum the quality of accepted answers and the cost.
    """

    rows: Rows
    human: Human | None
    chain: Chain
    cells: Places
    rejected: Numbers
    right: Numbers
    spent: Numbers

    @classmethod
    def root(cls, rows: Rows, human: Human | None) -> "_Prefix":
        sums = np.concatenate([rows.quality, rows.cost, np.ones((len(rows.cost), 1))], axis=1)
        zero = np.zeros(())
        return cls(rows, human, (), np.zeros(len(rows.cost), np.intp), sums.sum(0), zero, zero)

    def extended(self, models: Chain, depth: int, skip: Skip) -> Iterator[Cloud]:
        """Yield the clouds of all chains that go on with some of these models, in this order."""
        for place, model in enumerate(models):
            dearer = models[place + 1 :]
            if skip((*self.chain, model), dearer):
                continue
            yield from self.ended(model)
            if dearer and len(self.chain) + 1 < depth and len(self.rows.thresholds[model]):
                yield from self.with_(model).extended(dearer, depth, skip)

    def ended(self, model: int) -> Iterator[Cloud]:
        """Yield the clouds of the chain that ends with this model."""
        chain, count = (*self.chain, model), self.rejected[-1]
        spent = self.spent + self.rejected[self._cost(model)]
        yield self._cloud(chain, ALWAYS, spent, self.right + self.rejected[model], 0 * count)
        if self.human is not None:
            yield from self._ended_by(self.human, model)
        elif self.chain:
            # A chance of exactly 1 is accepted even so.
            unsure = (self.rows.chance[:, model] < NEVER).astype(float)
            best, handed = self._summed(np.stack([self._best(chain), unsure], axis=1))
            yield self._cloud(chain, NEVER, spent, self.right + best, handed)

    def _ended_by(self, human: Human, model: int) -> Iterator[Cloud]:
        """Yield the clouds of the chain whose last model leaves rows to the human."""

        def cloud(last: float | None, spent: Numbers, right: Numbers, handed: Numbers) -> Cloud:
            spent, right = spent + human.price * handed, right + human.quality * handed
            return self._cloud((*self.chain, model), last, spent, right, handed)

        # A chance of exactly 1 is accepted even so.
        certain = (self.rows.chance[:, model] >= NEVER).astype(float)
        columns = np.stack([certain * self.rows.quality[:, model], 1 - certain], axis=1)
        right, handed = self._summed(columns)
        spent = self.spent + self.rejected[self._cost(model)]
        yield cloud(NEVER, spent, self.right + right, handed)
        if len(self.rows.thresholds[model]):
            whole = self.with_(model)
            yield cloud(None, whole.spent, whole.right, whole.rejected[-1])

    def with_(self, model: int) -> "_Prefix":
        """Return the prefix with one more tier that has a threshold."""
        width = len(self.rows.thresholds[model]) + 1
        cells = self.cells * width + self.rows.bins[:, model]
        after = _Prefix(
            self.rows,
            self.human,
            (*self.chain, model),
            cells,
            self.rejected,
            self.right,
            self.spent,
        )
        sums = [self.rows.quality, self.rows.cost, np.ones((len(cells), 1))]
        rejected = after._summed(np.concatenate(sums, axis=1))
        spent = self.spent + self.rejected[self._cost(model)]
        accepted = self.rejected[model][..., None] - rejected[model]
        return _Prefix(
            self.rows,
            self.human,
            after.chain,
            cells,
            rejected,
            self.right[..., None] + accepted,
            np.broadcast_to(spent[..., None], accepted.shape),
        )

    def _cost(self, model: int) -> int:
        return len(self.rows.thresholds) + model

    def _best(self, chain: Chain) -> Numbers:
        """Return the quality of the best-scored answer of these models, (n,)."""
        columns = np.array(chain)
        best = columns[self.rows.chance[:, columns].argmax(1)]
        quality: Numbers = self.rows.quality[np.arange(len(best)), best]
        return quality

    def _summed(self, columns: Numbers) -> Numbers:
        """Return columns (n, k) summed over the rows that every tier rejects, (k, ...)."""
        shape = [len(self.rows.thresholds[model]) + 1 for model in self.chain]
        size = int(np.prod(shape)) if shape else 1
        sums = [np.bincount(self.cells, weights=column, minlength=size) for column in columns.T]
        found: Any = np.stack(sums).reshape(len(sums), *shape)
        for axis in range(1, found.ndim):
            found = found.cumsum(axis)
        # A row is rejected by a threshold if its bin lies below it.
        rejected: Numbers = found[(slice(None), *(slice(0, width - 1) for width in shape))]
        return rejected

    def _cloud(
        self, chain: Chain, last: float | None, spent: Numbers, right: Numbers, handed: Numbers
    ) -> Cloud:
        count = len(self.cells)
        cost, quality, share = np.broadcast_arrays(spent / count, right / count, handed / count)
        return Cloud(chain, last, cost, quality, share)


def _candidates(chances: Numbers, shares: Numbers) -> Numbers:
    """Return the thresholds worth trying: quantiles that not every chance reaches."""
    known: Numbers = np.unique(np.quantile(chances, shares, method="higher"))
    worth_trying: Numbers = known[known > chances.min()]
    return worth_trying
