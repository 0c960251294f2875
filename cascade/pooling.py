"""Thresholds per segment, drawn to those of all customers where a segment has few rows.

All segments share one price of quality, so that a dollar buys as much in each of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.chains import Candidate, Rows, cloud_of, grid_of, thresholds_at
from cascade.replay import NO_SEGMENT, Human

Numbers = NDArray[np.float64]
Members = Mapping[str, NDArray[np.intp]]
"""The rows of each segment; those of `NO_SEGMENT` keep the thresholds for all."""

FOLDS = 5
PRIORS = (30.0, 100.0, 300.0, 1000.0, 3000.0)
"""How many rows of all segments may stand beside a segment's own when its thresholds are chosen."""
CONVINCING = 2.0
"""How many standard errors the gain must be above nothing."""


@dataclass(frozen=True)
class Pooled:
    """What thresholds per segment are worth, on rows that had no part in choosing them.

    `rows` of all segments stand beside each segment's own. `gain` is in quality, at each point's
    own price of quality and averaged over the points, against one threshold for all; `error` is its
    standard error. Where the gain is not above twice that, one threshold for all is `kept`.
    """

    rows: float
    gain: float
    error: float

    @property
    def kept(self) -> bool:
        """Whether one threshold for all stays."""
        return self.gain <= CONVINCING * self.error


def worth_of_segments(
    rows: Rows,
    members: Members,
    priced: Sequence[tuple[Candidate, float]],
    human: Human | None,
    seed: int,
) -> Pooled:
    """Measure thresholds per segment for candidates, each with its price in dollars of quality 1.

    The prior that does best across folds is taken, so its gain is slightly flattered.
    """
    count = len(rows.chance)
    fold = np.random.default_rng(seed).permutation(count) % min(FOLDS, count)
    gains = np.zeros((len(PRIORS), count))
    for number in range(int(fold.max()) + 1):
        known = np.flatnonzero(fold != number)
        for candidate, price in priced:
            table = _Table.of(rows, known, members, candidate, price, human)
            for name, own in members.items():
                if name == NO_SEGMENT:
                    continue
                held_out = own[fold[own] == number]
                gains[:, held_out] += table.gains(rows.take(held_out), name)
    gains /= max(1, len(priced))
    best = int(gains.mean(1).argmax())
    error = gains[best].std() / np.sqrt(count)
    return Pooled(PRIORS[best], float(gains[best].mean()), float(error))


def segment_thresholds(
    rows: Rows,
    members: Members,
    candidate: Candidate,
    price: float,
    human: Human | None,
    prior: float,
) -> dict[str, tuple[float, ...]]:
    """Return each segment's thresholds, a number per tier; no segment has the candidate's own."""
    table = _Table.of(rows, np.arange(len(rows.chance)), members, candidate, price, human)
    own = {name: table.thresholds(name, prior) for name in members if name != NO_SEGMENT}
    return {name: own.get(name, candidate.thresholds) for name in members}


@dataclass(frozen=True)
class _Table:
    """For one chain, what every combination of thresholds is worth to each segment.

    `values` sum quality less cost at its price over a segment's rows, `counts` are those rows.
    """

    rows: Rows
    candidate: Candidate
    price: float
    human: Human | None
    values: Mapping[str, Numbers]
    counts: Mapping[str, int]

    @classmethod
    def of(
        cls,
        rows: Rows,
        known: NDArray[np.intp],
        members: Members,
        candidate: Candidate,
        price: float,
        human: Human | None,
    ) -> "_Table":
        own = {name: np.intersect1d(known, places) for name, places in members.items()}
        values = {
            name: _worth(rows.take(places), candidate, price, human) for name, places in own.items()
        }
        counts = {name: len(places) for name, places in own.items()}
        return cls(rows, candidate, price, human, values, counts)

    def thresholds(self, segment: str | None, prior: float) -> tuple[float, ...]:
        """Return the best thresholds for a segment, or for all."""
        total = np.sum(list(self.values.values()), axis=0)
        value = total
        if segment is not None:
            value = self.values[segment] + prior * total / max(1, sum(self.counts.values()))
        chain, last = self.candidate.chain, self.candidate.last
        return thresholds_at(self.rows, chain, last, int(value.argmax()))

    def gains(self, unseen: Rows, segment: str) -> Numbers:
        """Return what a segment's own thresholds add to each unseen row, (priors, n)."""
        common = self._value(unseen, self.thresholds(None, 0.0))
        own = [self._value(unseen, self.thresholds(segment, prior)) for prior in PRIORS]
        return np.stack(own) - common

    def _value(self, unseen: Rows, thresholds: tuple[float, ...]) -> Numbers:
        cost, quality = unseen.under(self.candidate.chain, thresholds, self.human)
        return quality - cost / self.price


def _worth(rows: Rows, candidate: Candidate, price: float, human: Human | None) -> Numbers:
    """Return quality less cost at its price, summed over rows, for all thresholds of the chain."""
    if not len(rows.chance):
        return np.zeros(int(np.prod(grid_of(rows, candidate.chain, candidate.last))))
    cloud = cloud_of(rows, candidate.chain, candidate.last, human)
    return (cloud.quality - cloud.cost / price).ravel() * len(rows.chance)
