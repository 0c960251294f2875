"""The frontier is what a search of everything finds; what it expects is what replaying gives."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.chains import Estimate, Rows
from cascade.errors import BadOutcomes, Infeasible
from cascade.optimiser import Frontier, Search, corners, measured, named, optimise, undominated
from cascade.policy import Instead, Policy, Tier
from cascade.replay import Human, Outcomes, run
from tests.cascade.logs import SMALL, log, rows_of, values, world

Numbers = NDArray[np.float64]


def coarse(rows: int, seed: int) -> Outcomes:
    """A world whose scores are rounded, so that many are equal."""
    fine = world(rows, seed)
    return replace(fine, score=np.round(fine.score * 12) / 12)


# Against a search of everything


def everything(rows: Rows, search: Search) -> Iterator[Estimate]:
    """Every chain up to the depth under every combination of thresholds, one by one."""
    by_cost = np.argsort(rows.cost.mean(0))
    for size in range(1, search.depth + 1):
        for chain in combinations(map(int, by_cost), size):
            own = [[float(at) for at in rows.thresholds[model]] for model in chain]
            own[-1] = [0.0, 1.0, *(own[-1] if search.human else [])]
            for thresholds in product(*own):
                cost, quality = rows.under(chain, thresholds, search.human)
                passes = rows.chance[:, list(chain)] >= np.array(thresholds)
                handed = float((~passes.any(1)).mean()) if search.human else 0.0
                yield Estimate(float(cost.mean()), float(quality.mean()), handed)


def best_of(found: Sequence[Estimate]) -> list[tuple[float, float]]:
    """What nothing else beats, cheapest first, by comparing each with what is cheaper."""
    kept: list[tuple[float, float]] = []
    for each in sorted(found, key=lambda each: (round(each.cost, 12), -each.quality)):
        if not kept or each.quality > kept[-1][1] + 1e-9:
            kept.append((each.cost, each.quality))
    return kept


@pytest.mark.parametrize(
    "human", [None, Human(0.004, 0.9), Human(0.03, 1.0, 0.25), Human(0.0, 0.8, 0.1)]
)
@pytest.mark.parametrize("seed", range(2))
def test_the_frontier_is_what_a_search_of_everything_finds(seed: int, human: Human | None) -> None:
    search = replace(SMALL, human=human, scorer_cost=0.00005, retries=0.1)
    outcomes = coarse(120, seed)
    frontier = optimise(outcomes, search)
    most = human.capacity if human else 1.0
    found = everything(rows_of(outcomes, search), search)
    wanted = best_of([each for each in found if each.escalated <= most + 1e-12])
    assert 5 < len(wanted) < 200
    np.testing.assert_allclose(np.array(values(frontier)), np.array(wanted), atol=1e-10)


def test_skipping_chains_by_a_bound_changes_nothing() -> None:
    """Where the cheapest model is right in most rows, dear ones are not even begun with."""
    random, good = np.random.default_rng(3), coarse(120, 1)
    quality = good.quality.copy()
    quality[:, 1] = random.random(120) < 0.97
    outcomes = replace(good, quality=quality)
    frontier = optimise(outcomes, SMALL)
    assert frontier.skipped > 0
    assert frontier.chains < 4 + 2 * (6 + 4 + 1)
    wanted = best_of(list(everything(rows_of(outcomes, SMALL), SMALL)))
    np.testing.assert_allclose(np.array(values(frontier)), np.array(wanted), atol=1e-10)


def test_a_chain_is_not_skipped_for_what_costs_more() -> None:
    """Two models that cost nearly the same are better together than either, and dearer."""
    random, good = np.random.default_rng(5), coarse(120, 2)
    quality = good.quality * [1, 0, 0, 0]
    quality[:, 1] = random.random(120) < 0.8
    outcomes = replace(good, quality=quality, cost=np.tile([0.9, 1.0, 5.0, 6.0], (120, 1)))
    found = values(optimise(outcomes, SMALL))
    assert any(cost == pytest.approx(1.0) for cost, _ in found)
    wanted = best_of(list(everything(rows_of(outcomes, SMALL), SMALL)))
    np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-10)


@pytest.mark.parametrize("human", [None, Human(0.01, 0.95, 0.5)])
def test_no_point_is_dominated(human: Human | None) -> None:
    frontier = optimise(world(600, 4), Search(human=human))
    costs, qualities = np.array(values(frontier)).T
    assert (np.diff(costs) > 0).all()
    assert (np.diff(qualities) > 0).all()
    assert 20 < len(frontier.points) <= 200


def test_thinning_keeps_both_ends_and_loses_next_to_nothing() -> None:
    frontier = optimise(world(4000, 4), Search(depth=4, bins=40))
    costs, qualities = np.array(values(frontier)).T
    assert 100 < len(costs) <= 200
    assert (np.diff(qualities) < 0.02).all()
    rows = rows_of(world(4000, 4), Search(bins=40))
    alone = [float(rows.cost[:, model].mean()) for model in range(4)]
    assert costs[0] == pytest.approx(min(alone))
    assert qualities[-1] > rows.quality.mean(0).max()


def test_the_same_log_and_seed_give_the_same_frontier() -> None:
    first, again = (optimise(world(300, 5), SMALL) for _ in range(2))
    assert [point.policy.to_json() for point in first.points] == [
        point.policy.to_json() for point in again.points
    ]
    assert values(first) == values(again)
    assert values(first) != values(optimise(world(300, 5), replace(SMALL, seed=1)))


def test_the_order_of_the_models_does_not_matter() -> None:
    outcomes = world(300, 6)
    turned = outcomes.of_models(["m2", "m0", "m3", "m1"])
    found = [np.array(values(optimise(each, SMALL))) for each in (outcomes, turned)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)


# Expected and replayed


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("human", [None, Human(0.01, 0.95), Human(0.05, 1.0, 0.2)])
def test_replaying_the_training_rows_costs_what_was_expected(
    seed: int, human: Human | None
) -> None:
    search = Search(bins=8, human=human, scorer_cost=0.0001, retries=0.2)
    outcomes = coarse(250, seed)
    for point in optimise(outcomes, search).points:
        replayed = measured(point.policy, outcomes, search)
        assert replayed.cost == pytest.approx(point.expected.cost, abs=1e-12)
        assert replayed.escalated == pytest.approx(point.expected.escalated, abs=1e-12)
        assert replayed.quality == pytest.approx(point.expected.quality, abs=0.08)


def test_measuring_counts_scoring_retries_and_the_human() -> None:
    outcomes = log(
        np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.1], [0.4, 0.2]]),
        np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
        np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]),
    )
    policy = Policy((Tier("m0", "llm", 0.5), Tier("m1", "llm", 0.5)))
    plain = measured(policy, outcomes, Search())
    assert plain == Estimate((1 + 22 + 33 + 44) / 4, (1 + 1 + 1 + 1) / 4, 0.5)
    search = Search(scorer_cost=0.5, retries=0.25, human=Human(100.0, 0.25))
    whole = measured(policy, outcomes, search)
    calls = 1.25 * (1 + 22 + 33 + 44) + 0.5 * (1 + 2 + 2 + 2)
    assert whole == Estimate((calls + 200) / 4, (1 + 1 + 0.25 + 0.25) / 4, 0.5)


def test_scoring_and_retries_make_everything_dearer() -> None:
    outcomes = world(200, 8)
    plain = optimise(outcomes, SMALL)
    retried = optimise(outcomes, replace(SMALL, retries=0.5))
    np.testing.assert_allclose(
        np.array(values(retried)), np.array(values(plain)) * [1.5, 1.0], rtol=1e-9
    )
    scored = optimise(outcomes, replace(SMALL, scorer_cost=0.1))
    assert scored.points[0].expected.cost == pytest.approx(outcomes.cost[:, 0].mean() + 0.1)
    # Where looking is dearer than any model, each is asked alone before any two are.
    alone = [len(each.policy.tiers) == 1 for each in scored.corners if each.expected.cost < 0.13]
    assert len(alone) > 1
    assert all(alone)
    assert not all(len(each.policy.tiers) == 1 for each in plain.corners)


# Budgets and qualities


@pytest.fixture(scope="module")
def frontier() -> Frontier:
    return optimise(world(400, 9), Search(bins=10))


def test_a_budget_below_the_cheapest_is_infeasible_and_names_it(frontier: Frontier) -> None:
    cheapest = frontier.points[0].expected
    with pytest.raises(Infeasible) as told:
        frontier.for_budget(cheapest.cost * 0.999)
    assert f"the cheapest, {named(frontier.points[0].policy)}," in str(told.value)
    assert f"cost {cheapest.cost:.3g} USD with a quality of {cheapest.quality:.3f}" in str(
        told.value
    )
    for senseless in (float("nan"), -1.0):
        with pytest.raises(BadOutcomes):
            frontier.for_budget(senseless)


def test_a_quality_above_the_best_is_infeasible_and_names_it(frontier: Frontier) -> None:
    best = frontier.points[-1].expected
    with pytest.raises(Infeasible) as told:
        frontier.for_quality(best.quality + 0.001)
    assert f"the best, {named(frontier.points[-1].policy)}," in str(told.value)
    assert f"have {best.quality:.3f} for {best.cost:.3g} USD" in str(told.value)
    for senseless in (float("nan"), -0.1, 1.1):
        with pytest.raises(BadOutcomes, match="expected a share in"):
            frontier.for_quality(senseless)


def test_a_budget_at_a_corner_is_that_corner(frontier: Frontier) -> None:
    assert len(frontier.corners) > 5
    for corner in frontier.corners:
        assert frontier.for_budget(corner.expected.cost) == corner
        assert frontier.for_quality(corner.expected.quality) == corner


def test_a_budget_between_corners_is_their_mix(frontier: Frontier) -> None:
    for low, high in zip(frontier.corners, frontier.corners[1:], strict=False):
        for share in (0.01, 0.3, 0.9):
            wanted = low.expected.mixed(high.expected, share)
            mixes = [frontier.for_budget(wanted.cost), frontier.for_quality(wanted.quality)]
            for mix in mixes:
                assert mix.expected.cost == pytest.approx(wanted.cost)
                assert mix.expected.quality == pytest.approx(wanted.quality)
                assert mix.policy.tiers == low.policy.tiers
                assert mix.policy.instead is not None
                assert mix.policy.instead.tiers == high.policy.tiers
                assert mix.policy.instead.share == pytest.approx(share)


def test_more_money_than_can_be_spent_buys_the_best(frontier: Frontier) -> None:
    for usd in (frontier.points[-1].expected.cost * 1.001, 1e6, float("inf")):
        assert frontier.for_budget(usd) == frontier.points[-1]
    assert frontier.for_quality(0.0) == frontier.points[0]


def test_corners_are_the_upper_hull(frontier: Frontier) -> None:
    """No mix of two points beats what a budget buys, and every corner is a point."""
    known = values(frontier)
    assert all(corner in frontier.points for corner in frontier.corners)
    for (c1, q1), (c2, q2) in combinations(known, 2):
        share = 0.37
        budget, quality = (1 - share) * c1 + share * c2, (1 - share) * q1 + share * q2
        assert frontier.for_budget(budget).expected.quality >= quality - 1e-9


def test_mixed_shares_hold_over_many_tickets(frontier: Frontier) -> None:
    low, high = frontier.corners[1:3]
    mix = frontier.for_budget(low.expected.mixed(high.expected, 0.3).cost).policy
    ways = [mix.for_ticket(f"T-{number}").tiers for number in range(10_000)]
    assert ways.count(high.policy.tiers) / 10_000 == pytest.approx(0.3, abs=0.015)
    assert ways.count(high.policy.tiers) + ways.count(low.policy.tiers) == 10_000


def test_a_mix_spends_its_budget_on_rows_it_was_made_for() -> None:
    outcomes = world(4000, 10)
    made = optimise(outcomes, Search(bins=10, depth=3))
    for usd in np.geomspace(0.0003, 0.01, 5):
        spent = measured(made.for_budget(float(usd)).policy, outcomes, made.search).cost
        assert spent == pytest.approx(usd, rel=0.05)


def test_corners_and_undominated_points_of_a_hand_made_set() -> None:
    cost = np.array([3.0, 1.0, 2.0, 4.0, 1.0, 5.0])
    quality = np.array([0.6, 0.2, 0.5, 0.6, 0.3, 0.9])
    assert undominated(cost, quality).tolist() == [4, 2, 0, 5]
    estimates = [Estimate(*each) for each in zip(cost, quality, strict=True)]
    # From 2 to 5 the mix at cost 3 has 0.5 + 0.4 / 3, more than 0.6.
    assert corners(estimates) == [4, 2, 5]
    in_line = [Estimate(1, 0.25), Estimate(2, 0.5), Estimate(3, 0.75)]
    assert corners(in_line) in ([0, 2], [0, 1, 2])
    assert corners([Estimate(1, 0.5)] * 3) == [0]


def test_a_policy_is_named_for_a_person() -> None:
    tiers = (Tier("small", "llm", 0.8), Tier("large", "llm", 0.0))
    mix = Policy(tiers, instead=Instead(0.25, (Tier("large", "llm", 0.0),)))
    assert named(mix) == "small from 80%, then large; for 25% of the tickets large"


# The human


def test_a_human_without_time_is_none() -> None:
    outcomes = coarse(300, 11)
    idle = optimise(outcomes, Search(bins=10, human=Human(0.001, 1.0, 0.0)))
    assert idle.points == optimise(outcomes, Search(bins=10)).points


def test_a_humans_capacity_is_kept_and_used() -> None:
    outcomes = coarse(300, 11)
    for capacity in (0.1, 0.33):
        search = Search(bins=10, human=Human(0.001, 1.0, capacity))
        made = optimise(outcomes, search)
        handed = [point.expected.escalated for point in made.points]
        assert max(handed) <= capacity + 1e-12
        assert max(handed) >= capacity * 0.7
        assert (
            measured(
                made.for_quality(made.points[-1].expected.quality).policy, outcomes, search
            ).escalated
            <= capacity + 1e-12
        )


def test_a_human_who_is_free_and_always_right_gets_everything() -> None:
    outcomes = world(200, 12)
    made = optimise(outcomes, Search(bins=10, human=Human(0.0, 1.0)))
    (point,) = made.points
    assert point.expected.escalated == 1
    assert point.expected.quality == 1
    assert point.expected.cost == pytest.approx(outcomes.cost[:, 0].mean())
    assert not run(point.policy, outcomes).accepted.any()


def test_a_human_is_used_where_they_are_worth_their_price() -> None:
    outcomes = world(400, 13)
    without = optimise(outcomes, Search(bins=10))
    best = without.points[-1].expected
    worse = optimise(outcomes, Search(bins=10, human=Human(50.0, 0.0)))
    assert all(point.expected.escalated == 0 for point in worse.points)
    dear = optimise(outcomes, Search(bins=10, human=Human(50.0, 1.0)))
    handed = [p.expected.escalated for p in dear.points if p.expected.cost < best.cost]
    assert handed
    assert set(handed) == {0.0}
    assert dear.points[-1].expected.quality == 1
    cheap = optimise(outcomes, Search(bins=10, human=Human(0.002, 0.98)))
    assert cheap.for_quality(0.95).expected.cost < best.cost
    with pytest.raises(Infeasible):
        without.for_quality(0.95)


# Against a plain search


def isotonic(scores: Numbers, quality: Numbers) -> Callable[[Numbers], Numbers]:
    """Isotonic regression by pooling neighbours, as steps."""
    blocks: list[list[float]] = []
    for score, grade in sorted(zip(scores.tolist(), quality.tolist(), strict=True)):
        blocks.append([grade, 1.0, score])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            value, count, _ = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + value * count) / (before[1] + count)
            before[1] += count
    worth, _, starts = np.array(blocks).T
    return lambda given: worth[np.maximum(0, np.searchsorted(starts, given, side="right") - 1)]


def plain_search(train: Outcomes, test: Outcomes) -> tuple[Numbers, Numbers]:
    """Chains of three models at most that are best on `train`: rising costs, qualities on `test`.

    Scores are calibrated on the rows that they are judged by; thresholds are 20 quantiles.
    """
    shapes = [isotonic(s, q) for s, q in zip(train.score.T, train.quality.T, strict=True)]
    both = []
    for part in (train, test):
        chance = np.stack([f(s) for f, s in zip(shapes, part.score.T, strict=True)], axis=1)
        both.append(Rows(chance, part.quality, part.cost, (), np.zeros(chance.shape, np.intp)))
    known, unseen = both
    levels = np.quantile(known.chance, np.arange(1, 20) / 20, axis=0, method="higher")
    tried: list[tuple[float, float, tuple[int, ...], tuple[float, ...]]] = []
    for size in (1, 2, 3):
        for chain in combinations(np.argsort(train.cost.mean(0)).tolist(), size):
            own = [sorted(set(levels[:, model].tolist())) for model in chain[:-1]]
            for thresholds in product(*own, [0.0]):
                cost, quality = known.under(chain, thresholds, None)
                tried.append((float(cost.mean()), float(quality.mean()), chain, thresholds))
    estimates = [Estimate(cost, quality) for cost, quality, _, _ in tried]
    hull = corners(estimates)
    cost, quality = np.array(
        [[part.mean() for part in unseen.under(*tried[place][2:], None)] for place in hull]
    ).T
    order = cost.argsort()
    return cost[order], quality[order]


@pytest.mark.parametrize("rows", [200, 800])
def test_held_out_rows_get_at_least_what_a_plain_search_gives_them(rows: int) -> None:
    """At what was in fact spent, where the plain search may cast lots between its policies too."""
    gains, spent = [], []
    for seed in range(8):
        train, test = world(rows, seed), world(4000, 1000 + seed)
        cheapest, dearest = train.cost[:, 0].mean(), train.cost[:, 3].mean()
        made = optimise(train, Search())
        budgets = np.geomspace(cheapest, dearest, 30)
        ours = [measured(made.for_budget(usd).policy, test, made.search) for usd in budgets]
        costs, qualities = plain_search(train, test)
        plain = np.interp([each.cost for each in ours], costs, qualities)
        gains.append(np.mean([each.quality for each in ours] - plain))
        spent.append(np.mean([each.cost for each in ours] / budgets))
    assert np.mean(gains) > 0.003
    assert np.mean(spent) < 1.03
