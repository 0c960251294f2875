"""The sums over all thresholds at once are what a plain loop over rows gives."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.chains import Chain, Cloud, Estimate, Rows, cloud_of, clouds, grid_of, thresholds_at
from cascade.policy import Policy, Tier
from cascade.replay import Human, run
from tests.cascade.logs import log

Numbers = NDArray[np.float64]

HUMAN = Human(price=0.7, quality=0.9)


def some_rows(seed: int, *, n: int = 40, models: int = 4, bins: int = 5) -> Rows:
    """Rows whose chances are often equal, 0 and 1 among them, models in no order of cost."""
    random = np.random.default_rng(seed)
    chance = random.integers(0, 9, (n, models)) / 8
    loose = random.random((n, models)) < 0.3
    chance = np.where(loose, random.random((n, models)), chance)
    cost = random.random((n, models)) * random.permutation(models)[None, :]
    return Rows.of(chance, random.random((n, models)), cost, bins)


def looped(
    rows: Rows, chain: Chain, thresholds: tuple[float, ...], human: Human | None
) -> Estimate:
    """Ask tier after tier, row after row."""
    cost = quality = handed = 0.0
    for place in range(len(rows.chance)):
        best = -1
        for model, threshold in zip(chain, thresholds, strict=True):
            cost += rows.cost[place, model]
            if best < 0 or rows.chance[place, model] > rows.chance[place, best]:
                best = model
            if rows.chance[place, model] >= threshold:
                quality += rows.quality[place, model]
                break
        else:
            handed += 1
            if human is None:
                quality += rows.quality[place, best]
            else:
                cost, quality = cost + human.price, quality + human.quality
    n = len(rows.chance)
    return Estimate(cost / n, quality / n, handed / n)


def check(got: Estimate, wanted: Estimate) -> None:
    """Expect the same but for how floats round."""
    assert got.cost == pytest.approx(wanted.cost, abs=1e-12)
    assert got.quality == pytest.approx(wanted.quality, abs=1e-12)
    assert got.escalated == pytest.approx(wanted.escalated, abs=1e-12)


def places(cloud: Cloud) -> Iterator[int]:
    """All places of a cloud, whose arrays are equally large."""
    assert cloud.cost.shape == cloud.quality.shape == cloud.handed.shape
    yield from range(cloud.cost.size)


@pytest.mark.parametrize("human", [None, HUMAN])
@pytest.mark.parametrize("seed", range(3))
def test_a_cloud_is_a_loop_over_rows(seed: int, human: Human | None) -> None:
    rows, seen = some_rows(seed), 0
    for cloud in clouds(rows, depth=4, human=human):
        for place in places(cloud):
            found = cloud.candidate(place, rows)
            assert len(found.thresholds) == len(cloud.chain)
            check(found.expected, looped(rows, cloud.chain, found.thresholds, human))
            seen += 1
    assert seen > 200


@pytest.mark.parametrize("human", [None, HUMAN])
def test_a_cloud_is_what_replaying_its_policies_gives(human: Human | None) -> None:
    rows = some_rows(7, bins=3)
    logged = log(rows.chance, rows.quality, rows.cost)
    for cloud in clouds(rows, depth=4, human=human):
        for place in places(cloud):
            found = cloud.candidate(place, rows)
            tiers = zip(cloud.chain, found.thresholds, strict=True)
            policy = Policy(tuple(Tier(f"m{model}", "llm", at) for model, at in tiers))
            done = run(policy, logged, human=human)
            handed = float((~done.accepted).mean())
            replayed = Estimate(float(done.cost.mean()), float(done.quality.mean()), handed)
            check(found.expected, replayed)


@pytest.mark.parametrize("human", [None, HUMAN])
@pytest.mark.parametrize("seed", range(3))
def test_rows_under_thresholds_are_a_loop_over_rows(seed: int, human: Human | None) -> None:
    rows, random = some_rows(seed, n=60), np.random.default_rng(seed)
    for _ in range(50):
        chain = tuple(map(int, random.permutation(4)[: random.integers(1, 5)]))
        at = tuple(map(float, random.integers(0, 9, len(chain)) / 8))
        cost, quality = rows.under(chain, at, human)
        if human is not None:
            handed = looped(rows, chain, at, human).escalated
            assert rows.rejected(chain, at).mean() == pytest.approx(handed)
        wanted = looped(rows, chain, at, human)
        assert cost.mean() == pytest.approx(wanted.cost)
        assert quality.mean() == pytest.approx(wanted.quality)
        for place in range(5):
            alone = looped(rows.take(np.array([place])), chain, at, human)
            assert (cost[place], quality[place]) == pytest.approx((alone.cost, alone.quality))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_chains_are_all_cost_ordered_subsets(depth: int) -> None:
    rows = some_rows(2)
    by_cost = [int(model) for model in np.argsort(rows.cost.mean(0))]
    wanted = {chain for size in range(1, depth + 1) for chain in combinations(by_cost, size)}
    found = [(cloud.chain, cloud.last) for cloud in clouds(rows, depth=depth)]
    assert {chain for chain, _ in found} == wanted
    assert len(found) == len(set(found))
    # Alone, a model's answer is the best one seen.
    lasts = {chain: {last for own, last in found if own == chain} for chain in wanted}
    assert all(lasts[chain] == ({0.0, 1.0} if len(chain) > 1 else {0.0}) for chain in wanted)
    with_human = {(each.chain, each.last) for each in clouds(rows, depth=depth, human=HUMAN)}
    assert with_human == {(chain, last) for chain in wanted for last in (0.0, 1.0, None)}


def test_every_combination_of_thresholds_is_there_once() -> None:
    rows = some_rows(3)
    for cloud in clouds(rows, depth=3, human=HUMAN):
        axes = cloud.chain if cloud.last is None else cloud.chain[:-1]
        assert cloud.cost.shape == grid_of(rows, cloud.chain, cloud.last)
        assert cloud.cost.shape == tuple(len(rows.thresholds[model]) for model in axes)
        known = {thresholds_at(rows, cloud.chain, cloud.last, at) for at in places(cloud)}
        assert len(known) == cloud.cost.size
        assert all(own[-1] == cloud.last for own in known if cloud.last is not None)
        for own in known:
            for model, threshold in zip(axes, own, strict=False):
                assert threshold in rows.thresholds[model]


def test_one_cloud_alone_is_the_same_cloud() -> None:
    rows = some_rows(4)
    for cloud in clouds(rows, depth=4, human=HUMAN):
        alone = cloud_of(rows, cloud.chain, cloud.last, HUMAN)
        for name in ("cost", "quality", "handed"):
            np.testing.assert_allclose(getattr(alone, name), getattr(cloud, name), atol=1e-12)


def test_what_is_skipped_is_not_begun_nor_gone_on_with() -> None:
    rows, asked = some_rows(5), []
    cheapest = int(rows.cost.mean(0).argmin())

    def skip(begun: Chain, dearer: Chain) -> bool:
        asked.append((begun, dearer))
        assert all(rows.cost[:, begun[-1]].mean() < rows.cost[:, each].mean() for each in dearer)
        return begun == (cheapest,)

    found = {cloud.chain for cloud in clouds(rows, depth=4, skip=skip)}
    assert found == {cloud.chain for cloud in clouds(rows, depth=4) if cloud.chain[0] != cheapest}
    assert len(asked) == 1 + len(found)


def test_thresholds_are_quantiles_that_some_chance_misses() -> None:
    chance = np.repeat([0.1, 0.4, 0.7, 0.9], 25)[:, None]
    rows = Rows.of(chance, chance, chance, 20)
    assert rows.thresholds[0].tolist() == [0.4, 0.7, 0.9]
    assert rows.bins[:, 0].tolist() == [0] * 25 + [1] * 25 + [2] * 25 + [3] * 25
    between = Rows.of(np.array([[0.1], [0.2], [0.3], [0.4]]), chance[:4], chance[:4], 2)
    assert between.thresholds[0].tolist() == [0.3]
    even = Rows.of(np.linspace(0, 1, 101)[:, None], np.ones((101, 1)), np.ones((101, 1)), 4)
    assert even.thresholds[0].tolist() == [0.25, 0.5, 0.75]


@pytest.mark.parametrize("human", [None, HUMAN])
def test_where_all_chances_are_equal_no_chain_goes_on(human: Human | None) -> None:
    rows = some_rows(6)
    same = Rows.of(np.full((40, 4), 0.5), rows.quality, rows.cost, 10)
    found = list(clouds(same, depth=4, human=human))
    assert {cloud.chain for cloud in found} == {(model,) for model in range(4)}
    for cloud in found:
        for place in places(cloud):
            expected = cloud.candidate(place, same)
            check(expected.expected, looped(same, cloud.chain, expected.thresholds, human))


def test_taken_rows_keep_the_thresholds() -> None:
    rows = some_rows(8)
    some = rows.take(np.array([3, 5, 8]))
    assert some.chance.tolist() == rows.chance[[3, 5, 8]].tolist()
    assert some.bins.tolist() == rows.bins[[3, 5, 8]].tolist()
    assert some.thresholds is rows.thresholds


def test_mixing_estimates_lies_on_the_line_between_them() -> None:
    mix = Estimate(1, 0.5, 0.25).mixed(Estimate(3, 0.75, 0), 0.25)
    assert mix == Estimate(1.5, 0.5625, 0.1875)
    assert Estimate(1, 0.5).slope_to(Estimate(3, 0.75)) == 0.125
