"""What scores are worth is found out of fold, never falls, and is close to the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cascade.chances import OWN_WORD, chances_of, expected_quality, fit_knots, out_of_fold
from cascade.policy import Knots, Tier
from tests.cascade.logs import chance_of, world

Numbers = NDArray[np.float64]


def tier(knots: Knots) -> Tier:
    """A tier with this calibration, which is refused where it falls or leaves [0, 1]."""
    return Tier("m", "llm", 0.5, {}, knots)


# One model's calibration

SCORES = (
    st.integers(0, 8).map(lambda eighths: eighths / 8)
    | st.floats(0, 1)
    | st.sampled_from([5e-324, 1e-310, 1e-13, 1 - 1e-13, 1 - 2**-53])
)
GRADES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]) | st.floats(0, 1)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(SCORES, GRADES), min_size=1, max_size=60))
def test_knots_rise_within_what_was_seen(rows: list[tuple[float, float]]) -> None:
    scores, quality = np.array(rows).T
    knots = fit_knots(scores, quality)
    assert len(knots) <= 40
    assert {score for score, _ in knots} <= set(np.round(scores, 12).tolist())
    assert knots[0][0] == pytest.approx(scores.min(), abs=1e-12)
    assert knots[-1][0] == pytest.approx(scores.max(), abs=1e-12)
    chances = tier(knots).chances(np.sort(scores))
    assert chances.min() >= 0
    assert chances.max() <= 1


def test_scores_that_no_float_lies_between_have_a_calibration() -> None:
    scores = np.repeat([0.0, 5e-324, 1e-310, 1.0], 10)
    knots = fit_knots(scores, np.tile([0.0, 1.0, 1.0, 1.0], 10)[scores.argsort()])
    assert len(tier(knots).calibration) == 2


@pytest.mark.parametrize("grade", [0.0, 1.0])
def test_scores_close_to_0_and_1_never_make_knots_fall(grade: float) -> None:
    ends = np.concatenate([10.0 ** -np.arange(1, 17), 1 - 10.0 ** -np.arange(1, 17), [0, 1]])
    for seed in range(30):
        scores = np.random.default_rng(seed).choice(ends, 200)
        knots = fit_knots(scores, np.full(200, grade))
        chances = tier(knots).chances(np.sort(ends))
        assert (np.abs(chances - grade) < 0.2).all()


def test_one_score_for_all_is_worth_the_share_that_is_right() -> None:
    quality = np.repeat([0.0, 1.0], [60, 140])
    ((score, worth),) = fit_knots(np.full(200, 0.9), quality)
    assert score == 0.9
    assert worth == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_and_all_wrong_are_worth_1_and_0(right: float) -> None:
    scores = np.random.default_rng(1).random(300)
    worths = [worth for _, worth in fit_knots(scores, np.full(300, right))]
    assert np.abs(np.array(worths) - right).max() < 0.05


def test_two_scores_are_each_worth_their_own_share() -> None:
    scores = np.repeat([0.0, 1.0], 500)
    quality = np.concatenate([np.repeat([0.0, 1.0], [400, 100]), np.repeat([0.0, 1.0], [50, 450])])
    low, high = fit_knots(scores, quality)
    assert (low[0], high[0]) == (0, 1)
    assert (low[1], high[1]) == pytest.approx((0.2, 0.9), abs=0.02)


def test_scores_that_fall_with_quality_are_worth_next_to_nothing() -> None:
    random = np.random.default_rng(4)
    scores = random.random(2000)
    quality = (random.random(2000) > scores).astype(float)
    worths = [worth for _, worth in fit_knots(scores, quality)]
    assert (min(worths), max(worths)) == pytest.approx((0.5, 0.5), abs=0.05)


@pytest.mark.parametrize("truth", [lambda s: 0.2 + 0.7 * s**2, lambda s: chance_of(8 * s - 5)])
def test_a_known_world_is_found(truth: object) -> None:
    assert callable(truth)
    random = np.random.default_rng(3)
    scores = random.random(20_000)
    quality = (random.random(20_000) < truth(scores)).astype(float)
    at = np.linspace(0.02, 0.98, 25)
    found = tier(fit_knots(scores, quality)).chances(at)
    # Half of it is a logistic curve, which these truths are not, whatever the number of rows.
    assert np.abs(found - truth(at)).max() < 0.09
    assert np.abs(found - truth(at)).mean() < 0.03


def test_few_rows_are_steadied() -> None:
    """A hundred rows tell more than their isotonic regression alone, two levels of a step each."""
    errors, stepped = [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        scores = random.random(100)
        truth = chance_of(4 * scores - 2)
        quality = (random.random(100) < truth).astype(float)
        found = tier(fit_knots(scores, quality)).chances(scores)
        errors.append(((found - truth) ** 2).mean())
        stepped.append(((_isotonic(scores, quality) - truth) ** 2).mean())
    assert np.mean(errors) < 0.6 * np.mean(stepped)


def _isotonic(scores: Numbers, quality: Numbers) -> Numbers:
    """The isotonic regression at distinct scores, by its formula of largest and least averages."""
    order = scores.argsort()
    sums = np.concatenate([[0], quality[order].cumsum()])
    count = np.arange(len(scores) + 1)
    width = np.maximum(1, count[None, :] - count[:, None])
    means = np.where(count[None, :] > count[:, None], (sums[None, :] - sums[:, None]) / width, 2)
    values = np.array(
        [
            max(means[start, place + 1 :].min() for start in range(place + 1))
            for place in range(len(scores))
        ]
    )
    found = np.empty(len(scores))
    found[order] = values
    return found


def test_chances_of_many_models_are_their_tiers() -> None:
    log = world(200, 1)
    knots = [fit_knots(s, q) for s, q in zip(log.score.T, log.quality.T, strict=True)]
    fresh = np.random.default_rng(2).random((50, 4))
    found = chances_of(fresh, knots)
    assert found.shape == (50, 4)
    for model, own in enumerate(knots):
        assert found[:, model].tolist() == tier(own).chances(fresh[:, model]).tolist()
        # One score alone, as the service has it, is worth exactly the same.
        assert [float(tier(own).chances([s])[0]) for s in fresh[:, model]] == found[
            :, model
        ].tolist()


# Out of fold


def test_no_row_has_a_say_in_its_own_chance() -> None:
    log = world(60, 5)
    chances = out_of_fold(log.score, log.quality, 0)
    for place in range(0, 60, 7):
        turned = log.quality.copy()
        turned[place] = 1 - turned[place]
        others = out_of_fold(log.score, turned, 0)
        assert others[place].tolist() == chances[place].tolist()
        assert (others != chances).any()


def test_chances_are_the_seeds_and_no_one_elses() -> None:
    log = world(60, 5)
    chances = out_of_fold(log.score, log.quality, 3)
    assert chances.tolist() == out_of_fold(log.score, log.quality, 3).tolist()
    assert chances.tolist() != out_of_fold(log.score, log.quality, 4).tolist()
    turned = out_of_fold(log.score[:, ::-1], log.quality[:, ::-1], 3)
    assert turned[:, ::-1].tolist() == chances.tolist()
    assert chances.min() >= 0
    assert chances.max() <= 1


def test_scores_that_say_nothing_flatter_no_one() -> None:
    gaps = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        score, quality = random.random((100, 1)), (random.random((100, 1)) < 0.5).astype(float)
        chances = out_of_fold(score, quality, seed)
        gaps.append(chances[quality == 1].mean() - chances[quality == 0].mean())
    assert np.mean(gaps) < 0.01


def test_fewer_rows_than_folds_are_left_out_one_by_one() -> None:
    chances = out_of_fold(np.array([[0.2], [0.5], [0.9]]), np.array([[0.0], [1.0], [1.0]]), 0)
    assert chances.shape == (3, 1)
    assert np.isfinite(chances).all()


# Expected qualities


def test_a_rows_own_quality_counts_by_the_rows_there_are() -> None:
    log = world(200, 6)
    chances = out_of_fold(log.score, log.quality, 0)
    expected = expected_quality(chances, log.quality, 0)
    turned = log.quality.copy()
    turned[17] = 1 - turned[17]
    change = expected_quality(chances, turned, 0)[17] - expected[17]
    own = 200 / (200 + OWN_WORD)
    assert change.tolist() == pytest.approx((own * (turned[17] - log.quality[17])).tolist())


def test_expected_qualities_keep_their_mean() -> None:
    log = world(500, 7)
    chances = out_of_fold(log.score, log.quality, 0)
    expected = expected_quality(chances, log.quality, 0)
    np.testing.assert_allclose(expected.mean(0), log.quality.mean(0), atol=0.01)
    assert expected.min() >= 0
    assert expected.max() <= 1
    assert (expected.std(0) < log.quality.std(0)).all()


def first_good_enough(score: Numbers, quality: Numbers) -> list[float]:
    """The average qualities of two fixed policies with thresholds on the scores themselves."""
    found = []
    for thresholds in ((0.5, 0.5), (0.8, 0.6)):
        first, second = (score[:, place] >= at for place, at in enumerate(thresholds))
        given_back = np.where(second, quality[:, 1], quality[:, 2])
        found.append(float(np.where(first, quality[:, 0], given_back).mean()))
    return found


def test_estimates_from_few_rows_lose_noise_and_keep_their_mean() -> None:
    """Over 100 logs of 300 rows squared errors fall by a twentieth and more; the bias is small."""
    many = world(400_000, 99, models=3)
    truth = np.array(first_good_enough(many.score, many.quality))
    raw, less = [], []
    for seed in range(100):
        log = world(300, seed, models=3)
        chances = out_of_fold(log.score, log.quality, seed)
        raw.append(first_good_enough(log.score, log.quality))
        less.append(first_good_enough(log.score, expected_quality(chances, log.quality, seed)))
    squared = ((np.array([raw, less]) - truth) ** 2).mean((1, 2))
    assert squared[1] < 0.95 * squared[0]
    assert (np.abs(np.mean(less, axis=0) - truth) < 0.004).all()


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_and_all_wrong_stay_what_they_are(right: float) -> None:
    score, quality = np.random.default_rng(8).random((100, 2)), np.full((100, 2), right)
    expected = expected_quality(out_of_fold(score, quality, 0), quality, 0)
    assert np.abs(expected - right).max() < 0.1
