"""Logs of worlds whose truth is known: how hard rows are, what models can do, what scores say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cascade.chains import Rows
from cascade.chances import chances_of, expected_quality, fit_knots, out_of_fold
from cascade.optimiser import Frontier, Search
from cascade.replay import Outcomes, Row

Numbers = NDArray[np.float64]

ABILITIES = (-1.2, -0.1, 1.0, 2.2)
PRICES = (0.0001, 0.0006, 0.004, 0.02)


def log(
    score: Numbers,
    quality: Numbers,
    cost: Numbers,
    segments: Sequence[str | None] | None = None,
    models: Sequence[str] | None = None,
) -> Outcomes:
    """A log of (n, m) scores, grades and costs; without `segments` no row has one."""
    n, m = score.shape
    names = tuple(models or (f"m{place}" for place in range(m)))
    own = segments or [None] * n
    rows = tuple(Row(f"q-{place}", own[place], None, None, ("",) * m) for place in range(n))
    nothing = np.full((n, m), np.nan)
    return Outcomes("test.jsonl", rows, names, ("llm",) * m, cost, quality, score, nothing)


def world(
    rows: int, seed: int, *, models: int = 4, noise: float = 1.0, informed: float = 1.2
) -> Outcomes:
    """A log of models that rise in ability and price; scores tell, with noise, what is right."""
    random = np.random.default_rng(seed)
    hard = random.normal(size=(rows, 1))
    odds = 1.5 * (np.array(ABILITIES[:models]) - hard)
    quality = (random.random(odds.shape) < chance_of(odds)).astype(float)
    signs = 2 * quality - 1
    score = chance_of(0.4 * odds + informed * signs + noise * random.normal(size=odds.shape))
    cost = np.array(PRICES[:models]) * random.lognormal(0, 0.3, odds.shape)
    return log(score, quality, cost)


def chance_of(odds: Numbers) -> Numbers:
    """The chance that log odds stand for."""
    chance: Numbers = 1 / (1 + np.exp(-odds))
    return chance


SMALL = Search(depth=4, bins=4)


def values(frontier: Frontier) -> list[tuple[float, float]]:
    """Cost and quality of every point."""
    return [(point.expected.cost, point.expected.quality) for point in frontier.points]


def rows_of(outcomes: Outcomes, search: Search) -> Rows:
    """What the optimiser searches, put together from what is public."""
    priced = search.priced(outcomes)
    unseen = out_of_fold(priced.score, priced.quality, search.seed)
    expected = expected_quality(unseen, priced.quality, search.seed)
    knots = [fit_knots(s, q) for s, q in zip(priced.score.T, priced.quality.T, strict=True)]
    return Rows.of(chances_of(priced.score, knots), expected, priced.cost, search.bins)
