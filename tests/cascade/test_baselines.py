"""What a frontier is held against is computed as one would by hand."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.baselines import (
    BUDGETS,
    Interval,
    area,
    best_single,
    budgets,
    cheapest_as_good,
    qualities_at,
    resampled,
    saving,
    singles,
    static_mix,
)
from cascade.chains import Estimate
from cascade.optimiser import Frontier, Search, measured, optimise
from cascade.replay import Human, Outcomes
from tests.cascade.logs import log, world


def graded(*grades: list[float], costs: tuple[float, ...]) -> Outcomes:
    """A log with these grades, a list for each model, at fixed costs."""
    quality = np.array(grades, dtype=float).T
    return log(np.full(quality.shape, 0.5), quality, np.tile(costs, (len(quality), 1)))


def shares(rights: list[int], n: int, costs: tuple[float, ...]) -> Outcomes:
    """A log of n rows in which each model is right in its first so many."""
    return graded(*[[1.0] * right + [0.0] * (n - right) for right in rights], costs=costs)


# Models alone


def test_a_model_alone_costs_its_calls_and_their_retries_but_no_scoring() -> None:
    outcomes = shares([1, 3], 4, (0.1, 0.5))
    cheap, dear = singles(outcomes, Search(retries=0.5, scorer_cost=9.0))
    assert (cheap.model, dear.model) == ("m0", "m1")
    assert (cheap.estimate.cost, cheap.estimate.quality) == pytest.approx((0.15, 0.25))
    assert (dear.estimate.cost, dear.estimate.quality) == pytest.approx((0.75, 0.75))
    assert dear.estimate.escalated == 0


def test_the_best_single_is_right_most_often_the_cheapest_of_equals() -> None:
    assert best_single(shares([3, 9, 6], 10, (0.1, 0.2, 0.3))) == "m1"
    assert best_single(shares([9, 9, 9], 10, (0.3, 0.1, 0.2))) == "m1"
    assert best_single(shares([9, 9], 10, (0.2, 0.2))) == "m0"


def test_the_cheapest_as_good_is_judged_row_by_row() -> None:
    # Right in 90 rows against 100: never better, and worse by more than chance allows.
    assert cheapest_as_good(shares([90, 100], 100, (0.1, 1.0))) == "m1"
    # Two rows fewer are within it.
    assert cheapest_as_good(shares([98, 100], 100, (0.1, 1.0))) == "m0"
    # The same shares on other rows: twelve wins against twenty are too near to tell.
    other = [0.0] * 20 + [1.0] * 80
    mine = [1.0] * 88 + [0.0] * 12
    assert cheapest_as_good(graded(other, mine, costs=(0.1, 1.0))) == "m0"
    assert cheapest_as_good(shares([80, 88], 100, (0.1, 1.0))) == "m1"


def test_the_best_is_as_good_as_itself() -> None:
    assert cheapest_as_good(shares([5, 10], 10, (0.1, 1.0))) == "m1"
    assert cheapest_as_good(shares([0, 0], 10, (0.1, 0.0))) == "m1"
    assert cheapest_as_good(shares([10], 10, (0.1,))) == "m0"


# Static mixes


def test_a_static_mix_lies_on_the_line_between_two_models() -> None:
    # m1 lies below the line from m0 to m2; m3 is dearer and worse than m2.
    mix = static_mix(singles(shares([20, 40, 80, 60], 100, (1.0, 3.0, 4.0, 9.0)), Search()))
    assert [single.model for single in mix.singles] == ["m0", "m2"]
    assert mix.quality_at(1.0) == pytest.approx(0.2)
    assert mix.quality_at(2.0) == pytest.approx(0.4)
    assert mix.quality_at(4.0) == pytest.approx(0.8)
    assert mix.quality_at(50.0) == pytest.approx(0.8)
    assert mix.quality_at(0.5) == pytest.approx(0.2)


def test_of_models_that_cost_the_same_the_better_is_mixed() -> None:
    mix = static_mix(singles(shares([30, 50, 70], 100, (0.0, 0.0, 2.0)), Search()))
    assert [single.model for single in mix.singles] == ["m1", "m2"]
    assert mix.quality_at(1.0) == pytest.approx(0.6)
    free = static_mix(singles(shares([30, 50], 100, (0.0, 0.0)), Search()))
    assert [single.model for single in free.singles] == ["m1"]
    assert free.quality_at(0.0) == free.quality_at(1.0) == 0.5


# Budgets and areas


def test_budgets_go_from_the_cheapest_to_the_best_in_equal_steps_of_logarithm() -> None:
    outcomes = shares([20, 90, 80], 100, (0.01, 1.0, 5.0))
    found = budgets(outcomes, Search())
    assert len(found) == BUDGETS == 30
    assert (found[0], found[-1]) == pytest.approx((0.01, 1.0))
    np.testing.assert_allclose(found[1:] / found[:-1], 100 ** (1 / 29))
    assert budgets(outcomes, Search(retries=1.0))[-1] == pytest.approx(2.0)


def test_the_least_budget_affords_a_policy_and_its_scoring() -> None:
    outcomes, search = world(200, 3), Search(bins=10, scorer_cost=0.001, retries=0.5)
    least = optimise(outcomes, search).corners[0].expected.cost
    assert budgets(outcomes, search)[0] == pytest.approx(least)


def test_rounding_is_no_gain() -> None:
    assert not Interval(8.9e-17, 8.9e-17, 8.9e-17).is_gain
    assert Interval(0.002, 0.001, 0.003).is_gain


@pytest.mark.parametrize("costs", [(0.0, 1.0), (0.0, 0.0), (1.0, 0.0), (1.0, 1.0)])
def test_free_models_leave_budgets_above_nothing(costs: tuple[float, float]) -> None:
    found = budgets(shares([20, 90], 100, costs), Search())
    assert (found > 0).all()
    assert (np.diff(found) >= 0).all()
    assert found[-1] == pytest.approx(max(costs[1], found[0]))


@pytest.fixture(scope="module")
def made() -> Frontier:
    return optimise(world(400, 1), Search(bins=10))


def test_qualities_at_budgets_are_those_of_its_policies(made: Frontier) -> None:
    unseen = world(300, 2)
    least = made.points[0].expected.cost
    spending = np.array([least / 10, least, 0.001, 0.01, 1.0])
    found = qualities_at(made, spending, unseen)
    assert found.shape == (5, 300)
    # Less than the cheapest costs gets the cheapest all the same.
    assert found[0].tolist() == found[1].tolist() == unseen.quality[:, 0].tolist()
    for row, usd in zip(found[1:], spending[1:], strict=True):
        policy = made.for_budget(float(usd)).policy
        assert row.mean() == pytest.approx(measured(policy, unseen, made.search).quality)


def test_qualities_at_budgets_count_the_humans() -> None:
    search = Search(bins=10, human=Human(0.01, 1.0))
    frontier = optimise(world(200, 3), search)
    found = qualities_at(frontier, np.array([1.0]), world(100, 4))
    assert found.tolist() == [[1.0] * 100]


def test_the_area_is_the_average_over_budgets_and_rows() -> None:
    rows = np.array([[0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    found = area(rows)
    assert found.value == 0.875
    assert 0.5 <= found.low <= found.value <= found.high == 1.0
    assert area(rows, seed=4) == area(rows, seed=4)
    assert str(Interval(0.5, 0.25, 0.75)) == "0.500 (0.250 to 0.750)"


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        rows = (np.random.default_rng(seed).random(100) < 0.7).astype(float)
        found = resampled(rows, np.mean, seed)
        held += found.low <= 0.7 <= found.high
        assert found.high - found.low == pytest.approx(4 * rows.std() / 10, rel=0.15)
    assert held >= 52


# Saving


def test_a_saving_is_measured_on_the_other_log(made: Frontier) -> None:
    train, test = world(400, 1), world(500, 2)
    found = saving(made, "m3", train, test)
    assert found.model == "m3"
    point = made.for_quality(min(train.quality[:, 3].mean(), made.points[-1].expected.quality))
    assert found.policy == point.policy
    replayed = measured(found.policy, test, made.search)
    alone = Estimate(float(test.cost[:, 3].mean()), float(test.quality[:, 3].mean()))
    assert found.saved.value == pytest.approx(1 - replayed.cost / alone.cost)
    assert found.quality.value == pytest.approx(replayed.quality - alone.quality)
    assert 0.2 < found.saved.low < found.saved.value < found.saved.high < 1
    assert found.quality.low < found.quality.value < found.quality.high


def test_retries_are_counted_on_both_sides_scoring_on_one() -> None:
    train, test = world(400, 1), world(500, 2)
    found = [
        saving(optimise(train, search), "m3", train, test).saved.value
        for search in (Search(bins=10), Search(bins=10, retries=1.0))
    ]
    assert found[0] == pytest.approx(found[1])
    scored = saving(optimise(train, Search(bins=10, scorer_cost=0.001)), "m3", train, test)
    assert scored.saved.value < found[0] - 0.03


def test_where_no_policy_is_as_good_the_best_is_taken() -> None:
    train = world(200, 5)
    made = optimise(train.of_models(["m0", "m1"]), Search(bins=10))
    perfect = replace(train, quality=np.column_stack([train.quality[:, :3], np.ones(200)]))
    found = saving(made, "m3", perfect, world(100, 6))
    assert found.policy == made.points[-1].policy
    assert found.saved.value > 0.8


def test_beside_a_model_that_costs_nothing_nothing_is_saved() -> None:
    outcomes = replace(world(200, 7), cost=np.zeros((200, 4)))
    found = saving(optimise(outcomes, Search(bins=10)), "m3", outcomes, outcomes)
    assert (found.saved.low, found.saved.value, found.saved.high) == (0, 0, 0)
