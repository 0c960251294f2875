"""Invented customers whose features vary independently and crowd around the policy's limits."""

from __future__ import annotations

from datetime import date
from random import Random

from webapp.demo import policy
from webapp.demo.chance import stream
from webapp.demo.history import write_history
from webapp.demo.records import SEGMENTS, DemoCustomer, Feature

TRAIN_PER_SEGMENT = 60
HELD_OUT_PER_SEGMENT = 30

_STATUS = {"processing": 0.28, "in_transit": 0.26, "delivered": 0.46}
_REGION = {"EU": 0.3, "UK": 0.25, "US": 0.25, "CA": 0.2}
_CATEGORY = {"regular": 0.38, "sale": 0.35, "hygiene": 0.27}
_PAYMENT = {"card": 0.33, "paypal": 0.2, "bank transfer": 0.2, "gift card": 0.27}
_FRAUD = {"open": 0.27, "none": 0.73}
_VOUCHER = {"recent": 0.45, "none": 0.55}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    "Ada Amir Anouk Ben Bruno Carla Chidi Clara Dana Daniel Edda Elias Emil Farah Finn Greta Hana "
    "Hugo Ida Ivan Jana Jonas Kaito Karim Lara Leo Lina Luca Maja Marek Mina Nia Noah Nora Oskar "
    "Paula Pavel Rosa Sami Selma Sofia Tariq Theo Uma Vera Wanda Yara Yusuf Zoe"
)
_LAST = _words(
    "Abt Alder Baker Berg Brandt Castillo Chen Dietz Duarte Eder Falk Fischer Garcia Gruber Haas "
    "Hansen Ivanov Jansen Kaya Keller Kim Lang Lindqvist Marsh Meyer Moreau Nagy Novak Okafor "
    "Olsen Park Patel Quinn Reyes Rossi Sato Schmid Silva Stein Tanaka Thorne Unger Vogel Weiss"
)


def build_customers(*, seed: int, today: date) -> tuple[DemoCustomer, ...]:
    """All customers, ids in an order that says nothing about segment or split."""
    random = stream("customers", seed)
    plan = [
        (segment, held_out, deal)
        for segment in SEGMENTS
        for held_out, size in ((False, TRAIN_PER_SEGMENT), (True, HELD_OUT_PER_SEGMENT))
        for deal in _deals(size, random)
    ]
    random.shuffle(plan)
    return tuple(
        _customer(number, segment, held_out, deal, today=today, random=random)
        for number, (segment, held_out, deal) in enumerate(plan, start=1)
    )


def _deals(size: int, random: Random) -> list[dict[str, str]]:
    """The categorical features of a group: each dealt from its own deck of exact shares."""
    decks = {
        "order_status": _deck(_STATUS, size, random),
        "region": _deck(_REGION, size, random),
        "item_category": _deck(_CATEGORY, size, random),
        "payment_method": _deck(_PAYMENT, size, random),
        "fraud": _deck(_FRAUD, size, random),
        "voucher": _deck(_VOUCHER, size, random),
    }
    return [{name: deck[index] for name, deck in decks.items()} for index in range(size)]


def _deck(shares: dict[str, float], size: int, random: Random) -> list[str]:
    """`size` values in shuffled order, each as often as its share says, give or take one."""
    values = [value for value, share in shares.items() for _ in range(round(share * size))]
    values = (values + list(shares))[:size]
    random.shuffle(values)
    return values


def _customer(
    number: int,
    segment: str,
    held_out: bool,
    deal: dict[str, str],
    *,
    today: date,
    random: Random,
) -> DemoCustomer:
    first, last = random.choice(_FIRST), random.choice(_LAST)
    features = _features(segment, deal, random)
    voucher = deal["voucher"] == "recent"
    return DemoCustomer(
        external_id=f"c-{number}",
        name=f"{first} {last}",
        email=f"{first}.{last}.{number}@example.com".lower(),
        segment=segment,
        features=features,
        history=write_history(features, voucher=voucher, today=today, random=random),
        held_out=held_out,
        as_of=today,
    )


def _features(segment: str, deal: dict[str, str], random: Random) -> dict[str, Feature]:
    return {
        "membership": segment,
        "days_since_purchase": _days(deal["order_status"], random),
        "order_status": deal["order_status"],
        "region": deal["region"],
        "order_total": _total(random),
        "item_category": deal["item_category"],
        "payment_method": deal["payment_method"],
        "fraud_flag": deal["fraud"] == "open",
        "loyalty_points": _points(segment, random),
        "lifetime_orders": _orders(random),
    }


def _days(status: str, random: Random) -> int:
    """Orders on their way are younger than every return window; half of the rest sit near one."""
    if status == "processing":
        return random.randint(1, 13)
    if status == "in_transit":
        return random.randint(2, 14)
    if random.random() < 0.5:
        return max(5, random.choice(list(policy.RETURN_DAYS.values())) + random.randint(-6, 6))
    return random.randint(30, 150)


def _total(random: Random) -> float:
    """Euro, never a round number, half of them within 30 of the limit."""
    if random.random() < 0.5:
        return policy.GUEST_MATCH_TOTAL + random.randint(-30, 29) + 0.95
    return random.randint(15, 280) + 0.95


def _points(segment: str, random: Random) -> int:
    needed = policy.POINTS_NEEDED.get(segment)
    if needed is None:
        return 0
    if random.random() < 0.5:
        return needed + 10 * random.randint(-15, 15)
    return 10 * random.randint(0, 120)


def _orders(random: Random) -> int:
    if random.random() < 0.5:
        return policy.INVOICE_ORDERS + random.randint(-3, 3)
    return random.randint(1, 20)
