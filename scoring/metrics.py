"""Metrics of probabilities against labels, as pure functions; None where a figure is not defined.

Each takes labels in {0, 1}, chances in [0, 1] and optional weights, all (n,). With whole numbers as
weights a row counts that many times, which is how the bootstrap resamples.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ECE_BINS = 10


def auc(labels: Array, chances: Array, weights: Array | None = None) -> float | None:
    """Return the chance that a row with label 1 scores above one with label 0, ties counting half.

    None where one of the classes is missing.
    """
    weights = _weights(labels, weights)
    positive, negative = weights * labels, weights * (1 - labels)
    if positive.sum() == 0 or negative.sum() == 0:
        return None
    _, group = np.unique(chances, return_inverse=True)
    positive_at = np.bincount(group, positive)
    negative_at = np.bincount(group, negative)
    below = np.cumsum(negative_at) - negative_at
    won = float((positive_at * (below + negative_at / 2)).sum())
    return won / float(positive.sum() * negative.sum())


def accuracy(labels: Array, chances: Array, weights: Array | None = None) -> float | None:
    """Return the share of rows on the right side of 0.5; None without rows."""
    return _average((chances >= 0.5) == (labels == 1), _weights(labels, weights))


def brier(labels: Array, chances: Array, weights: Array | None = None) -> float | None:
    """Return the mean squared distance between chance and label; None without rows."""
    return _average((chances - labels) ** 2, _weights(labels, weights))


def expected_calibration_error(
    labels: Array, chances: Array, weights: Array | None = None
) -> float | None:
    """Return the mean distance between chance and share of 1s over ten bins of equal width.

    None without rows. Source: Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    weights = _weights(labels, weights)
    if weights.sum() == 0:
        return None
    bins = np.minimum((chances * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights * (chances - labels), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def _weights(labels: Array, weights: Array | None) -> Array:
    return np.ones(len(labels)) if weights is None else weights


def _average(values: NDArray[np.bool_] | Array, weights: Array) -> float | None:
    total = float(weights.sum())
    return None if total == 0 else float((values * weights).sum() / total)
