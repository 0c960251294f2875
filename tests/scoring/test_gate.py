"""What the gate lets through, and what it says where it does not."""

from dataclasses import replace

import numpy as np
import pytest

from scoring.gate import Judgement, Part, judge

ROWS = 200
THRESHOLD = 0.8


def part(
    *,
    name: str = "held-out feedback",
    rows: int = ROWS,
    champion: float = 0.7,
    candidate: float = 0.9,
    strict: bool = True,
    seed: int = 0,
) -> Part:
    """Rows on which each adapter is right about so large a share of them."""
    random = np.random.default_rng(seed)
    labels = (np.arange(rows) % 2).astype(float)
    told = [said(labels, share, random) for share in (champion, candidate)]
    return Part(
        name=name,
        segment="gold",
        labels=labels,
        weights=np.ones(rows),
        customers=np.array([f"c-{number % 40}" for number in range(rows)]),
        champion=told[0],
        candidate=told[1],
        taken_champion=told[0] >= THRESHOLD,
        taken_candidate=told[1] >= THRESHOLD,
        strict=strict,
    )


def said(labels: np.ndarray, right: float, random: np.random.Generator) -> np.ndarray:
    agrees = random.random(len(labels)) < right
    return np.where(agrees == (labels == 1), 0.85, 0.15)


def the_same(*, rows: int = ROWS) -> Part:
    made = part(rows=rows, champion=0.8)
    return replace(made, candidate=made.champion, taken_candidate=made.taken_champion)


def test_a_better_candidate_is_promoted_and_the_gain_is_named() -> None:
    verdict = judge([part()], more_data=False)
    assert (verdict.promote, verdict.verdict) == (True, "better than the champion")
    assert "held-out feedback of gold: log loss -" in verdict.reasons[0]
    assert verdict.parts[0].won


def test_a_worse_candidate_is_refused_in_words_and_numbers() -> None:
    verdict = judge([part(champion=0.9, candidate=0.7)], more_data=True)
    assert not verdict.promote
    assert "known-wrong answers it would accept" in verdict.reasons[0]
    assert any("log loss +" in reason for reason in verdict.reasons)


def test_a_tie_is_enough_with_more_data_only() -> None:
    assert judge([the_same()], more_data=True).promote
    refused = judge([the_same()], more_data=False)
    assert not refused.promote
    assert "no more data" in refused.verdict


def test_equal_shares_of_uneven_weights_are_equal() -> None:
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    taken = np.array([False, False, True, False]), np.array([True, True, False, False])
    made = replace(
        part(rows=4),
        labels=np.zeros(4),
        weights=weights,
        taken_champion=taken[0],
        taken_candidate=taken[1],
    )
    assert not judge([made], more_data=True).parts[0].losses


def test_a_loss_anywhere_outweighs_a_win_elsewhere() -> None:
    lost = part(name="regression set", champion=0.95, candidate=0.7, seed=1)
    verdict = judge([part(), lost], more_data=True)
    assert not verdict.promote
    assert all(reason.startswith("regression set of gold") for reason in verdict.reasons)


def test_one_more_wrong_answer_is_too_many_on_the_regression_set() -> None:
    few = the_same(rows=6)
    taken = few.taken_champion.copy()
    wrong = int(np.flatnonzero((few.labels == 0) & ~taken)[0])
    taken[wrong] = True
    verdict = judge([replace(few, taken_candidate=taken)], more_data=True)
    assert not verdict.promote
    assert "known-wrong" in verdict.reasons[0]


def test_labels_older_than_the_feedback_forgive_a_little() -> None:
    made = part(name="imported", champion=0.85, strict=False)
    slightly = np.where(np.arange(ROWS) < 2, 1 - made.champion, made.champion)
    loose = replace(made, candidate=slightly, taken_candidate=slightly >= THRESHOLD)
    assert judge([part(), loose], more_data=False).promote
    assert not judge([part(), replace(loose, strict=True)], more_data=False).promote


def test_flipped_labels_are_not_forgiven_there() -> None:
    loose = part(name="imported", champion=0.85, candidate=0.6, strict=False)
    verdict = judge([part(), loose], more_data=True)
    assert not verdict.promote
    assert any(reason.startswith("imported of gold: log loss") for reason in verdict.reasons)


def test_few_rows_decide_nothing_but_safety() -> None:
    few = part(rows=4, champion=1.0, candidate=0.0)
    harmless = replace(few, taken_candidate=few.taken_champion)
    assert judge([the_same(), harmless], more_data=True).promote


def test_a_candidate_that_is_surer_than_right_is_refused() -> None:
    made = the_same(rows=400)
    surer = np.where(made.candidate > 0.5, 0.999, 0.001)
    verdict = judge([replace(made, candidate=surer)], more_data=True)
    assert any("calibration error" in reason for reason in verdict.reasons)


def test_without_rows_nothing_is_promoted() -> None:
    assert judge([], more_data=True) == Judgement(
        False, "refused: there is no held-out row to judge on", (), ()
    )


@pytest.mark.parametrize("heavy", [True, False])
def test_rows_count_for_what_they_stand_for(heavy: bool) -> None:
    made = part(champion=0.85, candidate=0.85, strict=False)
    flipped = np.where(np.arange(ROWS) < 40, 1 - made.champion, made.champion)
    weights = np.where(np.arange(ROWS) < 40, 10.0 if heavy else 0.01, 1.0)
    weighed = replace(made, weights=weights, candidate=flipped, taken_candidate=made.taken_champion)
    assert judge([weighed], more_data=True).promote is not heavy
