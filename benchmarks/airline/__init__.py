"""A second domain to measure the scorer on: an invented airline with its own policy and wordings.

It shares nothing with the demo shop: other features, other rules, other questions and answers. Two
hands wrote the wordings, one for training and one for the held-out part, without seeing each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Literal

from scoring.customer import Customer, Feature
from scoring.examples import Example, Pair
from webapp.demo.phrasings.wording import Block, read_blocks

Split = Literal["train", "heldout"]

SEGMENTS = ("leisure", "family", "student", "business", "corporate")
TODAY = date(2026, 11, 1)
PER_SEGMENT: dict[Split, int] = {"train": 60, "heldout": 30}
TEXTS: dict[Split, int] = {"train": 36, "heldout": 16}
"""How many questions with an answer each topic and stance has."""
CUSTOMERS_PER_TEXT = 2
"""How many customers each of them is right for, and for as many it is wrong."""

MILES = {"domestic": 15_000, "europe": 25_000, "intercontinental": 60_000}
GOLD_DISCOUNT = 0.8
CHANGE_HOURS, REFUND_HOURS, REGRET_HOURS = 24, 72, 24
DELAY_MINUTES = {"domestic": 180, "europe": 180, "intercontinental": 240}
PET_KG = 8


def examples(split: Split, *, seed: int) -> list[Example]:
    """Return a split's examples, each text as often right as wrong."""
    random = Random(f"{seed}:{split}")
    return list(_examples(_customers(split, random), split, random))


def customers(split: Split, *, seed: int) -> list[Customer]:
    """Return the customers that a split's examples are of."""
    return _customers(split, Random(f"{seed}:{split}"))


def blocks(split: Split) -> dict[str, Block]:
    """Return a split's wordings by topic."""
    return read_blocks(Path(__file__).with_name(f"{split}.txt"))


def _customers(split: Split, random: Random) -> list[Customer]:
    return [
        Customer(f"{split}-{segment}-{number}", segment, _features(random), day=TODAY)
        for segment in SEGMENTS
        for number in range(PER_SEGMENT[split])
    ]


def _examples(people: Sequence[Customer], split: Split, random: Random) -> Iterator[Example]:
    wordings = blocks(split)
    for topic, entitled in RULES.items():
        yes = [customer for customer in people if entitled(customer)]
        no = [customer for customer in people if not entitled(customer)]
        block = wordings[topic]
        for answers, right, wrong in ((block.granting, yes, no), (block.refusing, no, yes)):
            for turn in range(TEXTS[split]):
                question, answer = random.choice(block.questions), answers[turn % len(answers)]
                for side, label in ((right, 1), (wrong, 0)):
                    for customer in random.sample(side, CUSTOMERS_PER_TEXT):
                        yield Example(Pair(question, answer, customer), label)


def _features(random: Random) -> dict[str, Feature]:
    """Return features that vary independently and crowd around the policy's limits."""

    def one_of(**shares: float) -> str:
        return random.choices(list(shares), list(shares.values()))[0]

    def near(limits: Sequence[int], within: int, most: int) -> int:
        if random.random() < 0.5:
            return max(1, random.choice(limits) + random.randint(-within, within))
        return random.randint(1, most)

    route = one_of(domestic=0.3, europe=0.4, intercontinental=0.3)
    return {
        "fare": one_of(light=0.4, classic=0.35, flex=0.25),
        "cabin": one_of(economy=0.6, premium=0.2, business=0.2),
        "status": one_of(none=0.45, silver=0.3, gold=0.25),
        "route": route,
        "hours_to_departure": near((CHANGE_HOURS, REFUND_HOURS), 10, 300),
        "hours_since_booking": near((REGRET_HOURS,), 10, 400),
        "delay_minutes": near(sorted(set(DELAY_MINUTES.values())), 30, 420),
        "delay_cause": one_of(technical=0.4, crew=0.3, weather=0.3),
        "checked_in": random.random() < 0.4,
        "booked_via": one_of(direct=0.65, agency=0.35),
        "miles": 100 * near((MILES[route] // 100,), 40, 900),
        "pet_weight_kg": near((PET_KG,), 3, 20),
        "through_ticket": random.random() < 0.5,
    }


def _number(customer: Customer, feature: str) -> float:
    return float(customer.features[feature])


def _change(customer: Customer) -> bool:
    features = customer.features
    early = _number(customer, "hours_to_departure") >= CHANGE_HOURS
    return features["fare"] == "flex" or (
        early and (features["fare"] == "classic" or features["status"] == "gold")
    )


def _refund(customer: Customer) -> bool:
    fare, early = customer.features["fare"], _number(customer, "hours_to_departure") >= REFUND_HOURS
    regretted = _number(customer, "hours_since_booking") <= REGRET_HOURS
    return fare == "flex" or regretted or (fare == "classic" and early)


def _bag(customer: Customer) -> bool:
    features = customer.features
    far = features["route"] == "intercontinental" and features["fare"] != "light"
    return features["status"] == "gold" or far


def _lounge(customer: Customer) -> bool:
    features = customer.features
    invited = features["status"] == "silver" and customer.segment == "corporate"
    return features["cabin"] == "business" or features["status"] == "gold" or invited


def _seat(customer: Customer) -> bool:
    features = customer.features
    return (
        features["fare"] == "flex" or features["status"] != "none" or customer.segment == "family"
    )


def _delay(customer: Customer) -> bool:
    long = _number(customer, "delay_minutes") >= DELAY_MINUTES[str(customer.features["route"])]
    return long and customer.features["delay_cause"] != "weather"


def _name(customer: Customer) -> bool:
    return customer.features["booked_via"] == "direct" and not customer.features["checked_in"]


def _miles(customer: Customer) -> bool:
    needed = MILES[str(customer.features["route"])]
    share = GOLD_DISCOUNT if customer.features["status"] == "gold" else 1
    return _number(customer, "miles") >= needed * share


def _pet(customer: Customer) -> bool:
    light = _number(customer, "pet_weight_kg") <= PET_KG
    return light and customer.features["route"] != "intercontinental"


def _missed(customer: Customer) -> bool:
    return bool(customer.features["through_ticket"]) or customer.features["fare"] == "flex"


RULES: dict[str, Callable[[Customer], bool]] = {
    "change_flight": _change,
    "cancel_refund": _refund,
    "extra_bag": _bag,
    "lounge": _lounge,
    "seat_choice": _seat,
    "delay_pay": _delay,
    "name_fix": _name,
    "miles_upgrade": _miles,
    "pet_cabin": _pet,
    "missed_connection": _missed,
}
"""Who is entitled to what is asked on each topic."""
