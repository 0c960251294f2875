"""Segments get thresholds of their own where that is worth it, and only there."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.chains import Candidate, Estimate
from cascade.optimiser import Frontier, Search, measured, optimise
from cascade.pooling import segment_thresholds, worth_of_segments
from cascade.replay import Human, Outcomes
from tests.cascade.logs import SMALL, log, rows_of, world

Numbers = NDArray[np.float64]


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
    assert made.pooled is None
    assert all(not tier.segment_thresholds for p in made.points for tier in p.policy.tiers)
    for point in made.points:
        assert measured(point.policy, outcomes, search).escalated <= 0.2 + 1e-12
