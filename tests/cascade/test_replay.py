"""A log is read whole or not at all, and replaying it does what the service would have done."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.answering import Accepted, Escalated, Scored, answer
from cascade.errors import BadOutcomes
from cascade.policy import Instead, Policy, Tier
from cascade.pricing import PriceTable, Usage
from cascade.providers import DraftRequest
from cascade.replay import (
    Human,
    Outcomes,
    Replayed,
    check_scored,
    fill_scores,
    read_outcomes,
    run,
)
from cascade.simulated import Simulated
from scoring.customer import Customer

NAN = float("nan")
MODELS = ("small", "middle", "large")
SEGMENTS = ("gold", "guest", None)


def entry(model: str, **fields: Any) -> dict[str, Any]:
    given = {"model": model, "text": f"by {model}", "cost": 0.5, "quality": 1, "score": 0.8}
    return given | fields


def line(name: str = "q-1", **fields: Any) -> dict[str, Any]:
    return {"id": name, "answers": [entry("small"), entry("large", cost=2)]} | fields


def read(*lines: object) -> Outcomes:
    return read_outcomes([json.dumps(each) for each in lines], name="log.jsonl")


# Reading


def test_a_line_says_who_asked_and_what_each_model_answered() -> None:
    customer = {"id": "c-17", "segment": "gold", "features": {"days_since_purchase": 45}}
    outcomes = read(
        line(
            segment="gold",
            customer=customer,
            history=["asked about a parcel"],
            at="2026-04-01T09:00:00Z",
            question="Can I return it?",
            answers=[
                entry("macros", text="Yes.", cost=0, quality=0.5, score=0.25, latency_ms=3),
                entry("gpt-4o-mini", text="No.", cost=0.000043),
            ],
        )
    )
    (row,) = outcomes.rows
    assert (row.id, row.segment, row.question) == ("q-1", "gold", "Can I return it?")
    assert row.answers == ("Yes.", "No.")
    assert row.customer == Customer(
        "c-17", "gold", {"days_since_purchase": 45}, ("asked about a parcel",), date(2026, 4, 1)
    )
    assert (outcomes.name, outcomes.models) == ("log.jsonl", ("macros", "gpt-4o-mini"))
    assert outcomes.sources == ("macro", "llm")
    assert outcomes.cost.tolist() == [[0, 0.000043]]
    assert outcomes.quality.tolist() == [[0.5, 1]]
    assert outcomes.score.tolist() == [[0.25, 0.8]]
    assert outcomes.latency_ms[0, 0] == 3
    assert np.isnan(outcomes.latency_ms[0, 1])


def test_models_in_another_order_are_the_same_models() -> None:
    outcomes = read(line(), line("q-2", answers=[entry("large", cost=3), entry("small", cost=1)]))
    assert outcomes.models == ("small", "large")
    assert outcomes.cost.tolist() == [[0.5, 2], [1, 3]]
    assert outcomes.rows[1].answers == ("by small", "by large")


def test_the_segment_is_the_lines_or_else_the_customers() -> None:
    customer = {"id": "c-1", "segment": "gold"}
    outcomes = read(
        line("a", segment="guest", customer=customer), line("b", customer=customer), line("c")
    )
    assert [row.segment for row in outcomes.rows] == ["guest", "gold", None]
    assert outcomes.segments == ("-", "gold", "guest")
    assert outcomes.of_segment("-").tolist() == [False, False, True]


def test_blank_lines_and_fields_of_ones_own_are_passed_over() -> None:
    lines = ["", json.dumps(line(mood="good")), "\n"]
    assert len(read_outcomes(lines, name="log.jsonl")) == 1


@pytest.mark.parametrize(
    ("bad", "got", "expected"),
    [
        ({"answers": [entry("small")]}, "models is ['small']", "expected small, large"),
        ({"answers": [entry("small"), entry("huge")]}, "['huge', 'small']", "small, large"),
        ({"answers": [entry("small"), entry("small")]}, "model is 'small'", "no other answer"),
        ({"answers": [entry("small", cost=-0.1), entry("large")]}, "is -0.1", "0 or more"),
        ({"answers": [entry("small", cost=1e999), entry("large")]}, "is inf", "finite"),
        ({"answers": [entry("small", cost=10**400), entry("large")]}, "is 1000", "finite"),
        ({"answers": [entry("small", cost="free"), entry("large")]}, "is 'free'", "number"),
        ({"answers": [entry("small", cost=True), entry("large")]}, "is True", "number"),
        ({"answers": [entry("small", cost=None), entry("large")]}, "is None", "number"),
        ({"answers": [entry("small"), entry("large", quality=1.2)]}, "is 1.2", "from 0 to 1"),
        ({"answers": [entry("small", quality=NAN), entry("large")]}, "is nan", "from 0 to 1"),
        ({"answers": [entry("small", quality=None), entry("large")]}, "is None", "from 0 to 1"),
        ({"answers": [entry("small", score=NAN), entry("large")]}, "is nan", "from 0 to 1"),
        ({"answers": [entry("small", score=-1), entry("large")]}, "is -1", "from 0 to 1"),
        ({"answers": [entry("small", latency_ms=-1), entry("large")]}, "is -1", "0 or more"),
        ({"answers": [entry("small", text=3), entry("large")]}, "text is 3", "a string"),
        ({"answers": [entry("small", source="x"), entry("large")]}, "source is 'x'", "macro"),
        ({"answers": []}, "answers is []", "a list"),
        ({"answers": {"model": "small"}}, "answers is {", "a list"),
        ({"answers": ["small", "large"]}, "an answer is 'small'", "an object"),
        ({"answers": [{"cost": 1}]}, "model is None", "a string"),
        ({"id": "q-1"}, "id is 'q-1'", "no line before"),
        ({"id": 3}, "id is 3", "a string"),
        ({"id": ""}, "id is ''", "non-empty"),
        ({"segment": 3}, "segment is 3", "a string or null"),
        ({"question": 3}, "question is 3", "a string"),
        ({"customer": "c-1"}, "customer is 'c-1'", "an object"),
        ({"customer": {"segment": "gold"}}, "customer.id is None", "a string"),
        ({"customer": {"id": "c", "features": {"a": [1]}}}, "'a' is a list", "a string, a number"),
        ({"customer": {"id": "c", "features": {"a": NAN}}}, "'a' is no finite", "expected one"),
        ({"customer": {"id": "c"}, "history": "once"}, "history is 'once'", "a list of strings"),
        ({"customer": {"id": "c"}, "at": "today"}, "at is 'today'", "ISO 8601"),
        ({"segment": "a\x00b"}, "segment is 'a\\x00b'", "without control characters"),
        ({"customer": {"id": "c", "segment": "\x1b[2J"}}, "holds U+001B", "without control"),
        ({"answers": [entry("small"), entry("\ud800")]}, "model is '\\ud800'", "surrogate"),
        ({"answers": [entry("small", source="cache"), entry("large")]}, "is 'cache'", "llm, as on"),
        ({"answers": [entry("small", cost=1.1e9), entry("large")]}, "is 1100000000.0", "most 1e9"),
    ],
)
def test_a_bad_line_is_named_with_what_was_got_and_expected(
    bad: dict[str, Any], got: str, expected: str
) -> None:
    with pytest.raises(BadOutcomes) as told:
        read(line(), line("q-2") | bad)
    assert str(told.value).startswith("log.jsonl, line 2: ")
    assert got in str(told.value)
    assert expected in str(told.value)


def test_a_long_value_is_told_in_part() -> None:
    with pytest.raises(BadOutcomes) as told:
        read(line(segment=["x" * 10_000]))
    assert len(str(told.value)) < 150


def test_a_broken_line_has_one_number() -> None:
    with pytest.raises(BadOutcomes) as told:
        read_outcomes(['{"id": }'], name="log.jsonl")
    assert str(told.value) == (
        "log.jsonl, line 1: Expecting value at column 8; expected one JSON object a line"
    )


@pytest.mark.parametrize("text", ["{", "3", "[]", "null", "[" * 100_000])
def test_a_line_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadOutcomes, match=r"log\.jsonl, line 3: "):
        read_outcomes([json.dumps(line()), "", text], name="log.jsonl")


def test_a_log_without_lines_is_refused() -> None:
    for lines in ([], ["", " \n"]):
        with pytest.raises(BadOutcomes, match=r"log\.jsonl: no outcomes; expected at least one"):
            read_outcomes(lines, name="log.jsonl")


# Scores


@dataclass
class ByCustomer:
    """Scores by the customer's feature and keeps what it was asked."""

    asked: list[tuple[str, str, Customer]]

    def __call__(self, given: Sequence[tuple[str, str, Customer]]) -> Sequence[float]:
        self.asked += given
        return [float(customer.features["worth"]) for _, _, customer in given]


def test_the_scorer_fills_in_missing_scores_only() -> None:
    customer = {"id": "c-1", "features": {"worth": 0.3}}
    given = line(question="Why?", customer=customer, answers=[entry("a", score=None), entry("b")])
    outcomes, scorer = read(given), ByCustomer([])
    filled = fill_scores(outcomes, scorer)
    assert filled.score.tolist() == [[0.3, 0.8]]
    assert np.isnan(outcomes.score[0, 0])
    assert scorer.asked == [("Why?", "by a", Customer("c-1", None, {"worth": 0.3}))]
    check_scored(filled)
    assert fill_scores(filled, scorer) is filled


@pytest.mark.parametrize(
    "without", [{"customer": None}, {"question": None}, {"answers": [entry("a", text=" ")]}]
)
def test_a_score_cannot_be_made_from_nothing(without: dict[str, Any]) -> None:
    given = line(question="Why?", customer={"id": "c-1"}, answers=[entry("a")]) | without
    given["answers"][0].pop("score", None)
    with pytest.raises(BadOutcomes, match=r"log\.jsonl: row 'q-1' has no score for 'a'"):
        fill_scores(read(given), ByCustomer([]))


def test_without_scores_nothing_is_replayed() -> None:
    outcomes = read(line(), line("q-2", answers=[entry("small"), entry("large", score=None)]))
    with pytest.raises(BadOutcomes, match=r"1 answers have no score, .* in 'q-2'; add"):
        run(Policy((Tier("small", "llm", 0.5),)), outcomes)


# Parts of a log


def test_rows_and_models_can_be_taken_apart() -> None:
    outcomes = read(line("a", segment="gold"), line("b"), line("c"))
    assert [row.id for row in outcomes.take(np.array([2, 0])).rows] == ["c", "a"]
    assert [row.id for row in outcomes.take(outcomes.of_segment("gold")).rows] == ["a"]
    turned = outcomes.of_models(["large", "small"])
    assert turned.models == ("large", "small")
    assert turned.cost[0].tolist() == [2, 0.5]
    assert turned.rows[0].answers == ("by large", "by small")
    assert outcomes.of_models(["large"]).sources == ("llm",)


def test_logs_that_share_rows_are_told_apart() -> None:
    outcomes = read(line("a"), line("b"), line("c"))
    outcomes.take(np.array([0])).without(outcomes.take(np.array([1, 2])))
    with pytest.raises(BadOutcomes, match="share 2 rows, 'b' among them"):
        outcomes.without(outcomes.take(np.array([1, 2])))


# Replaying


def scored(*scores: Sequence[float], cost: float = 1.0) -> Outcomes:
    """A log with these scores for each model; a model's quality is its place, halved."""
    return read(
        *(
            line(
                f"q-{place}",
                answers=[
                    entry(model, score=score, cost=cost, quality=each / 2)
                    for each, (model, score) in enumerate(zip(MODELS, row, strict=False))
                ],
            )
            for place, row in enumerate(scores)
        )
    )


def chain(*thresholds: float) -> Policy:
    models = zip(MODELS, thresholds, strict=False)
    return Policy(tuple(Tier(model, "llm", threshold) for model, threshold in models))


def test_the_first_good_enough_answer_is_given_and_ends_the_asking() -> None:
    done = run(chain(0.8, 0.5), scored([0.8, 0.9], [0.7, 0.5], [0.7, 0.4], [0.1, 0.2]))
    assert done.accepted.tolist() == [True, True, False, False]
    assert done.tier.tolist() == [0, 1, 0, 1]
    assert done.asked.tolist() == [1, 2, 2, 2]
    assert done.chance.tolist() == [0.8, 0.5, 0.7, 0.2]
    assert done.cost.tolist() == [1, 2, 2, 2]
    assert done.quality.tolist() == [0, 0.5, 0, 0.5]


def test_of_equal_scores_the_earliest_is_given() -> None:
    done = run(chain(0.9, 0.9, 0.9), scored([0.4, 0.4, 0.4], [0.2, 0.6, 0.6]))
    assert done.tier.tolist() == [0, 1]


def test_the_place_in_the_chain_is_not_the_place_in_the_log() -> None:
    policy = Policy((Tier("large", "llm", 0.9), Tier("small", "llm", 0.2)))
    done = run(policy, scored([0.5, 0.5, 0.5]))
    assert (done.tier.tolist(), done.model.tolist()) == ([1], [0])


def test_what_is_not_accepted_costs_and_is_worth_the_humans() -> None:
    outcomes = scored([0.9, 0.1], [0.1, 0.2])
    done = run(chain(0.8, 0.8), outcomes, human=Human(price=4.0, quality=0.75))
    assert done.cost.tolist() == [1, 6]
    assert done.quality.tolist() == [0, 0.75]
    assert done.accepted.tolist() == [True, False]
    assert done.tier.tolist() == run(chain(0.8, 0.8), outcomes).tier.tolist()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"price": -1.0}, "price is -1.0"),
        ({"price": NAN}, "price is nan"),
        ({"price": 1.1e9}, "price is 1100000000.0; expected US dollars, 0 or more, at most 1e9"),
        ({"price": float("inf")}, "price is inf"),
        ({"price": 1.0, "quality": 1.5}, "quality is 1.5"),
        ({"price": 1.0, "capacity": NAN}, "capacity is nan"),
    ],
)
def test_a_human_without_sense_is_refused(options: dict[str, float], named: str) -> None:
    with pytest.raises(BadOutcomes, match=named):
        Human(**options)


def test_a_model_that_the_log_does_not_hold_is_refused() -> None:
    with pytest.raises(BadOutcomes, match=r"'huge', which log\.jsonl does not hold; it has: small"):
        run(Policy((Tier("huge", "llm", 0.5),)), scored([0.5, 0.5]))


def test_no_rows_are_no_replay() -> None:
    with pytest.raises(BadOutcomes, match=r"log\.jsonl: the number of rows is 0"):
        run(chain(0.5), scored([0.5]).take(np.array([False])))


def test_a_share_of_the_rows_goes_the_other_way() -> None:
    outcomes = scored(*[[0.9, 0.9]] * 2000)
    policy = Policy((Tier("small", "llm", 0.5),), instead=Instead(0.3, (Tier("middle", "llm", 0),)))
    done = run(policy, outcomes)
    assert done.model.mean() == pytest.approx(0.3, abs=0.03)
    ways = [policy.for_ticket(row.id).tiers[0].model for row in outcomes.rows]
    assert [outcomes.models[model] for model in done.model] == ways


# What the service would have done

LEVELS = st.integers(0, 8).map(lambda eighths: eighths / 8)
"""Few enough that scores are equal and meet thresholds often."""

PRICES = PriceTable.from_toml(
    "\n".join(
        f'[[price]]\nmodel = "{model}"\neffective = "2026-01-01"\n'
        'input_per_million = "1"\noutput_per_million = "0"\nper_call = "0.25"'
        for model in MODELS
    )
)


@st.composite
def knots(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    scores = sorted(draw(st.sets(LEVELS | st.floats(0, 1), max_size=4)))
    worths = sorted(draw(st.lists(LEVELS, min_size=len(scores), max_size=len(scores))))
    return tuple(zip(scores, worths, strict=True))


TIERS = st.lists(
    st.builds(
        Tier,
        st.sampled_from(MODELS),
        st.just("simulated"),
        LEVELS,
        st.dictionaries(st.sampled_from(["gold", "guest"]), LEVELS),
        knots(),
    ),
    min_size=1,
    unique_by=lambda tier: tier.model,
).map(tuple)
POLICIES = st.builds(
    Policy,
    TIERS,
    instead=st.none() | st.builds(Instead, st.floats(0.1, 0.9), TIERS),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "segment": st.sampled_from(SEGMENTS),
            "tokens": st.tuples(*[st.integers(1, 5000)] * 3),
            "score": st.tuples(*[LEVELS | st.floats(0, 1)] * 3),
        }
    ),
    min_size=1,
    max_size=8,
)


@dataclass(frozen=True)
class Recorded:
    value: float
    adapter: str = "recorded"


def log_line(place: int, row: dict[str, Any]) -> dict[str, Any]:
    """One line of the log; tokens become dollars by the price table."""
    name, segment = f"q-{place}", row["segment"]
    answers = [
        {
            "model": model,
            "text": f"{model} to {name}",
            "cost": float(PRICES.cost(model, Usage(tokens, 0), date(2026, 3, 2))),
            "quality": 0.5,
            "score": score,
        }
        for model, tokens, score in zip(MODELS, row["tokens"], row["score"], strict=True)
    ]
    customer = {"id": "c-1", "segment": segment}
    return {"id": name, "customer": customer, "question": name, "answers": answers}


def served(
    policy: Policy, outcomes: Outcomes, place: int, tokens: Sequence[int]
) -> Accepted | Escalated:
    """What the service makes of one row, its models answering as the log says."""
    row = outcomes.rows[place]
    known = dict(zip(row.answers, outcomes.score[place], strict=True))

    def score(texts: Sequence[str]) -> Sequence[Scored]:
        return [Recorded(float(known[text])) for text in texts]

    assert row.customer is not None
    return answer(
        DraftRequest(row.id, row.customer),
        policy=policy.for_ticket(row.id),
        providers={
            model: Simulated(
                model,
                lambda request, model=model: f"{model} to {request.question}",  # type: ignore[misc]
                usage=Usage(used, 0),
            )
            for model, used in zip(MODELS, tokens, strict=True)
        },
        score=score,
        prices=PRICES,
        spent_today=lambda: Decimal(0),
        now=lambda: datetime(2026, 3, 2, tzinfo=UTC),
    )


def check_row(done: Replayed, outcomes: Outcomes, place: int, got: Accepted | Escalated) -> None:
    """Expect of the replay's row what the service did."""
    best = got.step if isinstance(got, Accepted) else got.best
    assert best is not None
    assert done.accepted[place] == isinstance(got, Accepted)
    assert done.tier[place] == best.tier
    assert done.asked[place] == len(got.steps)
    assert done.chance[place] == best.score
    assert outcomes.rows[place].answers[done.model[place]] == best.answer
    assert done.cost[place] == pytest.approx(float(got.cost), rel=1e-12)


@settings(deadline=None, max_examples=100)
@given(POLICIES, ROWS)
def test_replaying_does_what_the_service_does(
    policy: Policy, given_rows: list[dict[str, Any]]
) -> None:
    outcomes = read(*(log_line(place, row) for place, row in enumerate(given_rows)))
    done = run(policy, outcomes)
    for place, row in enumerate(given_rows):
        check_row(done, outcomes, place, served(policy, outcomes, place, row["tokens"]))


def test_replaying_rows_apart_is_replaying_them_together() -> None:
    outcomes = scored(*np.random.default_rng(5).random((40, 3)).tolist())
    policy = replace(chain(0.7, 0.8, 0.6), instead=Instead(0.5, chain(0.2).tiers))
    done = run(policy, outcomes)
    for place in range(len(outcomes)):
        alone = run(policy, outcomes.take(np.array([place])))
        assert alone.chance[0] == done.chance[place]
        assert (alone.tier[0], alone.cost[0]) == (done.tier[place], done.cost[place])
