"""Bad and odd logs: a clear error or a defined frontier."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.errors import BadOutcomes
from cascade.optimiser import Search, measured, optimise
from cascade.replay import Human, Outcomes
from tests.cascade.logs import SMALL, log, values, world

Numbers = NDArray[np.float64]


def test_ten_rows_are_too_few() -> None:
    with pytest.raises(BadOutcomes, match=r"test\.jsonl has 10 rows; .* fewer than 30 .*log more"):
        optimise(world(10, 1))
    with pytest.raises(BadOutcomes, match="has 29 rows"):
        optimise(world(29, 1))
    assert optimise(world(30, 1), SMALL).rows == 30


def test_missing_scores_are_named() -> None:
    outcomes = world(40, 1)
    score = outcomes.score.copy()
    score[7, 2] = np.nan
    with pytest.raises(BadOutcomes, match=r"1 answers have no score, the first is 'm2'.* in 'q-7'"):
        optimise(replace(outcomes, score=score))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"depth": 0}, "a depth of 0; expected 1 to 6"),
        ({"depth": 7}, "a depth of 7"),
        ({"bins": 1}, "1 bins; expected 2 to 100"),
        ({"bins": 101}, "101 bins"),
        ({"scorer_cost": -0.1}, "scorer_cost is -0.1; expected 0 or more"),
        ({"scorer_cost": float("nan")}, "scorer_cost is nan"),
        ({"retries": -1.0}, "retries is -1.0"),
        ({"retries": float("inf")}, "retries is inf"),
        ({"scorer_cost": 1.1e9}, "scorer_cost is 1100000000.0; expected 0 or more, at most 1e9"),
    ],
)
def test_a_search_without_sense_is_refused(options: dict[str, float], told: str) -> None:
    with pytest.raises(BadOutcomes, match=told):
        Search(**options)  # type: ignore[arg-type]


def test_one_model_is_one_point() -> None:
    outcomes = world(60, 2, models=1)
    (point,) = optimise(outcomes).points
    assert [(tier.model, tier.threshold) for tier in point.policy.tiers] == [("m0", 0.0)]
    assert point.expected.cost == pytest.approx(outcomes.cost.mean())
    assert point.expected.quality == pytest.approx(outcomes.quality.mean(), abs=0.03)


@pytest.mark.parametrize("human", [None, Human(0.01, 0.9)])
@pytest.mark.parametrize("right", [0.0, 1.0])
def test_where_all_are_right_or_wrong_the_cheapest_answers(
    right: float, human: Human | None
) -> None:
    outcomes = world(200, 3)
    made = optimise(
        replace(outcomes, quality=np.full((200, 4), right)), Search(bins=10, human=human)
    )
    first = made.points[0]
    assert first.expected.cost == pytest.approx(outcomes.cost[:, 0].mean())
    assert first.expected.quality == pytest.approx(right, abs=0.02)
    if human is None:
        assert made.points[-1].expected.quality == pytest.approx(right, abs=0.02)
    elif right == 0:
        assert made.points[-1].expected.escalated == 1
        assert made.points[-1].expected.quality == pytest.approx(0.9)


@pytest.mark.parametrize("human", [None, Human(0.01, 1.0)])
def test_where_all_scores_are_equal_there_is_nothing_to_decide_by(human: Human | None) -> None:
    outcomes = replace(world(300, 4), score=np.full((300, 4), 0.5))
    made = optimise(outcomes, Search(bins=10, human=human))
    assert {len(point.policy.tiers) for point in made.points} == {1}
    if human is None:
        assert len(made.points) == 4
    else:
        dearest = made.points[-1].expected
        assert (dearest.quality, dearest.escalated) == (1, 1)
        assert dearest.cost == pytest.approx(outcomes.cost[:, 0].mean() + 0.01)


def test_models_that_cost_nothing_are_all_asked() -> None:
    outcomes = replace(world(300, 5), cost=np.zeros((300, 4)))
    made = optimise(outcomes, Search(bins=10))
    (point,) = made.points
    assert point.expected.cost == 0
    assert made.for_budget(0.0) == point
    # Scores that say something make the best of all answers better than the best model's.
    assert point.expected.quality > outcomes.quality.mean(0).max()


def test_a_model_that_is_much_dearer_is_reached_by_budget_only() -> None:
    outcomes = world(300, 6)
    cost = outcomes.cost * np.array([1, 1, 1, 1e6])
    made = optimise(replace(outcomes, cost=cost), Search(bins=10))
    for usd in np.geomspace(made.points[0].expected.cost, 1e5, 20):
        point = made.for_budget(float(usd))
        assert point.expected.cost <= usd * (1 + 1e-9)
    assert np.isfinite(np.array(values(made))).all()


def test_scores_of_exactly_0_and_1_are_scores() -> None:
    outcomes = world(200, 7)
    hard = replace(outcomes, score=(outcomes.score > 0.6).astype(float))
    made = optimise(hard, Search(bins=10))
    assert len(made.points) > 4
    for point in made.points:
        assert measured(point.policy, hard, made.search).cost == pytest.approx(point.expected.cost)


def test_segments_may_be_as_many_as_rows() -> None:
    outcomes = world(60, 8, models=2)
    rows = tuple(replace(row, segment=row.id) for row in outcomes.rows)
    made = optimise(replace(outcomes, rows=rows), SMALL)
    assert made.pooled is not None


def odd(seed: int) -> Outcomes:
    """A log of few rows with some odd kind of scores, grades, costs and segments."""
    random = np.random.default_rng(seed)
    rows, models = int(random.integers(30, 90)), int(random.integers(1, 5))
    shape = rows, models
    scores = [
        random.integers(0, 2, shape) * 1.0,
        random.integers(0, 5, shape) / 4,
        10.0 ** -random.uniform(0, 300, shape),
        1 - 10.0 ** -random.uniform(0, 17, shape),
    ]
    grades = [random.integers(0, 2, shape) * 1.0, random.random(shape), np.zeros(shape)]
    costs = [
        10.0 ** random.uniform(-300, 5, shape),
        np.tile(random.integers(0, 3, models) * 1.0, (rows, 1)),
        np.tile([0.1 + 0.2, 0.3, 0.3, 0.1][:models], (rows, 1)),
    ]
    segments = [None, list(random.choice(["a", "b"], rows)), [None, "a", "b"] * rows]
    return log(
        np.asarray(scores[random.integers(4)], np.float64),
        np.asarray(grades[random.integers(3)], np.float64),
        costs[random.integers(3)],
        segments[random.integers(3)],
    )


@pytest.mark.parametrize("human", [None, Human(0.0), Human(0.3, 0.7, 0.4)])
@pytest.mark.parametrize("seed", range(12))
def test_odd_logs_have_frontiers_that_replay_as_expected(seed: int, human: Human | None) -> None:
    outcomes, search = odd(seed), Search(bins=6, human=human, retries=0.1)
    made = optimise(outcomes, search)
    for point in made.points:
        replayed = measured(point.policy, outcomes, search)
        assert replayed.cost == pytest.approx(point.expected.cost, rel=1e-9, abs=1e-12)
        assert replayed.escalated == pytest.approx(point.expected.escalated, abs=1e-12)
    costs, qualities = np.array(values(made)).T
    assert (np.diff(costs) >= 0).all()
    assert (np.diff(qualities) > 0).all()
    for usd in np.linspace(costs[0], costs[-1] * 1.1, 7):
        assert made.for_budget(float(usd)).expected.cost <= usd * (1 + 1e-6)
    for aim in np.linspace(0, qualities[-1], 7):
        assert made.for_quality(float(aim)).expected.quality >= aim - 1e-6


def test_a_human_who_takes_no_ticket_is_none() -> None:
    outcomes = world(200, 9)
    idle = optimise(outcomes, Search(bins=10, human=Human(0.01, capacity=0.0)))
    assert idle.points == optimise(outcomes, Search(bins=10)).points


@pytest.mark.parametrize("usd", [float("nan"), -1.0])
def test_a_budget_without_sense_is_refused(usd: float) -> None:
    with pytest.raises(BadOutcomes, match=r"a budget of .*; expected US dollars a ticket, 0 or"):
        optimise(world(60, 2), SMALL).for_budget(usd)
