"""Whether accepted answers still keep to what was certified, told while feedback comes in."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cascade.bounds import Numbers
from cascade.certify import check_share
from cascade.errors import BadOutcomes

STAKES = np.geomspace(0.01, 0.9, 12)
"""Parts of the capital that are bet; the best one is (error - limit) / (1 - limit)."""

LIMITS = np.arange(1, 200) / 200
"""The errors among which the bounds are looked for."""

ENOUGH = 1e100
"""Capital beyond any alarm; more is not counted, so that it stays a number."""


@dataclass(frozen=True)
class Watched:
    """What n answers say, in the order they came.

    `alarm_at` is the place of the answer that raised the alarm, None while all is well. With the
    watch's confidence, and at every moment, the error has at some time been at least `lower` (n,);
    likewise it has been at most `upper` (n,). While the error is steady both bound it.
    """

    alarm_at: int | None
    lower: Numbers
    upper: Numbers

    @property
    def alarm(self) -> bool:
        """Whether the error has been above what was certified."""
        return self.alarm_at is not None


@dataclass(frozen=True)
class Watch:
    """Raises an alarm when accepted answers are wrong more often than certified.

    While the error, given all that came before, never is above `max_error`, the chance of any alarm
    is at most 1 - `confidence`, however long the stream and however often one looks.

    >>> Watch(0.05, 0.95).after([0, 0, 1, 0]).alarm
    False

    Raises `BadOutcomes` unless both are in (0, 1).
    """

    max_error: float = 0.05
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_share("max_error", self.max_error)
        check_share("confidence", self.confidence)

    def alarm_at(self, wrong: ArrayLike) -> int | None:
        """The place of the answer that raised the alarm in a stream like that of `after`."""
        values = _checked(wrong)
        told = enumerate(capital(values, np.array([self.max_error])))
        return next((place for place, became in told if became[0] >= self._enough), None)

    def after(self, wrong: ArrayLike) -> Watched:
        """What the stream so far says; `BadOutcomes` for wrongness (n,) outside [0, 1]."""
        values = _checked(wrong)
        # Each side may fail half as often, so that both hold together.
        both = 2 * self._enough
        lower, upper = _lower(values, both), 1 - _lower(1 - values, both)
        return Watched(self.alarm_at(values), lower, upper)

    @property
    def _enough(self) -> float:
        return 1 / (1 - self.confidence)


def capital(values: Numbers, limits: Numbers) -> Iterator[Numbers]:
    """What one dollar becomes, value by value, by betting that the error is above limits (m,).

    While no value's mean, given those before, is above the limit, this is a supermartingale, and
    the chance that it ever reaches 1 / a is at most a (Ville 1939). The dollar is divided among
    stakes (Waudby-Smith & Ramdas, JRSS B 2023) and among moments at which the betting begins, so
    that a long good past is not lost before a drift is noticed (after Shin, Ramdas & Rinaldo, New
    England Journal of Statistics in Data Science 2023).
    """
    kept, odds = 1 - STAKES, STAKES / limits[:, None]  # (stakes,), (m, stakes)
    grown, parts = np.zeros_like(odds), np.full(len(STAKES), 1 / len(STAKES))
    waiting = 1.0
    for place, value in enumerate(values):
        still = 1 / (1 + math.log(place + 2))
        grown = np.minimum((grown + (waiting - still)) * (kept + odds * value), ENOUGH)
        waiting = still
        yield grown @ parts + waiting


def _lower(values: Numbers, enough: float) -> Numbers:
    """The largest limit that was ever refuted so far, (n,); 0 while there is none."""
    told = capital(values, LIMITS)
    largest = [LIMITS[became >= enough].max(initial=0.0) for became in told]
    return np.maximum.accumulate(np.array(largest, dtype=np.float64))


def _checked(wrong: ArrayLike) -> Numbers:
    values = np.asarray(wrong, dtype=np.float64)
    bad = values[~((values >= 0) & (values <= 1))]
    if values.ndim != 1 or len(bad):
        raise BadOutcomes(
            f"wrongness of shape {values.shape} with {len(bad)} values outside [0, 1]; expected "
            "1 - quality of each answer, in the order they came"
        )
    return values
