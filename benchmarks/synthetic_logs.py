"""Logs without end for measurements of speed: models of rising skill and price, scores with noise.

A question has a difficulty that all models share and one of its own for each; a score sees the
chance of being right through noise. Costs vary with the question's length.
"""

import numpy as np

from cascade.policy import Source
from cascade.replay import Outcomes, Row

SEGMENTS = ("guest", "bronze", "silver", "gold")


def synthetic_log(rows: int, models: int, *, seed: int = 0) -> Outcomes:
    """Return a scored log; the same for the same arguments."""
    random = np.random.default_rng(seed)
    shape = (rows, models)
    skill = np.linspace(-0.5, 2.5, models) + random.normal(0, 0.2, models)
    odds = skill - random.normal(0, 1.5, (rows, 1)) - random.normal(0, 0.8, shape)
    right = (random.logistic(size=shape) < odds).astype(np.float64)
    scores = 1 / (1 + np.exp(-0.7 * (odds + random.normal(0, 1, shape))))
    costs = np.geomspace(1e-5, 2e-3, models) * random.lognormal(0, 0.3, (rows, 1))
    asked = tuple(
        Row(f"q-{number}", SEGMENTS[number % len(SEGMENTS)], None, None, ("",) * models)
        for number in range(rows)
    )
    names = tuple(f"model-{number}" for number in range(models))
    llm: Source = "llm"
    unknown = np.full(shape, np.nan)
    return Outcomes("synthetic", asked, names, (llm,) * models, costs, right, scores, unknown)
