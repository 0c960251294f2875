"""The cascade: ask one tier after the other until an answer scores high enough."""

import logging
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from cascade.deadline import Deadline
from cascade.errors import (
    BadPolicy,
    CascadeError,
    DeadlineExceeded,
    OverBudget,
    ProviderError,
    ScorerFailed,
)
from cascade.policy import Budgets, Policy, Tier
from cascade.pricing import Price, PriceTable, Usage
from cascade.providers import DraftRequest, Drafts, Provider

logger = logging.getLogger(__name__)

NONE = Drafts(())


class Scored(Protocol):
    """How well an answer suits the customer who asks, in [0, 1], and which adapter says so."""

    @property
    def value(self) -> float:
        """The calibrated score."""

    @property
    def adapter(self) -> str:
        """The adapter and its version."""


ScoreAnswers = Callable[[Sequence[str]], Sequence[Scored]]
"""Scores candidate answers for the question and customer of one request, in their order."""


@dataclass(frozen=True)
class Step:
    """What became of one tier.

    `answer` is the tier's best-scored candidate; it is None unless it was scored. `score` is the
    chance that it is right: the scorer's, by the tier's calibration. `cost` is in US dollars, and
    `cost_estimated` says that a part of it is an upper bound. `error` says why the tier gave no
    answer, or is None. `note` says what the tier itself left out. `origin` names the stored answer
    that `answer` is, where it is one.
    """

    tier: int
    model: str
    source: str
    answer: str | None
    score: float | None
    adapter: str | None
    threshold: float
    accepted: bool
    cost: Decimal
    cost_estimated: bool
    latency_ms: int
    usage: Usage | None
    error: str | None
    candidates: int
    note: str | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Accepted:
    """An answer that reached its tier's threshold; `step` is the last of `steps`."""

    step: Step
    steps: tuple[Step, ...]

    @property
    def cost(self) -> Decimal:
        """What all steps cost together, in US dollars."""
        return _total(self.steps)


@dataclass(frozen=True)
class Escalated:
    """No answer was good enough: why, and the best-scored one seen, if any."""

    reason: str
    best: Step | None
    steps: tuple[Step, ...]

    @property
    def cost(self) -> Decimal:
        """What all steps cost together, in US dollars."""
        return _total(self.steps)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _ignore(_: Step) -> None:
    pass


def answer(
    request: DraftRequest,
    *,
    policy: Policy,
    providers: Mapping[str, Provider],
    score: ScoreAnswers,
    prices: PriceTable,
    spent_today: Callable[[], Decimal],
    now: Callable[[], datetime] = _utc_now,
    clock: Callable[[], float] = time.monotonic,
    on_step: Callable[[Step], None] = _ignore,
) -> Accepted | Escalated:
    """The first answer that reaches its tier's threshold for this customer, or an escalation.

    A tier that fails, or that the budgets or the deadline do not allow, is a step with an error,
    and the next one is tried. Without the scorer nothing can be accepted, so its failure ends the
    cascade. `spent_today` gives what the customer's segment spent today (UTC) before this ticket;
    what it and `on_step` raise is not caught.
    """
    deadline = Deadline.after(policy.deadline_s, clock)
    run = _Run(request, policy.budgets, deadline, providers, score, prices, spent_today, now)
    steps: list[Step] = []
    scorer_works = True
    for place, tier in enumerate(policy.tiers):
        if not scorer_works:
            break
        started = clock()
        step = _untried(place, tier, tier.threshold_for(request.customer.segment))
        try:
            tariff = run.allowed(tier, _total(steps))
            step, drafts = run.drafted(step, tariff)
            step = run.judged(step, tier, drafts)
        except ScorerFailed as exc:
            step, scorer_works = replace(step, error=_first_line(exc)), False
        except CascadeError as exc:
            step = replace(step, error=_first_line(exc))
        step = replace(step, latency_ms=round(1000 * (clock() - started)))
        steps.append(step)
        on_step(step)
        if step.accepted:
            return Accepted(step, tuple(steps))
    best = best_scored(steps)
    return Escalated(_reason(steps, best), best, tuple(steps))


def best_scored(steps: Sequence[Step]) -> Step | None:
    """The step with the highest score, the earliest of equals, or None if none was scored."""
    scored = [step for step in steps if step.score is not None]
    return max(scored, key=lambda step: step.score or 0.0, default=None)


@dataclass(frozen=True)
class _Tariff:
    """What one call of a tier costs; a provider that bills nothing has no price."""

    price: Price | None
    worst: Decimal
    attempts: int

    @property
    def most(self) -> Decimal:
        """What the tier costs where each of its calls is billed at the upper bound."""
        return self.attempts * self.worst

    def charge(self, usage: Usage | None, lost_calls: int) -> tuple[Decimal, bool]:
        """The cost, and whether calls of unknown usage are in it at the upper bound."""
        # Where no token was used nothing was called, so not even a fixed fee is due.
        called = usage is not None and usage != Usage(0, 0)
        known = self.price.cost(usage) if self.price and usage and called else Decimal(0)
        unknown = lost_calls * self.worst
        return known + unknown, unknown > 0


@dataclass(frozen=True)
class _Run:
    """One ticket's way through the tiers."""

    request: DraftRequest
    budgets: Budgets
    deadline: Deadline
    providers: Mapping[str, Provider]
    score: ScoreAnswers
    prices: PriceTable
    spent_today: Callable[[], Decimal]
    now: Callable[[], datetime]

    def allowed(self, tier: Tier, spent: Decimal) -> _Tariff:
        """The tier's tariff, if deadline and budgets allow the most that all its calls can cost."""
        if self.deadline.passed:
            raise DeadlineExceeded("deadline: no time was left for this tier")
        tariff = self._tariff(self._provider(tier))
        _check_budget("this ticket", self.budgets.per_ticket, spent, tariff.most)
        limit = self.budgets.for_segment(self.request.customer.segment)
        if limit is not None:
            _check_budget("the segment today", limit, self.spent_today() + spent, tariff.most)
        return tariff

    def drafted(self, step: Step, tariff: _Tariff) -> tuple[Step, Drafts]:
        """The step with its bill, and the candidates to be scored."""
        provider = self.providers[step.model]
        try:
            drafts = provider.draft(self.request, deadline=self.deadline)
        except ProviderError as exc:
            return _billed(step, tariff, exc.usage, exc.lost_calls, error=_first_line(exc)), NONE
        except Exception as exc:
            # A fault of the provider's own code costs this tier, not the ticket.
            error = _fault(f"provider {step.model}", exc)
            return _billed(step, tariff, None, 1, error=error), NONE
        lost = drafts.lost_calls + (drafts.usage is None)
        drafts = _with_text(drafts)
        step = _billed(step, tariff, drafts.usage, lost, candidates=len(drafts.texts))
        return replace(step, note=drafts.note), drafts

    def judged(self, step: Step, tier: Tier, drafts: Drafts) -> Step:
        """The step with its best-scored candidate, accepted or not."""
        texts = drafts.texts
        if not texts:
            return step
        scores = self._scores(texts)
        place = max(range(len(texts)), key=lambda each: scores[each].value)
        chance = float(tier.chances(scores[place].value))
        return replace(
            step,
            answer=texts[place],
            score=chance,
            adapter=scores[place].adapter,
            accepted=chance >= step.threshold,
            origin=drafts.origins[place] if drafts.origins else None,
        )

    def _provider(self, tier: Tier) -> Provider:
        provider = self.providers.get(tier.model)
        if provider is None:
            known = ", ".join(sorted(self.providers)) or "none"
            raise BadPolicy(f"no provider is named {tier.model!r}; there are: {known}")
        if provider.source != tier.source:
            # Nothing simulated may pass for a model.
            raise BadPolicy(f"the policy calls this tier {tier.source}, it is {provider.source}")
        return provider

    def _tariff(self, provider: Provider) -> _Tariff:
        try:
            largest = provider.largest_cost(self.request)
        except Exception as exc:
            raise ProviderError(_fault(f"provider {provider.model}", exc)) from exc
        if largest is None:
            return _Tariff(None, Decimal(0), provider.attempts)
        price = self.prices.price(provider.model, self.now())
        return _Tariff(price, price.cost(largest), provider.attempts)

    def _scores(self, texts: tuple[str, ...]) -> Sequence[Scored]:
        try:
            scores = self.score(texts)
            values = [float(each.value) for each in scores]
        except Exception as exc:
            raise ScorerFailed(_fault("scorer", exc)) from exc
        if len(values) != len(texts):
            raise ScorerFailed(f"scorer: {len(values)} scores for {len(texts)} answers")
        bad = next((value for value in values if not 0 <= value <= 1), None)
        if bad is not None:
            raise ScorerFailed(f"scorer: a score of {bad}; expected a number in [0, 1]")
        return scores


def _with_text(drafts: Drafts) -> Drafts:
    """The drafts without empty ones, each text still beside its origin."""
    kept = [place for place, text in enumerate(drafts.texts) if text.strip()]
    return replace(
        drafts,
        texts=tuple(drafts.texts[place] for place in kept),
        origins=tuple(drafts.origins[place] for place in kept) if drafts.origins else (),
    )


def _untried(place: int, tier: Tier, threshold: float) -> Step:
    return Step(
        tier=place,
        model=tier.model,
        source=tier.source,
        answer=None,
        score=None,
        adapter=None,
        threshold=threshold,
        accepted=False,
        cost=Decimal(0),
        cost_estimated=False,
        latency_ms=0,
        usage=None,
        error=None,
        candidates=0,
    )


def _billed(
    step: Step,
    tariff: _Tariff,
    usage: Usage | None,
    lost_calls: int,
    *,
    candidates: int = 0,
    error: str | None = None,
) -> Step:
    cost, estimated = tariff.charge(usage, lost_calls)
    return replace(
        step,
        usage=usage,
        cost=cost,
        cost_estimated=estimated,
        candidates=candidates,
        error=error,
    )


def _check_budget(whose: str, limit: Decimal | None, spent: Decimal, most: Decimal) -> None:
    # What costs nothing is allowed even where the budget is used up.
    if limit is None or most == 0 or spent + most <= limit:
        return
    left = max(Decimal(0), limit - spent)
    raise OverBudget(f"budget: {left:f} of {limit:f} USD left for {whose}; needs up to {most:f}")


def _reason(steps: Sequence[Step], best: Step | None) -> str:
    """One sentence for a person: what was reached, what was needed, what failed."""
    failures = [f"{step.model}: {step.error}" for step in steps if step.error]
    if best is not None:
        # Rounded down, so that 0.799 never reads as the 0.80 it fell short of.
        reached = math.floor((best.score or 0.0) * 100) / 100
        missed = f"best {reached:.2f} of {best.model} against {best.threshold:.2f}"
        return "; ".join([f"no answer reached its threshold: {missed}", *failures])
    if len(failures) == len(steps):
        return f"every tier failed: {'; '.join(failures)}"
    silent = [
        f"{step.model}: {step.note or 'nothing to offer'}" for step in steps if not step.error
    ]
    return f"no tier gave an answer: {'; '.join(silent + failures)}"


def _fault(who: str, exc: Exception) -> str:
    """Log where an unforeseen exception arose and name its type.

    Its message stays out of the log and of the step, because it may quote the customer.
    """
    where = "".join(traceback.format_tb(exc.__traceback__))
    logger.error("%s raised %s\n%s", who, type(exc).__name__, where)
    return f"{who} raised {type(exc).__name__}"


def _first_line(exc: CascadeError) -> str:
    return str(exc).partition("\n")[0] or type(exc).__name__


def _total(steps: Sequence[Step]) -> Decimal:
    return sum((step.cost for step in steps), Decimal(0))
