"""The frontier is what a search of everything finds; what it expects is what replaying gives."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.chains import Candidate, Estimate, Rows
from cascade.chances import chances_of, expected_quality, fit_knots, out_of_fold
from cascade.errors import BadOutcomes, Infeasible
from cascade.optimiser import Frontier, Search, corners, measured, named, optimise, undominated
from cascade.policy import Instead, Policy, Tier
from cascade.pooling import segment_thresholds, worth_of_segments
from cascade.replay import Human, Outcomes, run
from tests.cascade.logs import log, world

Numbers = NDArray[np.float64]

SMALL = Search(depth=4, bins=4)


def coarse(rows: int, seed: int) -> Outcomes:
    """A world whose scores are rounded, so that many are equal."""
    fine = world(rows, seed)
    return replace(fine, score=np.round(fine.score * 12) / 12)


def values(frontier: Frontier) -> list[tuple[float, float]]:
    """Cost and quality of every point."""
    return [(point.expected.cost, point.expected.quality) for point in frontier.points]


# Against a search of everything


def rows_of(outcomes: Outcomes, search: Search) -> Rows:
    """What the optimiser searches, put together from what is public."""
    priced = search.priced(outcomes)
    unseen = out_of_fold(priced.score, priced.quality, search.seed)
    expected = expected_quality(unseen, priced.quality, search.seed)
    knots = [fit_knots(s, q) for s, q in zip(priced.score.T, priced.quality.T, strict=True)]
    return Rows.of(chances_of(priced.score, knots), expected, priced.cost, search.bins)


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
        with pytest.raises(Infeasible):
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


def test_a_humans_capacity_is_kept_and_used() -> None:
    outcomes = coarse(300, 11)
    for capacity in (0.0, 0.1, 0.33):
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


# Segments


def two_kinds(rows: int, seed: int, *, told: float, small: float = 0.5) -> Outcomes:
    """A log in which a guest's score of the first model says more than is true by `told`.

    Gold customers' scores are honest: the score is the chance of being right.
    """
    random = np.random.default_rng(seed)
    guest = random.random(rows) < small
    chance = random.beta(1.2, 1.0, (rows, 1)) * 0.95
    shown = np.where(guest[:, None], chance ** (1 / (1 + told)), chance)
    second = np.full((rows, 1), 0.9)
    quality = (random.random((rows, 2)) < np.concatenate([chance, second], axis=1)).astype(float)
    score = np.concatenate([shown, random.random((rows, 1))], axis=1)
    cost = np.tile([0.001, 0.01], (rows, 1))
    return log(score, quality, cost, ["guest" if each else "gold" for each in guest])


SEGMENTS = Search(depth=2, bins=20)


def own_thresholds(made: Frontier) -> list[tuple[float, dict[str, float]]]:
    """The first tiers' common thresholds and those of segments, at corners with two tiers."""
    return [
        (point.policy.tiers[0].threshold, dict(point.policy.tiers[0].segment_thresholds))
        for point in made.corners
        if len(point.policy.tiers) > 1
    ]


def test_segments_whose_scores_mean_different_things_get_thresholds_of_their_own() -> None:
    gains = []
    for seed in range(3):
        outcomes, unseen = (two_kinds(3000, each, told=5.0) for each in (seed, 100 + seed))
        own = optimise(outcomes, SEGMENTS)
        common = optimise(outcomes, replace(SEGMENTS, by_segment=False))
        assert own.pooled is not None
        assert own.pooled.gain > own.pooled.error > 0
        assert not own.pooled.kept
        assert common.pooled is None
        differing = [
            segments.get("guest", at) - segments.get("gold", at)
            for at, segments in own_thresholds(own)
        ]
        # A guest's score has to be higher to be worth as much.
        assert np.mean(differing) > 0.02
        budgets = np.linspace(0.002, 0.009, 8)
        gains.append(
            [
                measured(own.for_budget(usd).policy, unseen, SEGMENTS).quality
                - measured(common.for_budget(usd).policy, unseen, SEGMENTS).quality
                for usd in budgets
            ]
        )
    assert np.mean(gains) > 0.005


def test_thresholds_per_segment_cost_what_was_expected() -> None:
    outcomes = two_kinds(1500, 1, told=5.0)
    for human in (None, Human(0.02, 0.99)):
        search = replace(SEGMENTS, human=human)
        made = optimise(outcomes, search)
        assert made.pooled is not None
        assert not made.pooled.kept
        for point in made.points:
            replayed = measured(point.policy, outcomes, search)
            assert replayed.cost == pytest.approx(point.expected.cost, abs=1e-12)
            assert replayed.escalated == pytest.approx(point.expected.escalated, abs=1e-12)


def test_rows_without_a_segment_are_expected_under_the_common_threshold() -> None:
    outcomes = two_kinds(1500, 2, told=5.0)
    rows = tuple(
        replace(row, segment=None if row.segment == "guest" else row.segment)
        for row in outcomes.rows
    )
    made = optimise(replace(outcomes, rows=rows), SEGMENTS)
    assert made.pooled is not None
    for point in made.points:
        assert all(set(tier.segment_thresholds) <= {"gold"} for tier in point.policy.tiers)
        replayed = measured(point.policy, replace(outcomes, rows=rows), SEGMENTS)
        assert replayed.cost == pytest.approx(point.expected.cost, abs=1e-12)


@pytest.mark.parametrize("segments", [2, 12])
def test_segments_that_are_alike_keep_one_threshold(segments: int) -> None:
    kept = []
    for seed in range(16):
        outcomes = two_kinds(400, seed, told=0.0)
        rows = tuple(
            replace(row, segment=f"s{place % segments}") for place, row in enumerate(outcomes.rows)
        )
        made = optimise(replace(outcomes, rows=rows), replace(SEGMENTS, bins=10))
        assert made.pooled is not None
        kept.append(made.pooled.kept)
        if made.pooled.kept:
            assert all(not own for _, own in own_thresholds(made))
    assert np.mean(kept) > 0.6


def test_rows_without_a_segment_gain_nothing() -> None:
    outcomes = two_kinds(2000, 4, told=5.0)
    rows, candidate = (
        rows_of(outcomes, SEGMENTS),
        Candidate((0, 1), (0.5, 0.0), 0.0, Estimate(0, 0)),
    )
    guest = outcomes.of_segment("guest")
    parts = np.flatnonzero(guest), np.flatnonzero(~guest)
    gains = []
    for names in (("guest", "gold"), ("-", "gold"), ("guest", "-")):
        members = dict(zip(names, parts, strict=True))
        gains.append(worth_of_segments(rows, members, [(candidate, 0.03)], None, 0).gain)
    assert min(gains) > 0
    assert gains[0] == pytest.approx(gains[1] + gains[2], rel=0.1)


def test_a_segment_of_three_rows_stays_with_the_others() -> None:
    """Even if in all three the first model is wrong at a high score, which alone says much."""
    outcomes = two_kinds(1200, 3, told=0.0)
    wrong = (outcomes.quality == [0, 1]).all(1) & (outcomes.score[:, 0] > 0.8)
    rare = np.flatnonzero(wrong)[:3]
    rows_known = rows_of(outcomes, SEGMENTS)
    members = {"gold": np.setdiff1d(np.arange(1200), rare), "rare": rare}
    rows = tuple(
        replace(row, segment="rare" if place in rare else "gold")
        for place, row in enumerate(outcomes.rows)
    )
    candidate = Candidate((0, 1), (0.5, 0.0), 0.0, Estimate(0.0, 0.0))

    def away(prior: float, price: float) -> int:
        """How many bins lie between the thresholds of the three rows and of the others."""
        own = segment_thresholds(rows_known, members, candidate, price, None, prior)
        at = [int(np.searchsorted(rows_known.thresholds[0], own[name][0])) for name in members]
        return abs(at[0] - at[1])

    prices = (0.01, 0.03, 0.1)
    assert max(away(300.0, price) for price in prices) <= 3
    assert max(away(0.001, price) for price in prices) > 3
    made = optimise(replace(outcomes, rows=rows), SEGMENTS)
    assert made.pooled is not None


@pytest.mark.parametrize("segment", [None, "gold"])
def test_one_segment_or_none_is_not_pooled(segment: str | None) -> None:
    outcomes = world(100, 14)
    rows = tuple(replace(row, segment=segment) for row in outcomes.rows)
    made = optimise(replace(outcomes, rows=rows), SMALL)
    assert made.pooled is None
    assert all(not tier.segment_thresholds for p in made.points for tier in p.policy.tiers)


def test_segments_that_share_a_humans_day_keep_one_threshold() -> None:
    search = replace(SEGMENTS, human=Human(0.02, 0.99, 0.2))
    outcomes = two_kinds(1500, 1, told=5.0)
    made = optimise(outcomes, search)
    assert made.pooled is not None
    assert made.pooled.kept
    for point in made.points:
        assert measured(point.policy, outcomes, search).escalated <= 0.2 + 1e-12


# Bad and odd input


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
