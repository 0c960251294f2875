"""A policy is checked when it is made, and its JSON gives the same policy again."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.errors import BadPolicy
from cascade.policy import Budgets, Policy, Tier

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


MONEY = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False)
THRESHOLDS = st.floats(0, 1)
TIERS = st.builds(
    Tier,
    st.text(min_size=1),
    st.sampled_from(["cache", "macro", "llm", "simulated"]),
    THRESHOLDS,
    st.dictionaries(st.text(), THRESHOLDS, max_size=3),
)


@settings(deadline=None)
@given(
    st.builds(
        Policy,
        st.lists(TIERS, min_size=1, max_size=4, unique_by=lambda tier: tier.model).map(tuple),
        st.builds(Budgets, st.none() | MONEY, st.dictionaries(st.text(), MONEY, max_size=3)),
        st.floats(0.001, 1e6),
    )
)
def test_any_policy_survives_json(policy: Policy) -> None:
    again = Policy.from_json(policy.to_json())
    assert again == policy
    assert again.to_json() == policy.to_json()


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
        GOOD | {"deadline_s": "soon"},
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
