"""What the layers' states tell about a text, read anew for each topic.

One reading serves all topics, and misses what only one of them knows: that store credit refuses
who asked for money back, but that a repair refuses who asked for a refund. So what is linear in the
layers' states is learnt topic by topic too, every topic drawn to what holds for all.
"""

from dataclasses import dataclass

import numpy as np

from scoring.beliefs import Beliefs, Scores
from scoring.ridge import evidence
from scoring.topics import Array, Places

FOR_ALL = 0.5
"""What a text of another topic counts, beside 1 more for one of the same topic."""
MOST_TEXTS = 4000
"""How many texts are learnt from at most; of more, some are drawn."""


@dataclass(frozen=True)
class ByTopic:
    """Log odds of granting, linear in pooled states (n, wide), topic by topic.

    The states are taken from `centre` (wide,) and brought to unit length; `weights`
    (partitions * topics + 1, wide + 1) have a bias in the last column, and what holds for all
    topics in the last row.
    """

    centre: Array
    weights: Array
    leaning: Array

    def granting(self, pooled: Array, places: Places) -> Scores:
        """Return the log odds that answers grant what was asked, (n,)."""
        shares = _with_one(places.shares())
        told = ((shares @ self.weights) * _with_one(_direction(pooled - self.centre))).sum(1)
        total: Scores = told.astype(np.float64) + float(self.leaning[0])
        return total


def fit_by_topic(
    pooled: Array, places: Places, beliefs: Beliefs, answers: Array, random: np.random.Generator
) -> ByTopic:
    """Return what best tells what is believed of texts with these pooled states, (n, wide).

    `answers` (n, dim) are their answers' plain vectors. Solved as kernel ridge regression, because
    there are far fewer texts than weights.
    """
    if len(pooled) > MOST_TEXTS:
        kept = np.sort(random.choice(len(pooled), MOST_TEXTS, replace=False))
        pooled, places, answers = pooled[kept], places.take(kept), answers[kept]
        beliefs = beliefs.take(kept)
    centre = pooled.mean(0)
    states, shares = _with_one(_direction(pooled - centre)), places.shares()
    partitions = places.first.shape[1]
    alike = (states @ states.T) * (shares @ shares.T / partitions + FOR_ALL)
    told, leaning = evidence(alike, beliefs, answers, random)
    counted = np.concatenate([shares / partitions, np.full((len(shares), 1), FOR_ALL)], axis=1)
    weights = (counted * told[:, None]).T @ states
    return ByTopic(centre, weights.astype(np.float32), np.array([leaning], dtype=np.float32))


def _direction(states: Array) -> Array:
    length = np.linalg.norm(states, axis=1, keepdims=True)
    out: Array = states / np.maximum(length, 1e-6)
    return out


def _with_one(rows: Array) -> Array:
    return np.concatenate([rows, np.ones((len(rows), 1), dtype=rows.dtype)], axis=1)
