"""The feature space: the same vector for the same profile, and something defined for any other."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.customer import Customer, Feature
from scoring.features import MOST_EDGES, CustomerSpace, FeatureSpace
from scoring.history import HistorySpace

NO_KINDS = np.zeros((0, 0, 4), dtype=np.float32)


def people(*profiles: Mapping[str, Feature], segment: str | None = None) -> list[Customer]:
    """Return one customer per profile."""
    return [Customer(f"c-{number}", segment, profile) for number, profile in enumerate(profiles)]


SPACE = FeatureSpace.fit(
    people(
        *(
            {"days": day, "tier": "gold" if day % 2 else "guest", "vip": day > 5}
            for day in range(10)
        )
    )
)


def again(space: FeatureSpace) -> FeatureSpace:
    """Return the space after its way through JSON."""
    whole = CustomerSpace(space, HistorySpace(NO_KINDS, (), None))
    return CustomerSpace.from_json(whole.as_json(), NO_KINDS).profile


def encoded(**profile: Feature) -> list[float]:
    """Return the vector of a profile in the small space."""
    return [float(place) for place in SPACE.encode(Customer("x", None, profile))]


def test_a_number_is_a_thermometer() -> None:
    low, high = encoded(days=2), encoded(days=7)
    assert sum(high) > sum(low)
    assert all(h >= w for w, h in zip(low[1:10], high[1:10], strict=True))


def test_neighbouring_days_differ() -> None:
    vectors = {tuple(encoded(days=day)) for day in range(10)}
    assert len(vectors) == 10


def test_numbers_beyond_all_edges_are_as_far_as_it_goes() -> None:
    assert encoded(days=10**6) == encoded(days=99)
    assert np.isfinite(encoded(days=-(10**300))).all()


def test_missing_and_unknown_have_places_of_their_own() -> None:
    assert len({tuple(encoded()), tuple(encoded(tier="diamond")), tuple(encoded(tier="gold"))}) == 3


def test_a_feature_that_was_not_there_in_training_is_ignored() -> None:
    assert encoded(tier="gold", shoe_size=44) == encoded(tier="gold")


def test_a_number_where_words_were_and_words_where_a_number_was() -> None:
    assert encoded(tier=3) == encoded(tier="diamond")
    assert encoded(days="many") == encoded()


def test_the_order_of_features_does_not_matter() -> None:
    one = Customer("x", "s", {"days": 3, "tier": "gold"})
    other = Customer("x", "s", {"tier": "gold", "days": 3})
    assert np.array_equal(SPACE.encode(one), SPACE.encode(other))
    assert FeatureSpace.fit([one, other]) == FeatureSpace.fit([other, one])


def test_the_segment_is_read_too() -> None:
    both = [
        *people({"a": 1}, {"a": 2}, segment="gold"),
        *people({"a": 1}, {"a": 2}, segment="guest"),
    ]
    space = FeatureSpace.fit(both)
    assert not np.array_equal(space.encode(both[0]), space.encode(both[2]))


def test_a_value_of_a_single_customer_is_not_learnt_by_heart() -> None:
    space = FeatureSpace.fit(people({"note": "likes blue"}, {"note": "vip"}, {"note": "vip"}))
    blue, red = ({"note": f"likes {colour}"} for colour in ("blue", "red"))
    vectors = [space.encode(who).tolist() for who in people(blue, red)]
    assert vectors[0] == vectors[1]


def test_many_distinct_numbers_get_a_bounded_number_of_edges() -> None:
    space = FeatureSpace.fit(people(*({"total": n / 7} for n in range(500))))
    (column,) = [column for column in space.columns if column.name == "total"]
    assert column.width == MOST_EDGES + 1


def test_no_features_at_all_still_make_a_space() -> None:
    space = FeatureSpace.fit(people({}, {}))
    assert space.encode(Customer("x", "gold")).shape == (space.width,)


def test_json_gives_the_space_again() -> None:
    assert again(SPACE) == SPACE


def test_half_a_character_in_a_value_is_stored_and_read_again() -> None:
    space = FeatureSpace.fit(people(*({"tier": each} for each in ["\ud800", "gold"] * 5)))
    whole = CustomerSpace(space, HistorySpace(NO_KINDS, (), None))
    assert whole.as_json().encode()
    assert again(space) == space


def test_words_show_numbers_with_their_bins() -> None:
    shown = SPACE.describe(Customer("x", None, {"days": 4, "vip": True, "shoe_size": 44}))
    assert shown == "days: 4 (between 3.5 and 4.5); vip: yes"
    assert "at most" in SPACE.describe(Customer("x", None, {"days": -1}))
    assert "above" in SPACE.describe(Customer("x", None, {"days": 99}))


values = st.one_of(
    st.text(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
profiles = st.dictionaries(
    st.sampled_from(["days", "tier", "vip", "other"]),
    values.filter(lambda value: not isinstance(value, int) or abs(value) < 2**1000),
)


@given(profiles)
def test_any_profile_has_its_columns(profile: dict[str, Feature]) -> None:
    columns = SPACE.encode(Customer("x", None, profile))
    assert columns.shape == (SPACE.width,)
    assert columns.dtype == np.bool_


@given(st.lists(profiles, min_size=1, max_size=5))
def test_any_profiles_can_be_fitted(profiles: list[dict[str, Feature]]) -> None:
    space = FeatureSpace.fit(people(*profiles))
    assert again(space) == space
    for who in people(*profiles):
        assert space.encode(who).shape == (space.width,)


@pytest.mark.parametrize("text", ["", "{}", '{"columns": [{"kind": "Else"}]}'])
def test_a_bent_space_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        CustomerSpace.from_json(text, NO_KINDS)
