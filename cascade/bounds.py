"""How far a mean can be from what was seen of it: bounds that hold for every number of values."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]

HALVINGS = 50
"""Leaves a bound's place in [0, 1] open by 1e-15."""

BETS = 16
"""How many stakes the betting bound spreads its capital over."""

LARGEST_STAKE = 0.999


# The policies of a frontier accept much the same answers and ask for the same bounds again.
@lru_cache(maxsize=4096)
def binomial_upper(wrong: int, n: int, *, level: float) -> float:
    """The Clopper-Pearson upper bound: too low with at most this chance, for every n.

    The smallest probability under which as few as `wrong` of n have a chance of at most `level`
    (Clopper & Pearson, Biometrika 1934). Raises `ValueError` unless 0 <= wrong <= n and n > 0.
    """
    if not 0 <= wrong <= n or n < 1:
        raise ValueError(f"a bound from {wrong} of {n}; expected 0 <= wrong <= n, and n > 0")
    if wrong == n:
        return 1.0
    return _least(lambda p: binomial_tail(wrong, n, p) <= level, above=wrong / n)


def binomial_tail(most: int, n: int, p: float) -> float:
    """The chance of at most `most` successes in n tries of probability p; exact for n p >= most."""
    if most == n or p == 0:
        return 1.0
    if p == 1:
        return 0.0
    ways = math.lgamma(n + 1) - math.lgamma(most + 1) - math.lgamma(n - most + 1)
    largest = math.exp(ways + most * math.log(p) + (n - most) * math.log1p(-p))
    # Left of the mean each term is a fraction of the one above it, so nothing can overflow.
    tries = np.arange(most, 0, -1)
    fractions = tries * (1 - p) / ((n - tries + 1) * p)
    return largest * float(1 + np.cumprod(fractions).sum())


def betting_upper(values: ArrayLike, *, level: float) -> float:
    """An upper bound on the mean of values (n,) in [0, 1]: too low with at most this chance.

    A gambler bets that the mean is below m, by fixed stakes with equal parts of the capital. Were
    the mean m or more, the capital would reach 1 / level with at most the chance `level`; the bound
    is the least m at which it does (Waudby-Smith & Ramdas, JRSS B 2023, with a mixture in place of
    running stakes, so that the order of the values doesn't matter). Raises `ValueError` for no
    values, and for values outside [0, 1].
    """
    kinds, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if not len(kinds) or not (kinds[0] >= 0 and kinds[-1] <= 1):
        raise ValueError("a bound from no values, or from values outside [0, 1]")
    stakes = _stakes(int(counts.sum()), level)

    def refuted(m: float) -> bool:
        gains = np.log(1 - stakes + stakes * (1 - kinds[:, None]) / (1 - m))  # (kinds, stakes)
        capital = np.logaddexp.reduce(counts @ gains) - math.log(len(stakes))
        return bool(capital >= -math.log(level))

    return _least(refuted, above=float(kinds @ counts / counts.sum()))


def _stakes(n: int, level: float) -> Numbers:
    """Stakes for n values: the best one is sqrt(2 ln(1/level) / (n variance)), at most all."""
    least = math.sqrt(8 * -math.log(level) / n)
    return np.geomspace(min(least, LARGEST_STAKE), LARGEST_STAKE, BETS)


def _least(refuted: Callable[[float], bool], *, above: float) -> float:
    """The least m in [above, 1] that is refuted, where all m beyond one that is are so too."""
    low, high = above, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle < 1 and not refuted(middle):
            low = middle
        else:
            high = middle
    # The upper end, so that what is left open never makes the bound too low.
    return high
