"""A small invented domain: who may return what, by membership and days."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scoring.customer import Customer, Feature
from scoring.examples import Example, Pair
from scoring.registry import Registry
from scoring.training import TrainedAdapter

CREATED = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = {"gold": 60, "guest": 20}
QUESTIONS = ("Can I return my jacket?", "May I send this back?", "Is a return still possible?")
GRANTS = ("Yes, you can return it.", "Sure, send it back to us.", "A return is possible.")
REFUSALS = ("No, the return period is over.", "Sorry, it is too late.", "We can't take it back.")
PASSAGE = "Gold members return within 60 days. Guests have 20."


def customer(name: str, segment: str | None, days: int) -> Customer:
    """Return a customer of the invented domain."""
    history = ("2026-03-02 asked about a late parcel", "2026-05-01 left a review")
    features: dict[str, Feature] = {"membership": segment or "none", "days_since_purchase": days}
    return Customer(name, segment, features, history[: days % 3])


def returns(count: int, *, customers: int, seed: int, prefix: str = "c") -> list[Example]:
    """Return examples in which days and membership decide whether a grant or a refusal is right."""
    chance = random.Random(seed)
    people = [
        customer(f"{prefix}-{n}", chance.choice(sorted(WINDOW)), chance.randint(1, 90))
        for n in range(customers)
    ]
    return [_example(chance.choice(people), chance) for _ in range(count)]


def _example(who: Customer, chance: random.Random) -> Example:
    days, granted = who.features["days_since_purchase"], chance.random() < 0.5
    assert isinstance(days, int)
    assert who.segment is not None
    right = granted == (days <= WINDOW[who.segment])
    answer = chance.choice(GRANTS if granted else REFUSALS)
    passage = chance.choice((None, PASSAGE))
    return Example(Pair(chance.choice(QUESTIONS), answer, who, passage), int(right))


@dataclass(frozen=True)
class Trained:
    """What a training run left behind."""

    registry: Registry
    adapters: Sequence[TrainedAdapter]
    examples: Sequence[Example]

    @property
    def champions(self) -> dict[str, str]:
        """The live version per segment."""
        return self.registry.champions()
