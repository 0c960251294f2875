"""What is written in a customer's history, consistent with the features."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from random import Random

from webapp.demo.policy import VOUCHER_REST_DAYS
from webapp.demo.records import Feature

Line = tuple[date, str]

MOST_LINES = 5

_BOUGHT = {
    "regular": ("a rain jacket", "a two-person tent", "hiking boots", "a camping stove"),
    "sale": ("a fleece from the sale", "last season's backpack on sale", "reduced trail shoes"),
    "hygiene": ("merino base layers", "hiking socks", "thermal underwear"),
}
_VOUCHERS = (
    "complained about a torn seam; sent a 15 EUR goodwill voucher",
    "wrong item delivered; goodwill voucher of 20 EUR granted",
    "long wait on the phone; got a goodwill voucher",
    "unhappy with the packaging; goodwill voucher issued as an apology",
    "parcel left in the rain; apologised with a goodwill voucher",
)
_DECLINED = (
    "asked for a goodwill voucher; declined, nothing had gone wrong",
    "demanded a goodwill voucher for a colour choice; declined",
)
_SMALL_TALK = (
    "asked how to wash a down jacket; sent the care guide",
    "asked about the weight of a tent; answered",
    "changed the newsletter settings",
    "asked for a copy of the receipt; sent by email",
    "updated the phone number on the account",
    "asked whether a stove fits a gas cartridge; answered",
    "asked about store opening hours",
    "praised the advice in the store",
    "asked how to store a sleeping bag; answered",
)
_EARLIER_ORDERS = (
    "asked about a late parcel; refunded shipping",
    "returned gloves from an earlier order; refunded",
    "exchanged a jacket from an earlier order for a larger size",
    "reported a missing tent peg; sent a replacement",
    "earlier order of trekking poles delivered",
    "left a five-star review for a headlamp",
)


def write_history(
    features: Mapping[str, Feature], *, voucher: bool, today: date, random: Random
) -> tuple[Line, ...]:
    """One to five lines, oldest first; `voucher` says whether one was granted this past year.

    Such a voucher is among the newest three lines, so that readers of a few lines see it.
    """
    lines = _goodwill_lines(voucher, today, random) + _order_lines(features, today, random)
    wanted = random.randint(max(1, len(lines)), MOST_LINES)
    end = min(day for day, _ in lines) if voucher else today - timedelta(days=_age(features))
    small_talk = _small_talk(features, end, random)
    lines += small_talk[: wanted - len(lines)]
    return tuple(sorted(lines))


def _goodwill_lines(voucher: bool, today: date, random: Random) -> list[Line]:
    """A voucher of the past year, or now and then a line that only looks like one."""
    if voucher:
        ago = random.randint(5, VOUCHER_REST_DAYS - 20)
        return [(today - timedelta(days=ago), random.choice(_VOUCHERS))]
    draw = random.random()
    if draw < 0.12:
        ago = random.randint(VOUCHER_REST_DAYS + 60, 2 * VOUCHER_REST_DAYS)
        return [(today - timedelta(days=ago), random.choice(_VOUCHERS))]
    if draw < 0.24:
        return [(today - timedelta(days=random.randint(5, 300)), random.choice(_DECLINED))]
    return []


def _order_lines(features: Mapping[str, Feature], today: date, random: Random) -> list[Line]:
    """Lines about the current order and about an open fraud check."""
    age = _age(features)
    lines: list[Line] = []
    if random.random() < 0.6:
        bought = random.choice(_BOUGHT[str(features["item_category"])])
        lines.append((today - timedelta(days=age), f"ordered {bought}"))
    if features["fraud_flag"] and random.random() < 0.5:
        ago = random.randint(1, age)
        lines.append((today - timedelta(days=ago), "unusual payment; fraud check opened"))
    return lines


def _small_talk(features: Mapping[str, Feature], end: date, random: Random) -> list[Line]:
    """Lines that decide nothing, all from before the day `end`."""
    earlier = int(features["lifetime_orders"]) > 1
    texts = list(_SMALL_TALK + (_EARLIER_ORDERS if earlier else ()))
    random.shuffle(texts)
    return [(end - timedelta(days=random.randint(5, 500)), text) for text in texts]


def _age(features: Mapping[str, Feature]) -> int:
    return int(features["days_since_purchase"])
