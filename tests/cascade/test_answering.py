"""The loop: what is accepted, what is tried, what it costs, and what a person is told."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from cascade.answering import Accepted, Escalated, Scored, Step, answer
from cascade.chat import OpenAIChat
from cascade.deadline import Deadline
from cascade.errors import BadResponse, ProviderUnavailable
from cascade.policy import Budgets, Policy, Source, Tier
from cascade.pricing import PriceTable, Usage
from cascade.providers import DraftRequest, Drafts, Provider
from cascade.simulated import Simulated
from scoring.customer import Customer
from tests.cascade.loopback import Loopback, hang_up, json_reply

NOW = datetime(2026, 3, 2, tzinfo=UTC)
REQUEST = DraftRequest("Can I return my jacket?", Customer("c-17", "gold", {"membership": "gold"}))
PRICES = PriceTable.from_toml(
    "\n".join(
        f'[[price]]\nmodel = "{model}"\neffective = "2026-01-01"\n'
        f'input_per_million = "{price}"\noutput_per_million = "{price}"'
        for model, price in (("cheap", 1), ("dear", 1000), ("free", 0))
    )
)
CALL = Usage(900, 100)
"""A thousand tokens: 0.001 USD of "cheap", 1 USD of "dear"."""


@dataclass
class Fake:
    """A provider that offers these texts, or raises this error."""

    model: str
    texts: tuple[str, ...] = ()
    usage: Usage | None = CALL
    largest: Usage | None = CALL
    error: Exception | None = None
    lost_calls: int = 0
    source: Source = "llm"
    before: Callable[[], None] = lambda: None
    calls: int = 0
    attempts: int = 1

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        self.calls += 1
        self.before()
        if self.error is not None:
            raise self.error
        return Drafts(self.texts, self.usage, lost_calls=self.lost_calls)

    def largest_cost(self, request: DraftRequest) -> Usage | None:
        return self.largest


def macros(*texts: str) -> Fake:
    return Fake("macros", texts, usage=None, largest=None, source="macro")


@dataclass(frozen=True)
class FakeScore:
    value: float
    adapter: str = "gold@3f9c"


@dataclass
class FakeScorer:
    """Reads the score off the end of each answer: "Yes 0.9" scores 0.9."""

    seen: list[str] = field(default_factory=list)

    def __call__(self, answers: Sequence[str]) -> Sequence[Scored]:
        self.seen += answers
        return [FakeScore(float(each.rsplit(" ", 1)[1])) for each in answers]


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def run(
    *providers: Fake | Simulated | OpenAIChat,
    budgets: Budgets | None = None,
    deadline_s: float = 10.0,
    **options: Any,
) -> Accepted | Escalated:
    """Ask the providers in this order, each with the threshold 0.8."""
    tiers = tuple(Tier(each.model, each.source, 0.8) for each in providers)  # type: ignore[arg-type]
    known: dict[str, Provider] = {each.model: each for each in providers}
    arguments: dict[str, Any] = {
        "policy": Policy(tiers, budgets or Budgets(), deadline_s),
        "providers": known,
        "score": FakeScorer(),
        "prices": PRICES,
        "spent_today": lambda: Decimal(0),
        "now": lambda: NOW,
        "clock": Clock(),
    }
    return answer(REQUEST, **(arguments | options))


def accepted(result: Accepted | Escalated) -> Accepted:
    assert isinstance(result, Accepted)
    return result


def escalated(result: Accepted | Escalated) -> Escalated:
    assert isinstance(result, Escalated)
    return result


def errors(result: Accepted | Escalated) -> list[str | None]:
    return [step.error for step in result.steps]


def test_the_first_good_enough_answer_is_accepted_and_ends_the_cascade() -> None:
    cheap, dear = Fake("cheap", ("Yes 0.9",)), Fake("dear", ("Yes 1.0",))
    result = accepted(run(macros("No 0.3", "Maybe 0.6"), cheap, dear))
    assert (result.step.answer, result.step.score, result.step.tier) == ("Yes 0.9", 0.9, 1)
    assert result.step.adapter == "gold@3f9c"
    assert dear.calls == 0
    assert result.cost == Decimal("0.001")


def test_a_score_at_the_threshold_is_accepted() -> None:
    assert accepted(run(macros("Yes 0.8"))).step.accepted


def test_the_best_of_a_tiers_candidates_speaks_for_it() -> None:
    scorer = FakeScorer()
    step = escalated(run(macros("A 0.2", "B 0.5", "C 0.4"), score=scorer)).steps[0]
    assert (step.answer, step.score, step.candidates) == ("B 0.5", 0.5, 3)
    assert scorer.seen == ["A 0.2", "B 0.5", "C 0.4"]


def test_the_segments_own_threshold_counts() -> None:
    policy = Policy((Tier("macros", "macro", 0.5, {"gold": 0.9}),))
    result = escalated(run(macros("Yes 0.8"), policy=policy))
    assert result.steps[0].threshold == 0.9


def test_the_best_seen_is_kept_and_not_the_last() -> None:
    result = escalated(run(macros("A 0.41"), Fake("cheap", ("B 0.2",))))
    assert result.best is not None
    assert result.best.answer == "A 0.41"
    assert result.reason == ("no answer reached its threshold: best 0.41 of macros against 0.80")


def test_a_score_just_below_never_reads_as_the_threshold() -> None:
    assert "best 0.79 of macros against 0.80" in escalated(run(macros("A 0.7999"))).reason


def test_a_failing_tier_is_a_step_and_the_next_one_is_tried() -> None:
    down = Fake("cheap", error=ProviderUnavailable("status 500"))
    result = accepted(run(down, macros("Yes 0.9")))
    assert errors(result) == ["status 500", None]
    assert result.steps[0].answer is None
    assert result.cost == 0


def test_all_failing_is_an_escalation_that_says_why() -> None:
    down = Fake("cheap", error=ProviderUnavailable("status 500"))
    odd = Fake("dear", error=BadResponse("the answer is empty"))
    result = escalated(run(down, odd))
    assert result.best is None
    assert result.reason == "every tier failed: cheap: status 500; dear: the answer is empty"


def test_nothing_to_offer_is_no_error() -> None:
    result = escalated(run(macros(), Fake("cheap", (" \n",))))
    assert errors(result) == [None, None]
    assert [step.score for step in result.steps] == [None, None]
    assert result.reason == (
        "no tier gave an answer: macros: nothing to offer; cheap: nothing to offer"
    )


def test_an_unforeseen_error_costs_the_tier_and_shows_no_customer_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Fake("cheap", error=KeyError("my secret jacket"))
    with caplog.at_level(logging.DEBUG):
        result = escalated(run(broken))
    assert errors(result) == ["provider cheap raised KeyError"]
    assert "KeyError" in caplog.text
    assert "test_answering.py" in caplog.text
    assert "my secret jacket" not in caplog.text + result.reason


def test_a_failed_call_that_was_billed_counts() -> None:
    billed = Fake("cheap", error=BadResponse("cut off", usage=Usage(2000, 0)))
    step = run(billed).steps[0]
    assert (step.cost, step.cost_estimated) == (Decimal("0.002"), False)


def test_calls_of_unknown_usage_are_charged_at_their_largest() -> None:
    silent = Fake("cheap", ("Yes 0.9",), usage=None)
    step = accepted(run(silent)).step
    assert (step.cost, step.cost_estimated, step.usage) == (Decimal("0.001"), True, None)

    lost = Fake("cheap", ("Yes 0.9",), usage=Usage(500, 0), lost_calls=2)
    assert accepted(run(lost)).step.cost == Decimal("0.0025")

    broken = Fake("cheap", error=ProviderUnavailable("gone", lost_calls=3))
    assert run(broken).steps[0].cost == Decimal("0.003")


def test_what_bills_nothing_needs_no_price_and_is_no_estimate() -> None:
    step = accepted(run(macros("Yes 0.9"))).step
    assert (step.cost, step.cost_estimated) == (Decimal(0), False)


def test_a_tier_without_a_price_is_not_called() -> None:
    unpriced = Fake("unheard-of", ("Yes 0.9",))
    result = escalated(run(unpriced))
    assert "no price for unheard-of" in (result.steps[0].error or "")
    assert unpriced.calls == 0


def test_the_ticket_budget_skips_the_dear_and_still_tries_the_free() -> None:
    dear, free = Fake("dear", ("Yes 0.9",)), Fake("free", ("Yes 0.9",))
    result = accepted(run(dear, free, budgets=Budgets(per_ticket=Decimal("0.5"))))
    assert result.step.model == "free"
    assert dear.calls == 0
    assert errors(result)[0] == "budget: 0.5 of 0.5 USD left for this ticket; needs up to 1.00"


def test_what_earlier_tiers_cost_counts_against_the_ticket() -> None:
    second = Fake("dear", ("Yes 0.9",))
    budgets = Budgets(per_ticket=Decimal("1.0005"))
    result = escalated(run(Fake("cheap", ("No 0.1",)), second, budgets=budgets))
    assert second.calls == 0
    assert "budget: 0.9995 of 1.0005 USD" in (result.steps[1].error or "")


def test_a_budget_must_hold_every_call_that_may_be_lost() -> None:
    broken = Fake("dear", error=ProviderUnavailable("gone", lost_calls=3), attempts=3)
    refused = escalated(run(broken, budgets=Budgets(per_ticket=Decimal("2.9"))))
    assert "needs up to 3.00" in refused.reason
    assert escalated(run(broken, budgets=Budgets(per_ticket=Decimal(3)))).cost == 3


def test_a_budget_may_be_used_to_the_last_cent() -> None:
    assert accepted(run(Fake("dear", ("Yes 0.9",)), budgets=Budgets(per_ticket=Decimal("1"))))


def test_the_segments_day_is_asked_afresh_before_every_tier() -> None:
    spent = Decimal(0)

    def others_spend() -> None:
        nonlocal spent
        spent = Decimal("0.0015")

    first, second = Fake("cheap", ("No 0.1",), before=others_spend), Fake("dear", ("Yes 0.9",))
    budgets = Budgets(per_segment_day={"gold": Decimal("1.002")})
    result = escalated(run(first, second, budgets=budgets, spent_today=lambda: spent))
    assert second.calls == 0
    assert "budget: 0.9995 of 1.002 USD left for the segment today" in (result.steps[1].error or "")

    spent = Decimal(0)
    first.before = lambda: None
    assert accepted(run(first, second, budgets=budgets, spent_today=lambda: spent))


def test_another_segments_budget_does_not_count() -> None:
    budgets = Budgets(per_segment_day={"guest": Decimal(0)})
    assert accepted(run(Fake("dear", ("Yes 0.9",)), budgets=budgets))


def test_no_tier_begins_after_the_deadline() -> None:
    clock = Clock()

    def take_long() -> None:
        clock.seconds += 11

    slow, late = Fake("cheap", ("No 0.1",), before=take_long), macros("Yes 0.9")
    result = escalated(run(slow, late, clock=clock))
    assert errors(result) == [None, "deadline: no time was left for this tier"]
    assert late.calls == 0
    assert [step.latency_ms for step in result.steps] == [11000, 0]
    assert result.best is not None


@pytest.mark.parametrize(
    ("scorer", "error"),
    [
        (lambda answers: [FakeScore(float("nan"))], "scorer: a score of nan"),
        (lambda answers: [FakeScore(1.01)], "scorer: a score of 1.01"),
        (lambda answers: [FakeScore(-0.01)], "scorer: a score of -0.01"),
        (lambda answers: [], "scorer: 0 scores for 1 answers"),
        (lambda answers: None, "scorer raised TypeError"),
        (lambda answers: [FakeScore(float("high"))], "scorer raised ValueError"),
    ],
)
def test_without_a_score_nothing_is_accepted_or_kept(scorer: Any, error: str) -> None:
    cheap, dear = Fake("cheap", ("Yes 0.9",)), Fake("dear", ("Yes 0.9",))
    result = escalated(run(cheap, dear, score=scorer))
    assert (result.steps[0].error or "").startswith(error)
    assert result.steps[0].answer is None
    assert result.best is None
    assert result.cost == Decimal("0.001")
    assert dear.calls == 0
    assert error in result.reason


def test_what_was_scored_before_the_scorer_failed_is_kept() -> None:
    def scorer(answers: Sequence[str]) -> Sequence[Scored]:
        if answers[0].startswith("B"):
            raise RuntimeError
        return FakeScorer()(answers)

    result = escalated(run(macros("A 0.4"), Fake("cheap", ("B 0.9",)), score=scorer))
    assert result.best is not None
    assert result.best.answer == "A 0.4"
    assert "scorer raised RuntimeError" in result.reason


def test_nothing_simulated_passes_for_a_model() -> None:
    simulated = Simulated("cheap", lambda request: "Yes 0.9", usage=CALL)
    assert accepted(run(simulated)).step.source == "simulated"
    policy = Policy((Tier("cheap", "llm", 0.8),))
    assert "simulated" in escalated(run(simulated, policy=policy)).reason


def test_a_simulated_model_keeps_to_the_deadline() -> None:
    slept: list[float] = []
    slow = Simulated(
        "cheap", lambda request: "Yes 0.9", usage=CALL, latency_s=20, sleep=slept.append
    )
    result = escalated(run(slow))
    assert slept == [10]
    assert result.steps[0].cost_estimated


def test_a_tier_without_a_provider_is_a_step_with_an_error() -> None:
    policy = Policy((Tier("gone", "llm", 0.8), Tier("macros", "macro", 0.8)))
    result = accepted(run(macros("Yes 0.9"), policy=policy))
    assert errors(result) == ["no provider is named 'gone'; there are: macros", None]


def test_steps_are_told_while_they_happen() -> None:
    told: list[str] = []

    def on_step(step: Step) -> None:
        told.append(f"{step.model} {step.accepted}")

    result = run(
        macros("No 0.1"),
        Fake("dear", ("Yes 0.9",)),
        Fake("cheap", ("Yes 0.9",)),
        budgets=Budgets(per_ticket=Decimal("0.1")),
        on_step=on_step,
    )
    assert told == ["macros False", "dear False", "cheap True"]
    assert isinstance(result, Accepted)


def test_a_real_server_killed_between_two_tickets() -> None:
    body = {
        "choices": [{"message": {"content": "Yes 0.9"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 20},
    }
    with Loopback([json_reply(body), hang_up]) as server:
        model = OpenAIChat("cheap", server.url)
        first = accepted(run(macros("No 0.1"), model))
        assert first.step.usage == Usage(300, 20)
        assert first.cost == Decimal("0.00032")
    killed = escalated(run(macros("No 0.1"), model, deadline_s=0.5))
    model.close()
    assert "connection failed" in killed.reason
    assert killed.best is not None
    assert killed.best.answer == "No 0.1"


@dataclass
class Remembering(Fake):
    """A provider whose texts were stored before, and that leaves some out."""

    note: str | None = None
    origins: tuple[str, ...] = ()

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        return Drafts(self.texts, note=self.note, origins=self.origins)


def test_a_step_says_what_was_left_out_and_where_its_answer_came_from() -> None:
    texts, origins = ("Yes 0.7", " ", "Sure 0.9"), ("e-1", "e-2", "e-3")
    cache = Remembering(
        "cache", texts, None, None, source="cache", note="1 refused", origins=origins
    )
    step = accepted(run(cache)).step
    assert (step.answer, step.origin, step.note) == ("Sure 0.9", "e-3", "1 refused")
    assert step.candidates == 2


def test_origins_that_do_not_match_the_texts_cost_the_tier_and_not_the_ticket() -> None:
    cache = Remembering("cache", ("Yes 0.9",), None, None, source="cache", origins=("e-1", "e-2"))
    result = accepted(run(cache, Fake("cheap", ("Yes 0.9",))))
    assert result.steps[0].error == "provider cache raised ValueError"
    assert result.step.origin is None
