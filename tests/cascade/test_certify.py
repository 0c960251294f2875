"""Certificates are right as often as they say, on any number of rows, and so are alarms."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.bounds import betting_upper, binomial_tail, binomial_upper
from cascade.certify import (
    certify,
    cheapest,
    check_unseen,
    check_unseen_customers,
    fingerprint,
    made_from,
)
from cascade.errors import BadOutcomes, BadPolicy, Infeasible
from cascade.policy import Policy, Tier
from cascade.replay import Human, Outcomes, Row
from cascade.watch import Watch
from scoring.customer import Customer

Numbers = NDArray[np.float64]

MODELS = ("small", "large")
LOGS = 1000
NAN = float("nan")


def log(quality: Numbers, score: Numbers, segments: tuple[str, ...] = ("gold",)) -> Outcomes:
    """A log of (n, models) grades and scores; the segments take turns."""
    n, models = quality.shape
    rows = tuple(
        Row(f"q-{place}", segments[place % len(segments)], None, None, ("",) * models)
        for place in range(n)
    )
    names = MODELS[:models]
    cost = np.tile([0.001, 0.01][:models], (n, 1))
    return Outcomes("test.jsonl", rows, names, ("llm",) * models, cost, quality, score, cost * NAN)


def graded(wrong: int, n: int, segments: tuple[str, ...] = ("gold",)) -> Outcomes:
    """A log of one model with so many wrong answers, spread evenly, all of score 1."""
    quality = np.ones((n, 1))
    quality[np.linspace(0, n - 1, wrong).astype(int)] = 0
    return log(quality, np.ones((n, 1)), segments)


def accept_from(threshold: float, model: str = "small") -> Policy:
    return Policy((Tier(model, "llm", threshold),))


ALL = accept_from(0.0)


def pool(error: float, rng: np.random.Generator, segments: tuple[str, ...]) -> Outcomes:
    """Many rows of which exactly this share is wrong, in each segment and for each model.

    Scores say nothing about quality, so the share is the same at every threshold but for chance.
    """
    n = 5000 * len(segments)
    quality = np.ones((n, 2))
    quality[: round(error * n)] = 0
    return log(quality, rng.random((n, 2)), segments)


def resampled(rows: Outcomes, n: int, rng: np.random.Generator) -> Iterator[Outcomes]:
    for _ in range(LOGS):
        yield rows.take(rng.integers(len(rows), size=n))


# Bounds


@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize("level", [0.2, 0.05, 0.001])
def test_the_binomial_bound_is_where_the_summed_tail_is_the_level(n: int, level: float) -> None:
    def summed(k: int, p: float) -> float:
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))

    for k in range(n):
        bound = binomial_upper(k, n, level=level)
        assert summed(k, bound) == pytest.approx(level, rel=1e-9)
        assert binomial_tail(k, n, bound) == pytest.approx(level, rel=1e-9)
    assert binomial_upper(n, n, level=level) == 1


@pytest.mark.parametrize(
    ("wrong", "n", "level", "bound"),
    [
        (0, 59, 0.05, 1 - 0.05 ** (1 / 59)),
        (0, 58, 0.05, 1 - 0.05 ** (1 / 58)),
        (1, 10, 0.05, 0.3941633),
        (5, 100, 0.025, 0.1128349),
        (0, 100_000, 0.05, 1 - 0.05 ** (1 / 100_000)),
    ],
)
def test_known_binomial_bounds(wrong: int, n: int, level: float, bound: float) -> None:
    assert binomial_upper(wrong, n, level=level) == pytest.approx(bound, rel=1e-6)


def test_fifty_nine_right_answers_are_just_enough_for_five_percent() -> None:
    assert binomial_upper(0, 59, level=0.05) < 0.05 < binomial_upper(0, 58, level=0.05)


@pytest.mark.parametrize("p", [0.001, 0.05, 0.5, 0.97])
def test_the_tail_of_a_hundred_thousand_is_exact(p: float) -> None:
    n, most = 100_000, round(100_000 * p) - 50
    logs = np.array([math.lgamma(i + 1) + math.lgamma(n - i + 1) for i in range(most + 1)])
    i = np.arange(most + 1)
    terms = math.lgamma(n + 1) - logs + i * math.log(p) + (n - i) * math.log1p(-p)
    assert binomial_tail(most, n, p) == pytest.approx(np.exp(terms).sum(), rel=1e-8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: binomial_upper(0, 0, level=0.05),
        lambda: binomial_upper(3, 2, level=0.05),
        lambda: betting_upper([], level=0.05),
        lambda: betting_upper([0.5, 1.2], level=0.05),
        lambda: betting_upper([0.5, NAN], level=0.05),
    ],
)
def test_a_bound_needs_values(make: Callable[[], float]) -> None:
    with pytest.raises(ValueError, match="a bound from"):
        make()


@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.beta(0.2, 3.8, n),
        lambda rng, n: rng.choice([0, 0.5, 1], n, p=[0.93, 0.04, 0.03]),
        lambda rng, n: np.full(n, 0.05),
    ],
)
def test_the_betting_bound_is_too_low_as_rarely_as_it_says(
    n: int, draw: Callable[[np.random.Generator, int], Numbers]
) -> None:
    rng = np.random.default_rng(3)
    bounds = [betting_upper(draw(rng, n), level=0.1) for _ in range(300)]
    assert np.mean(np.array(bounds) < 0.05) <= 0.1


def test_the_betting_bound_uses_that_values_vary_little() -> None:
    right_or_wrong = np.repeat([0.0, 1.0], [950, 50])
    by_degrees = np.full(1000, 0.05)
    assert betting_upper(by_degrees, level=0.05) < 0.06
    assert betting_upper(by_degrees, level=0.05) < betting_upper(right_or_wrong, level=0.05) < 0.075


def test_the_order_of_the_values_does_not_matter() -> None:
    values = np.random.default_rng(1).random(100)
    assert betting_upper(values, level=0.05) == betting_upper(np.sort(values), level=0.05)
    assert betting_upper([1.0, 1.0], level=0.05) == 1
    assert betting_upper([0.0], level=0.05) > 0.9


# Certificates


def test_a_clearly_good_policy_is_certified_overall_and_for_each_segment() -> None:
    made = certify(ALL, graded(8, 800, ("gold", "guest")))
    assert made.holds
    assert [part.segment for part in made.parts] == [None, "gold", "guest"]
    assert [part.rows for part in made.parts] == [800, 400, 400]
    assert [part.verdict for part in made.parts] == ["certified"] * 3
    assert (made.policy, made.log, made.claims) == (ALL.version, "test.jsonl", 3)
    assert made.level == pytest.approx(0.05 / 3)
    whole = made.parts[0]
    assert whole.accepted == 800
    assert whole.wrong == pytest.approx(0.01)
    assert whole.bound == binomial_upper(8, 800, level=made.level)


def test_only_accepted_answers_count() -> None:
    quality = np.repeat([1.0, 0.0], [400, 400])[:, None]
    made = certify(accept_from(0.5), log(quality, quality))
    assert made.holds
    assert (made.parts[0].rows, made.parts[0].accepted, made.parts[0].wrong) == (800, 400, 0)


def test_one_bad_segment_breaks_the_certificate_and_no_other_verdict() -> None:
    quality = np.ones((1000, 1))
    quality[1::20] = 0
    made = certify(ALL, log(quality, np.ones((1000, 1)), ("gold", "guest")), max_error=0.08)
    assert not made.holds
    assert [part.verdict for part in made.parts] == ["certified", "certified", "not certified"]


def test_every_policy_tried_makes_the_bounds_wider() -> None:
    outcomes = graded(11, 500)
    once, often = (certify(ALL, outcomes, tried=tried) for tried in (1, 50))
    assert once.holds
    assert not often.holds
    assert often.claims == 50
    assert often.level == pytest.approx(once.level / 50)


def test_a_segment_without_accepted_answers_claims_nothing() -> None:
    policy = Policy((Tier("small", "llm", 0.5, {"guest": 1.0}),))
    score = np.full((800, 1), 0.9)
    made = certify(policy, log(np.ones((800, 1)), score, ("gold", "guest")))
    assert made.holds
    guest = made.parts[2]
    assert (guest.accepted, guest.wrong, guest.bound) == (0, None, None)
    assert guest.verdict == "nothing accepted"
    assert made.claims == 3
    assert "in guest  0 of 400 rows accepted: nothing accepted" in made.as_text()


def test_a_policy_that_accepts_nothing_is_not_certified() -> None:
    made = certify(accept_from(1.0), log(np.ones((500, 1)), np.full((500, 1), 0.9)))
    assert not made.holds
    assert {part.verdict for part in made.parts} == {"nothing accepted"}


def test_answers_may_be_wrong_by_degrees() -> None:
    quality = np.full((500, 1), 0.98)
    made = certify(ALL, log(quality, np.ones((500, 1))))
    assert made.holds
    assert made.parts[0].wrong == pytest.approx(0.02)
    assert made.parts[0].bound == betting_upper(np.full(500, 1 - 0.98), level=made.level)
    assert not certify(ALL, log(quality - 0.03, np.ones((500, 1)))).holds


def test_the_certificate_says_it_all_as_json_and_as_text() -> None:
    made = certify(ALL, graded(2, 200, ("gold", "guest")))
    data = json.loads(json.dumps(made.as_json()))
    assert data["holds"] is False
    assert data["claims"] == 3
    assert data["parts"][0]["segment"] is None
    assert data["parts"][1]["rows"] == 100
    text = made.as_text().splitlines()
    assert text[0].startswith("Not certified: at most 5.00% of the answers")
    assert f"policy {ALL.version}" in text[0]
    assert "with 95.00% confidence (test.jsonl, 200 rows; policies tried: 1, claims" in text[0]
    assert text[1].startswith("  overall   200 of 200 rows accepted, 1.00% wrong, bound 3.")
    assert text[1].endswith("%: certified")
    assert text[2].startswith("  in gold   100 of 100 rows accepted, 1.00% wrong, bound 5.")
    assert text[2].endswith("%: not certified")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_error": 0.0}, "max_error is 0.0"),
        ({"max_error": 1.0}, "max_error"),
        ({"max_error": NAN}, "max_error"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"confidence": 0.0}, "confidence"),
        ({"tried": 0}, "0 policies"),
    ],
)
def test_options_without_sense_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(BadOutcomes, match=named):
        certify(ALL, graded(1, 10), **options)


def test_false_certificates_are_as_rare_as_stated_for_one_policy() -> None:
    rng = np.random.default_rng(11)
    rows = pool(0.052, rng, ("gold",))
    held = [certify(ALL, each).holds for each in resampled(rows, 300, rng)]
    assert 0.005 < np.mean(held) <= 0.05


def test_false_certificates_are_as_rare_as_stated_for_segments() -> None:
    rng = np.random.default_rng(12)
    rows = pool(0.052, rng, ("gold", "guest", "silver"))
    made = [certify(ALL, each) for each in resampled(rows, 450, rng)]
    false = [any(part.verdict == "certified" for part in each.parts) for each in made]
    assert 0.005 < np.mean(false) <= 0.05


def test_no_bound_of_a_certificate_is_too_low_more_often_than_stated() -> None:
    rng = np.random.default_rng(13)
    rows = pool(0.2, rng, ("gold", "guest"))
    made = [certify(ALL, each) for each in resampled(rows, 200, rng)]
    missed = [any((part.bound or 1) < 0.2 for part in each.parts) for each in made]
    assert 0.005 < np.mean(missed) <= 0.05


# The cheapest of several policies


def try_all(policies: list[Policy], outcomes: Outcomes) -> Policy | None:
    try:
        return cheapest(policies, outcomes).policy
    except Infeasible:
        return None


def test_false_certificates_are_as_rare_as_stated_for_the_cheapest_of_several() -> None:
    rng = np.random.default_rng(14)
    rows = pool(0.052, rng, ("gold",))
    bad = [accept_from(0.1, "small"), accept_from(0.2, "large")]
    found, uncorrected = [], []
    for each in resampled(rows, 200, rng):
        found.append(try_all(bad, each) is not None)
        uncorrected.append(any(certify(policy, each).holds for policy in bad))
    assert 0.005 < np.mean(found) <= 0.05
    assert np.mean(uncorrected) > np.mean(found)


def test_what_a_good_policy_hands_on_certifies_no_bad_one_too_often() -> None:
    rng = np.random.default_rng(15)
    rows = pool(0.052, rng, ("gold",))
    rows.quality[:, 1] = 1
    good, bad = accept_from(0.0, "large"), accept_from(0.1, "small")
    found = [try_all([good, bad], each) for each in resampled(rows, 250, rng)]
    assert np.mean([policy == bad for policy in found]) <= 0.05
    assert np.mean([policy == good for policy in found]) > 0.9


def test_the_cheapest_certified_policy_is_chosen() -> None:
    quality = np.ones((600, 2))
    quality[::10, 0] = 0
    score = np.ones((600, 2))
    score[::10, 0] = 0.3
    outcomes = log(quality, score)
    dear, good, bad = accept_from(0, "large"), accept_from(0.5), accept_from(0.2)
    chosen = cheapest([dear, good, bad], outcomes)
    assert chosen.policy == good
    assert chosen.cost == pytest.approx(0.001)
    assert chosen.certificate.policy == good.version
    assert chosen.certificate.holds
    assert chosen.certificate.tried == 3
    assert {part.bound for part in chosen.certificate.parts} == {0.05}
    with_people = cheapest([dear, good, bad], outcomes, human=Human(price=5.0))
    assert with_people.policy == dear


def test_a_chain_of_certified_policies_does_better_than_bonferroni() -> None:
    quality = np.ones((400, 2))
    quality[:9, 0] = 0
    outcomes = log(quality, np.ones((400, 2)))
    careful = [Policy((Tier("large", "llm", 0.0),), deadline_s=1.0 + each) for each in range(19)]
    assert not certify(ALL, outcomes, tried=20).holds
    assert cheapest([*careful, ALL], outcomes).policy == ALL


def test_where_no_policy_is_certified_the_nearest_is_named() -> None:
    outcomes = graded(30, 600)
    outcomes.score[:] = 0.9
    with pytest.raises(Infeasible, match=f"the nearest is {ALL.version}") as told:
        cheapest([accept_from(1.0), ALL, accept_from(0.95)], outcomes)
    assert "none of 3 policies is certified at 5.00% on test.jsonl" in str(told.value)
    assert "5.00% of them wrong" in str(told.value)
    silent = log(np.ones((9, 1)), np.zeros((9, 1)))
    with pytest.raises(Infeasible, match="lower their thresholds"):
        cheapest([accept_from(0.5)], silent)
    with pytest.raises(BadOutcomes, match="0 policies"):
        cheapest([], outcomes)


# Rows nobody saw


def test_rows_that_the_policy_was_made_from_are_refused() -> None:
    outcomes = graded(0, 10)
    origin = made_from(outcomes.take(np.arange(3, 6)))
    assert json.loads(json.dumps(origin)) == origin
    assert (origin["log"], origin["rows"]) == ("test.jsonl", 3)
    check_unseen(outcomes.take(np.arange(3)), origin)
    with pytest.raises(BadOutcomes, match=r"3 of 10 rows, 'q-3' among them, .* test.jsonl"):
        check_unseen(outcomes, origin)


@pytest.mark.parametrize("origin", [{}, {"ids": "q-1"}, {"ids": [3]}, {"ids": None}])
def test_an_origin_that_cannot_be_read_is_refused(origin: dict[str, object]) -> None:
    with pytest.raises(BadPolicy, match="made_from"):
        check_unseen(graded(0, 3), origin)


def test_a_fingerprint_is_twelve_hex_digits_of_any_id() -> None:
    names = ["q-1", "q-2", "", "ü", "\ud800"]
    prints = {fingerprint(name) for name in names}
    assert len(prints) == 5
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in prints)
    assert fingerprint("abc") == "ba7816bf8f01"


def test_customers_the_scorer_knows_are_refused() -> None:
    outcomes = graded(0, 2)
    one, other = (Row("q-1", None, Customer("c-1", None), None, ("",)) for _ in range(2))
    known = Outcomes("test.jsonl", (one, other), *_rest(outcomes))
    check_unseen_customers(known, {"c-2"}, name="examples.jsonl")
    with pytest.raises(BadOutcomes, match=r"'c-1', whom the scorer knows from examples\.jsonl"):
        check_unseen_customers(known, {"c-1", "c-2"}, name="examples.jsonl")
    with pytest.raises(BadOutcomes, match="row 'q-0' has no customer"):
        check_unseen_customers(outcomes, {"c-2"}, name="examples.jsonl")


def _rest(outcomes: Outcomes) -> Any:
    fields = ("models", "sources", "cost", "quality", "score", "latency_ms")
    return [getattr(outcomes, field) for field in fields]


# The watch


def test_false_alarms_are_as_rare_as_stated_over_long_streams() -> None:
    rng = np.random.default_rng(21)
    watch = Watch(0.1, 0.8)
    alarms = [watch.alarm_at(rng.random(500) < 0.1) is not None for _ in range(200)]
    assert 0.005 < np.mean(alarms) <= 0.2
    strict = Watch(0.05, 0.95)
    alarms = [strict.alarm_at(rng.random(1000) < 0.05) is not None for _ in range(400)]
    assert np.mean(alarms) <= 0.05


def test_false_alarms_are_rare_where_answers_are_wrong_by_degrees() -> None:
    rng = np.random.default_rng(22)
    watch = Watch(0.05, 0.9)
    alarms = [watch.alarm_at(rng.beta(0.1, 1.9, 1000)) is not None for _ in range(100)]
    assert np.mean(alarms) <= 0.1


@pytest.mark.parametrize("before", [0, 500, 5000])
def test_a_drift_raises_the_alarm_soon(before: int) -> None:
    rng = np.random.default_rng(23)
    waits = []
    for _ in range(20):
        at = Watch().alarm_at(np.r_[rng.random(before) < 0.02, rng.random(1000) < 0.2])
        assert at is not None
        waits.append(at - before)
    assert min(waits) >= 0
    assert np.median(waits) <= 150


def test_the_bounds_hold_at_all_times_at_once() -> None:
    rng = np.random.default_rng(24)
    low, high = [], []
    for _ in range(100):
        told = Watch(0.05, 0.8).after(rng.random(400) < 0.3)
        low.append((told.lower > 0.3).any())
        high.append((told.upper < 0.3).any())
    assert np.mean(low) <= 0.2
    assert np.mean(high) <= 0.2


def test_what_the_watch_says_depends_on_the_past_alone() -> None:
    stream = np.random.default_rng(25).random(300) < 0.15
    told, early = Watch().after(stream), Watch().after(stream[:120])
    assert told.lower[:120].tolist() == early.lower.tolist()
    assert told.upper[:120].tolist() == early.upper.tolist()
    assert (np.diff(told.lower) >= 0).all()
    assert (np.diff(told.upper) <= 0).all()
    assert told.lower[-1] < stream.mean() < told.upper[-1]


def test_the_alarm_stays_and_is_there_before_the_lower_bound_of_two_reaches_the_limit() -> None:
    stream = np.r_[np.ones(30), np.zeros(1000)]
    told = Watch(0.05).after(stream)
    assert told.alarm
    assert told.alarm_at is not None
    assert told.alarm_at <= np.argmax(told.lower >= 0.05)
    assert told.alarm_at == np.argmax(Watch(0.05, 0.9).after(stream).lower >= 0.05)
    assert told.alarm_at == Watch(0.05).alarm_at(stream)
    assert np.argmax(told.lower >= 0.05) < 10


def test_an_empty_stream_says_nothing() -> None:
    told = Watch().after([])
    assert (told.alarm, told.alarm_at, len(told.lower), len(told.upper)) == (False, None, 0, 0)


@pytest.mark.parametrize("stream", [[0.5, 1.2], [-0.1], [NAN], [[0.5]]])
def test_a_stream_of_anything_else_is_refused(stream: list[Any]) -> None:
    with pytest.raises(BadOutcomes, match="wrongness"):
        Watch().after(stream)


def test_a_watch_without_sense_is_refused() -> None:
    for options in ({"max_error": 0.0}, {"confidence": 1.0}):
        with pytest.raises(BadOutcomes, match="expected a share"):
            Watch(**options)
