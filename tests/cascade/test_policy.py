"""A policy is checked when it is made, and its JSON gives the same policy again."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.errors import BadPolicy
from cascade.policy import Budgets, Instead, Policy, Tier

NAN = float("nan")
POLICY = Policy(
    (
        Tier("macros", "macro", 0.8, {"guest": 0.9}),
        Tier("gpt-4o-mini", "llm", 0.7),
    ),
    Budgets(Decimal("0.01"), {"guest": Decimal("1.50"), "*": Decimal("20")}),
    20.0,
)


def test_a_segment_may_have_its_own_threshold() -> None:
    tier = POLICY.tiers[0]
    assert tier.threshold_for("guest") == 0.9
    assert tier.threshold_for("gold") == 0.8
    assert tier.threshold_for(None) == 0.8


def test_a_segment_may_have_its_own_budget() -> None:
    assert POLICY.budgets.for_segment("guest") == Decimal("1.50")
    assert POLICY.budgets.for_segment("gold") == Decimal("20")
    assert POLICY.budgets.for_segment(None) == Decimal("20")
    assert Budgets().for_segment("gold") is None


def test_json_gives_the_policy_again() -> None:
    again = Policy.from_json(POLICY.to_json())
    assert again == POLICY
    assert again.version == POLICY.version


def test_the_version_changes_with_every_part() -> None:
    versions = {
        POLICY.version,
        Policy(POLICY.tiers, POLICY.budgets, 21.0).version,
        Policy(POLICY.tiers, Budgets(), 20.0).version,
        Policy(POLICY.tiers[::-1], POLICY.budgets, 20.0).version,
        Policy((Tier("macros", "macro", 0.8), POLICY.tiers[1]), POLICY.budgets, 20.0).version,
    }
    assert len(versions) == 5
    assert all(len(version) == 12 and int(version, 16) >= 0 for version in versions)


def test_equal_policies_have_one_version() -> None:
    one = Policy((Tier("m", "llm", 1),), Budgets(Decimal("0.10")), 20)
    other = Policy((Tier("m", "llm", 1.0),), Budgets(Decimal("0.1")), 20.0)
    assert one == other
    assert one.version == other.version


def test_a_calibration_says_what_scores_are_worth() -> None:
    tier = Tier("m", "llm", 0.8, calibration=((0.2, 0.1), (0.4, 0.5), (0.8, 0.5)))
    worths = tier.chances([0.0, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0])
    assert worths == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.5, 0.5, 0.5])
    assert float(tier.chances(0.3)) == pytest.approx(0.3)
    assert Tier("m", "llm", 0.8, calibration=((0.5, 0.7),)).chances([0, 1]).tolist() == [0.7, 0.7]


def test_without_a_calibration_a_score_is_the_chance_itself() -> None:
    scores = [0.0, 0.123456789, 1.0]
    assert Tier("m", "llm", 0.8).chances(scores).tolist() == scores


OTHER = (Tier("gpt-4o", "llm", 0.0), Tier("macros", "macro", 0.5))
MIXED = replace(POLICY, instead=Instead(0.25, OTHER))


def test_a_ticket_goes_the_same_way_always_and_the_share_goes_the_other() -> None:
    ways = [MIXED.for_ticket(f"T-{each}") for each in range(10_000)]
    assert ways == [MIXED.for_ticket(f"T-{each}") for each in range(10_000)]
    assert all(way.instead is None for way in ways)
    other = [way for way in ways if way.tiers == OTHER]
    assert all(way.tiers == POLICY.tiers for way in ways if way.tiers != OTHER)
    assert len(other) / len(ways) == pytest.approx(0.25, abs=0.02)
    assert (other[0].budgets, other[0].deadline_s) == (POLICY.budgets, POLICY.deadline_s)


def test_a_larger_share_keeps_the_tickets_of_a_smaller_one() -> None:
    small, large = (replace(POLICY, instead=Instead(share, OTHER)) for share in (0.2, 0.3))
    names = [f"T-{each}" for each in range(1000)]
    went = {name for name in names if small.for_ticket(name).tiers == OTHER}
    assert went < {name for name in names if large.for_ticket(name).tiers == OTHER}


def test_any_name_has_a_way() -> None:
    for name in ("", "ü", "\ud800"):
        assert MIXED.for_ticket(name).instead is None


def test_without_another_way_a_policy_is_the_same_for_all() -> None:
    assert POLICY.for_ticket("T-1") is POLICY


def test_another_way_and_a_calibration_survive_json_and_change_the_version() -> None:
    calibrated = replace(POLICY.tiers[0], calibration=((0.1, 0.2), (0.9, 1)))
    full = replace(MIXED, tiers=(calibrated, POLICY.tiers[1]))
    again = Policy.from_json(full.to_json())
    assert again == full
    other_share = replace(MIXED, instead=Instead(0.26, OTHER))
    versions = {each.version for each in (POLICY, MIXED, full, other_share)}
    assert len(versions) == 4
    assert again.version == full.version


def test_what_a_policy_does_without_leaves_no_key_and_its_version_alone() -> None:
    data = json.loads(POLICY.to_json())
    assert data.keys() == {"tiers", "budgets", "deadline_s"}
    assert data["tiers"][0].keys() == {"model", "source", "threshold", "segment_thresholds"}
    assert POLICY.version == "7250214d8830"
    assert Policy.from_json(json.dumps(data | {"instead": None})) == POLICY


def test_keys_of_others_are_passed_over() -> None:
    made_from = {"made_from": {"log": "train.jsonl", "rows": 1, "ids": ["ba7816bf8f01"]}}
    assert Policy.from_json(json.dumps(json.loads(POLICY.to_json()) | made_from)) == POLICY


MONEY = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=12)
THRESHOLDS = st.floats(0, 1)
TIERS = st.builds(
    Tier,
    st.text(min_size=1),
    st.sampled_from(["cache", "macro", "llm", "simulated"]),
    THRESHOLDS,
    st.dictionaries(st.text(), THRESHOLDS, max_size=3),
    st.sampled_from([(), ((0.5, 0.25),), ((0.0, 0.1), (0.3, 0.1), (1.0, 0.9))]),
)
CHAINS = st.lists(TIERS, min_size=1, max_size=4, unique_by=lambda tier: tier.model).map(tuple)
SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)


@settings(deadline=None)
@given(
    st.builds(
        Policy,
        CHAINS,
        st.builds(Budgets, st.none() | MONEY, st.dictionaries(st.text(), MONEY, max_size=3)),
        st.floats(0.001, 1e6),
        st.none() | st.builds(Instead, SHARES, CHAINS),
    )
)
def test_any_policy_survives_json(policy: Policy) -> None:
    again = Policy.from_json(policy.to_json())
    assert again == policy
    assert again.to_json() == policy.to_json()


def calibrated(*knots: Any) -> Tier:
    return Tier("m", "llm", 0.5, calibration=knots)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Policy(()),
        lambda: Policy((Tier("m", "llm", 0.5), Tier("m", "llm", 0.6))),
        lambda: Policy(POLICY.tiers, deadline_s=0),
        lambda: Policy(POLICY.tiers, deadline_s=NAN),
        lambda: Policy(POLICY.tiers, deadline_s=float("inf")),
        lambda: Tier("", "llm", 0.5),
        lambda: Tier("m", "oracle", 0.5),  # type: ignore[arg-type]
        lambda: Tier("m", "llm", -0.1),
        lambda: Tier("m", "llm", 1.1),
        lambda: Tier("m", "llm", NAN),
        lambda: Tier("m", "llm", True),
        lambda: Tier("m", "llm", 0.5, {"gold": 2.0}),
        lambda: Budgets(Decimal("-1")),
        lambda: Budgets(Decimal("NaN")),
        lambda: Budgets(0.1),  # type: ignore[arg-type]
        lambda: Budgets(None, {"gold": Decimal("-1")}),
        lambda: calibrated((0.5, 1.1)),
        lambda: calibrated((-0.1, 0.5)),
        lambda: calibrated((0.5, NAN)),
        lambda: calibrated((NAN, 0.5), (0.6, 0.7)),
        lambda: calibrated((0.5, 0.5), (0.5, 0.6)),
        lambda: calibrated((0.6, 0.5), (0.5, 0.6)),
        lambda: calibrated((0.5, 0.6), (0.6, 0.5)),
        lambda: calibrated((0.5, True)),
        lambda: calibrated(("low", 0.1), (0.2, 0.3)),
        lambda: calibrated((0.1, 0.2, 0.3)),
        lambda: Instead(0.0, OTHER),
        lambda: Instead(1.0, OTHER),
        lambda: Instead(NAN, OTHER),
        lambda: Instead(True, OTHER),
        lambda: Instead(0.5, ()),
        lambda: Instead(0.5, (OTHER[0], OTHER[0])),
    ],
)
def test_what_cannot_run_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(BadPolicy):
        make()


GOOD = json.loads(POLICY.to_json())
GOOD_TIER = GOOD["tiers"][0]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        GOOD | {"tiers": None},
        GOOD | {"tiers": []},
        GOOD | {"tiers": [3]},
        GOOD | {"tiers": [GOOD_TIER | {"threshold": "high"}]},
        GOOD | {"tiers": [GOOD_TIER | {"threshold": NAN}]},
        GOOD | {"tiers": [GOOD_TIER | {"model": 3}]},
        GOOD | {"tiers": [GOOD_TIER | {"source": ["llm"]}]},
        GOOD | {"tiers": [GOOD_TIER | {"segment_thresholds": [0.5]}]},
        GOOD | {"tiers": [GOOD_TIER | {"calibration": None}]},
        GOOD | {"tiers": [GOOD_TIER | {"calibration": {"0.1": 0.2}}]},
        GOOD | {"tiers": [GOOD_TIER | {"calibration": [0.1, 0.2]}]},
        GOOD | {"tiers": [GOOD_TIER | {"calibration": [[0.1]]}]},
        GOOD | {"tiers": [GOOD_TIER | {"calibration": [[0.1, "high"]]}]},
        GOOD | {"tiers": [GOOD_TIER | {"calibration": [[0.1, 2]]}]},
        GOOD | {"instead": 0.5},
        GOOD | {"instead": {"share": 0.5}},
        GOOD | {"instead": {"tiers": [GOOD_TIER]}},
        GOOD | {"instead": {"share": "half", "tiers": [GOOD_TIER]}},
        GOOD | {"instead": {"share": 1.5, "tiers": [GOOD_TIER]}},
        GOOD | {"instead": {"share": 0.5, "tiers": []}},
        GOOD | {"deadline_s": "soon"},
        GOOD | {"deadline_s": 10**400},
        GOOD | {"budgets": {"per_ticket": 0.1}},
        GOOD | {"budgets": {"per_ticket": "cheap"}},
        GOOD | {"budgets": {"per_segment_day": []}},
        GOOD | {"budgets": []},
    ],
)
def test_json_that_is_no_policy_is_refused(data: object) -> None:
    with pytest.raises(BadPolicy):
        Policy.from_json(json.dumps(data))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(BadPolicy):
        Policy.from_json("{")


@pytest.mark.parametrize("amount", ["1e500000000", "1e-500000000", "0e99999"])
def test_money_of_endless_digits_is_refused(amount: str) -> None:
    with pytest.raises(BadPolicy, match="per_ticket"):
        Budgets(Decimal(amount))
