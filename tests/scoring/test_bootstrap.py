"""Intervals over resampled customers: rows of one customer come and go together."""

import numpy as np
import pytest

from scoring.bootstrap import Array, Figure, Resamples


def share(labels: Array, weights: Array) -> float | None:
    """Return the weighted share of ones, None where nothing weighs."""
    return float(labels @ weights / weights.sum()) if weights.sum() else None


def test_rows_of_one_customer_count_as_one() -> None:
    labels = np.tile([0.0, 1.0], 20)
    alone = Resamples([f"c-{row}" for row in range(40)], count=400, seed=0)
    by_ten = Resamples([f"c-{row % 4}" for row in range(40)], count=400, seed=0)
    wide, narrow = (each.figure(lambda weights: share(labels, weights)) for each in (by_ten, alone))
    assert (alone.customers, by_ten.customers) == (40, 4)
    assert wide.value == narrow.value == 0.5
    assert (wide.low, wide.high) == (0.0, 1.0)
    # 95 % of the shares of 40 fair coins lie within .15 of a half.
    assert narrow.low == pytest.approx(0.35, abs=0.03)
    assert narrow.high == pytest.approx(0.65, abs=0.03)


def test_weights_multiply_what_is_drawn() -> None:
    labels, weights = np.array([0.0, 1.0]), np.array([3.0, 1.0])
    found = Resamples(["a", "a"], count=50, seed=1).figure(lambda w: share(labels, w), weights)
    assert found == Figure(0.25, 0.25, 0.25)
    assert (str(found), found.signed) == (
        "0.250 (0.250 to 0.250)",
        "+0.250 (+0.250 to +0.250)",
    )


def test_a_resample_without_the_figure_does_not_count_and_none_at_all_is_none() -> None:
    labels = np.array([1.0, 0.0, 0.0])
    resamples = Resamples(["a", "b", "c"], count=200, seed=0)
    of_a = resamples.figure(lambda w: share(labels, w * labels))
    assert of_a == Figure(1.0, 1.0, 1.0)
    undefined = resamples.figure(lambda w: None)
    assert (str(undefined), undefined.signed) == ("not defined", "not defined")


def test_the_same_seed_draws_the_same() -> None:
    labels = np.arange(9.0)
    names = [f"c-{row // 2}" for row in range(9)]
    first, again, other = (
        Resamples(names, count=30, seed=seed).figure(lambda w: share(labels, w))
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first.low != other.low
