"""Intervals by the bootstrap: whole customers are drawn again, because their rows err together.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, percentile intervals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.examples import numbered

Array = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval, over resampled customers; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return self._told(".3f")

    @property
    def signed(self) -> str:
        """The same with its sign, for a difference."""
        return self._told("+.3f")

    def _told(self, form: str) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "not defined"
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


class Resamples:
    """The same resamples of customers for every figure over the same rows.

    `customers` (n,), at least one, says whose each row is; each of the `count` resamples draws as
    many customers as there are, with replacement.
    """

    def __init__(self, customers: Sequence[str], *, count: int, seed: int) -> None:
        self._owner = numbered(customers)
        people = int(self._owner.max()) + 1
        self.customers = people
        random, even = np.random.default_rng(seed), np.full(people, 1 / people)
        # Kept by customer, not by row: of many rows a resample is looked at one at a time.
        self._drawn = random.multinomial(people, even, size=count).astype(np.int32)

    def figure(
        self, measure: Callable[[Array], float | None], weights: Array | None = None
    ) -> Figure:
        """Return what `measure` makes of the rows' weights, (n,), by default 1 each.

        Resamples for which it is not defined don't count.
        """
        own = np.ones(len(self._owner)) if weights is None else weights
        value = measure(own)
        drawn = (measure(own * counts[self._owner]) for counts in self._drawn)
        defined = [each for each in drawn if each is not None] if value is not None else []
        if value is None or not defined:
            return Figure(None, None, None)
        low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return Figure(value, float(low), float(high))
