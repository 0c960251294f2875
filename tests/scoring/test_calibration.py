"""Calibration: scores become shares, separable rows stay finite, JSON gives the same again."""

import numpy as np
import pytest

from scoring.calibration import Calibration, fit_platt
from scoring.metrics import expected_calibration_error


def test_overconfident_scores_become_shares() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    labels = (random.random(4000) < 1 / (1 + np.exp(-truth))).astype(float)
    raw = 4 * truth + 2
    fitted = fit_platt(raw, labels)
    assert fitted.slope == pytest.approx(0.25, abs=0.05)
    assert fitted.intercept == pytest.approx(-0.5, abs=0.1)
    before = expected_calibration_error(labels, Calibration().apply(raw))
    after = expected_calibration_error(labels, fitted.apply(raw))
    assert before is not None
    assert after is not None
    assert after < 0.03 < before


def test_order_is_kept() -> None:
    raw = np.linspace(-5, 5, 100)
    labels = (np.arange(100) % 3 == 0).astype(float)
    assert (
        np.all(np.diff(fit_platt(raw, labels).apply(raw)) >= 0) or fit_platt(raw, labels).slope < 0
    )


def test_separable_rows_stay_finite() -> None:
    raw = np.concatenate([np.full(30, -9.0), np.full(30, 9.0)])
    fitted = fit_platt(raw, (raw > 0).astype(float))
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    assert 0 < fitted.apply(np.array([-9.0]))[0] < 0.1


@pytest.mark.parametrize("labels", [np.zeros(50), np.ones(50), np.array([0.0, 1.0])])
def test_too_little_to_fit_leaves_the_score_as_it_is(labels: np.ndarray) -> None:
    assert fit_platt(np.linspace(-1, 1, len(labels)), labels) == Calibration(rows=0)


def test_extreme_scores_give_probabilities() -> None:
    chances = Calibration().apply(np.array([-1e9, 0.0, 1e9]))
    assert chances.tolist() == pytest.approx([0, 0.5, 1])


def test_json_gives_the_calibration_again() -> None:
    calibration = Calibration(0.25, -1.5, 640)
    assert Calibration.from_json(calibration.as_json()) == calibration


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "isotonic"}'])
def test_a_bent_calibration_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        Calibration.from_json(text)


def test_few_rows_stay_near_the_prior_and_many_leave_it() -> None:
    prior = Calibration(0.5, 1.0, 1000)
    random = np.random.default_rng(0)

    def slope(rows: int) -> float:
        raw = random.normal(size=rows)
        labels = (random.random(rows) < 1 / (1 + np.exp(-2 * raw))).astype(float)
        return fit_platt(raw, labels, prior=prior).slope

    assert slope(25) < 1.2
    assert slope(5000) == pytest.approx(2, abs=0.2)
    assert fit_platt(np.ones(3), np.ones(3), prior=prior) == prior
