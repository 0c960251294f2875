"""Thresholds for a new adapter, and whether a certificate outlives it."""

import numpy as np
import pytest

from cascade.policy import Instead, Policy, Tier
from cascade.recalibration import FEWEST_WRONG, FURTHEST, Rescored, accepts, recalibrated, recheck

POLICY = Policy((Tier("macros", "macro", 0.8), Tier("model", "llm", 0.7, {"gold": 0.75})))


def rows(*, candidate: float, count: int = 100, champion: float = 0.5) -> Rescored:
    """Half of the answers are wrong, and each adapter gives the wrong ones this chance."""
    labels = (np.arange(count) % 2).astype(float)
    said = [np.where(labels == 1, 0.95, chance) for chance in (champion, candidate)]
    return Rescored(labels, said[0], said[1])


def test_where_no_more_wrong_answers_would_pass_nothing_moves() -> None:
    assert recalibrated(POLICY, {"gold": rows(candidate=0.6)}) == POLICY


def test_a_segments_thresholds_rise_above_the_wrong_answers() -> None:
    moved = recalibrated(POLICY, {"gold": rows(candidate=0.82)})
    assert [tier.threshold_for("gold") for tier in moved.tiers] == [0.83, 0.83]
    assert [tier.threshold_for("guest") for tier in moved.tiers] == [0.8, 0.7]


def test_no_threshold_rises_too_far_or_falls() -> None:
    far = recalibrated(POLICY, {"gold": rows(candidate=0.99)})
    assert far.tiers[0].threshold_for("gold") == pytest.approx(0.8 + FURTHEST)
    assert recalibrated(POLICY, {"gold": rows(candidate=0.1, champion=0.9)}) == POLICY


def test_few_wrong_answers_move_nothing() -> None:
    few = rows(candidate=0.82, count=2 * (FEWEST_WRONG - 1))
    assert recalibrated(POLICY, {"gold": few}) == POLICY


def test_a_tiers_calibration_comes_first_and_the_other_way_moves_too() -> None:
    tier = Tier("macros", "macro", 0.8, calibration=((0.0, 0.0), (1.0, 0.5)))
    never = Policy((tier,), instead=Instead(0.5, (Tier("model", "llm", 0.8),)))
    moved = recalibrated(never, {"gold": rows(candidate=0.82)})
    assert moved.tiers == never.tiers
    assert moved.instead
    assert moved.instead.tiers[0].threshold_for("gold") == 0.83


def test_an_answer_is_accepted_where_any_tier_accepts_it() -> None:
    taken = accepts(POLICY, None, np.array([0.69, 0.7, 0.9]))
    assert taken.tolist() == [False, True, True]


def test_a_certificate_is_kept_up_by_enough_right_answers_only() -> None:
    kept = recheck(POLICY, "gold", rows(candidate=0.1), max_error=0.1, confidence=0.95)
    assert (kept.accepted, kept.wrong, kept.holds) == (50, 0, True)
    few = recheck(POLICY, "gold", rows(candidate=0.1, count=20), max_error=0.1, confidence=0.95)
    assert not few.holds
    wrong = recheck(POLICY, "gold", rows(candidate=0.9), max_error=0.1, confidence=0.95)
    assert (wrong.accepted, wrong.wrong, wrong.holds) == (100, 50, False)


def test_what_accepts_nothing_breaks_no_promise() -> None:
    none = Rescored(np.zeros(3), np.zeros(3), np.zeros(3))
    assert recheck(POLICY, "gold", none, max_error=0.05, confidence=0.95).holds
