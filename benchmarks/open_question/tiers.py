"""Simulated models: invented answers at real prices, and so named wherever they appear.

What a model reads of the customer decides which stance it takes; now and then, at its error rate
and independently of all others, it takes the opposite one. Stances are worded by the domain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Literal

from benchmarks.open_question.domains import Domain, Person
from cascade.pricing import PriceTable, Usage
from cascade.redaction import Redactor
from cascade.ticket import prompt_messages
from scoring.customer import Customer
from webapp.demo.records import Split

PRICED_ON = date(2026, 11, 1)
CHARACTERS_PER_TOKEN = 4
POLICY_TOKENS = 200
"""What the passages of the policy in a prompt come to: four of the demo shop's length."""

Reads = Literal["nothing", "membership", "everything"]


@dataclass(frozen=True)
class SimulatedModel:
    """Whose prices it has, what it reads of the customer, how often it errs, how fast it is."""

    priced_as: str
    reads: Reads
    errors: float
    latency_ms: int
    ms_per_token: int

    @property
    def name(self) -> str:
        """The name in logs, which says that nothing was really asked."""
        return f"{self.priced_as} (simulated)"


MODELS = (
    SimulatedModel("gpt-4.1-nano", "nothing", 0.12, 300, 6),
    SimulatedModel("gpt-4o-mini", "membership", 0.08, 400, 10),
    SimulatedModel("gpt-4o", "everything", 0.05, 500, 14),
    SimulatedModel("claude-3-5-sonnet-20241022", "everything", 0.02, 800, 16),
)


@dataclass(frozen=True)
class Answer:
    """What one model answered; `quality` is 1 where it is right for the customer, `cost` in USD."""

    model: str
    text: str
    grants: bool
    quality: int
    cost: float
    latency_ms: int


@dataclass(frozen=True)
class Question:
    """A question on a topic by somebody, with each model's answer."""

    topic: str
    text: str
    person: Person
    answers: tuple[Answer, ...]


class Simulation:
    """The simulated models in one domain; what most customers are entitled to is from training."""

    def __init__(self, domain: Domain, models: Sequence[SimulatedModel] = MODELS) -> None:
        self._domain, self._models = domain, models
        self._prices = PriceTable.shipped()
        self._granted: Counter[tuple[str, object]] = Counter()
        for person in domain.learnt_from:
            for topic, entitled in person.entitled.items():
                for group in (None, person.customer.features[domain.membership]):
                    self._granted[topic, group] += 1 if entitled else -1

    def questions(
        self, people: Sequence[Person], split: Split, random: Random
    ) -> Iterator[Question]:
        """Yield one question of each person on each topic, with all answers."""
        for person in people:
            for topic in self._domain.topics:
                text = self._domain.ask(topic, split, random)
                answers = (
                    self._answer(m, topic, text, person, split, random) for m in self._models
                )
                yield Question(topic, text, person, tuple(answers))

    def believes(self, model: SimulatedModel, topic: str, person: Person) -> bool:
        """Whether a model that makes no error grants this person what is asked."""
        if model.reads == "everything":
            return person.entitled[topic]
        known = model.reads == "membership"
        group = person.customer.features[self._domain.membership] if known else None
        return self._granted[topic, group] > 0

    def _answer(
        self,
        model: SimulatedModel,
        topic: str,
        question: str,
        person: Person,
        split: Split,
        random: Random,
    ) -> Answer:
        errs = random.random() < model.errors
        grants = self.believes(model, topic, person) != errs
        text = self._domain.say(topic, grants, split, random)
        used = Usage(self._prompt_tokens(model, question, person.customer), _tokens(text))
        return Answer(
            model=model.name,
            text=text,
            grants=grants,
            quality=int(grants == person.entitled[topic]),
            cost=float(self._prices.cost(model.priced_as, used, PRICED_ON)),
            latency_ms=model.latency_ms + model.ms_per_token * used.output_tokens,
        )

    def _prompt_tokens(self, model: SimulatedModel, question: str, customer: Customer) -> int:
        """Return the length of the service's own prompt with what this model reads in it."""
        shown = customer
        if model.reads != "everything":
            membership = self._domain.membership
            known = {membership: customer.features[membership]}
            shown = Customer(customer.id, None, known if model.reads == "membership" else {})
        messages = prompt_messages(question, shown, (), Redactor())
        return POLICY_TOKENS + _tokens(messages.system + messages.user)


def _tokens(text: str) -> int:
    """Return about how many tokens an English text is."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)
