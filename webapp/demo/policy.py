"""The shop's written policy as code: which stance is right for which customer.

Every number stands once, as a constant, and is read both by the rule and by the passage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from webapp.demo.records import DemoCustomer

RETURN_DAYS = {"guest": 14, "bronze": 30, "silver": 45, "gold": 60, "business": 21}
RETURN_LABEL_FEE = "6.90"
FREE_LABEL_REGIONS = ("EU", "UK")
RECALL_TIERS = ("gold", "business")
REJECT_DAYS = {"EU": 14, "UK": 30, "US": 60, "CA": 45}
GUEST_MATCH_TOTAL = 100
CREDIT_REGIONS = ("US", "CA")
POINTS_NEEDED = {"bronze": 600, "silver": 500, "gold": 400, "business": 800}
INVOICE_ORDERS = 6
VOUCHER_REST_DAYS = 365
PICKUP_TIERS = ("silver", "gold", "business")
PICKUP_REGIONS = ("EU", "UK")


@dataclass(frozen=True)
class Topic:
    """One rule of the shop: what it is called, how it is written down, and who gets what.

    `deciding` names the features the rule reads; it is empty where history decides.
    """

    name: str
    title: str
    passage: str
    stances: tuple[str, ...]
    deciding: tuple[str, ...]
    right_stance: Callable[[DemoCustomer], str]


def grants_voucher(line: str) -> bool:
    """Whether a history line says that a goodwill voucher was handed out."""
    return "goodwill" in line and "declined" not in line


def _return_window(customer: DemoCustomer) -> str:
    limit = RETURN_DAYS[customer.segment]
    return "open" if customer.number("days_since_purchase") <= limit else "closed"


def _return_shipping(customer: DemoCustomer) -> str:
    free = customer.segment == "gold" or customer.text("region") in FREE_LABEL_REGIONS
    return "free" if free else "customer_pays"


def _cancel_order(customer: DemoCustomer) -> str:
    status = customer.text("order_status")
    recalled = status == "in_transit" and customer.segment in RECALL_TIERS
    return "cancelled" if status == "processing" or recalled else "too_late"


def _address_change(customer: DemoCustomer) -> str:
    status = customer.text("order_status")
    reachable = status == "processing" or (status == "in_transit" and customer.segment != "guest")
    return "changed" if reachable and not customer.flag("fraud_flag") else "locked"


def _faulty_item(customer: DemoCustomer) -> str:
    limit = REJECT_DAYS[customer.text("region")]
    return "refund" if customer.number("days_since_purchase") <= limit else "repair"


def _price_match(customer: DemoCustomer) -> str:
    small = customer.segment == "guest" and customer.number("order_total") < GUEST_MATCH_TOTAL
    return "no_match" if small or customer.text("item_category") == "sale" else "match"


def _refund_method(customer: DemoCustomer) -> str:
    sale = customer.text("item_category") == "sale" and customer.text("region") in CREDIT_REGIONS
    gift = customer.text("payment_method") == "gift card"
    return "store_credit" if sale or gift else "original"


def _points(customer: DemoCustomer) -> str:
    needed = POINTS_NEEDED.get(customer.segment)
    enough = needed is not None and customer.number("loyalty_points") >= needed
    return "redeem" if enough else "not_yet"


def _invoice(customer: DemoCustomer) -> str:
    known = customer.segment == "business" or customer.number("lifetime_orders") >= INVOICE_ORDERS
    return "allowed" if known and not customer.flag("fraud_flag") else "declined"


def _goodwill(customer: DemoCustomer) -> str:
    since = customer.as_of - timedelta(days=VOUCHER_REST_DAYS)
    had_one = any(day > since and grants_voucher(line) for day, line in customer.history)
    return "had_one" if had_one else "voucher"


def _repair_pickup(customer: DemoCustomer) -> str:
    served = customer.segment in PICKUP_TIERS and customer.text("region") in PICKUP_REGIONS
    return "pickup" if served else "send_in"


def _per_tier(numbers: dict[str, int], unit: str) -> str:
    return ", ".join(f"{tier} {number} {unit}" for tier, number in numbers.items())


TOPICS: tuple[Topic, ...] = (
    Topic(
        "return_window",
        "Return window",
        "Unworn goods can be returned for a number of days after the purchase that depends on the "
        f"membership: {_per_tier(RETURN_DAYS, 'days')}. After that no return is possible.",
        ("open", "closed"),
        ("membership", "days_since_purchase"),
        _return_window,
    ),
    Topic(
        "return_shipping",
        "Return postage",
        f"The return label is free in the regions {' and '.join(FREE_LABEL_REGIONS)}, and in "
        f"every region for gold members. Everyone else pays {RETURN_LABEL_FEE} EUR for it.",
        ("free", "customer_pays"),
        ("membership", "region"),
        _return_shipping,
    ),
    Topic(
        "cancel_order",
        "Cancelling an order",
        "An order can be cancelled while it is processing. A parcel in transit is called back for "
        f"{' and '.join(RECALL_TIERS)} customers only. In all other cases it is too late to "
        "cancel and the ordinary return applies.",
        ("cancelled", "too_late"),
        ("membership", "order_status"),
        _cancel_order,
    ),
    Topic(
        "address_change",
        "Change of delivery address",
        "The delivery address can be changed while the order is processing and, for every customer "
        "except guests, while it is in transit. It is never changed after delivery, nor while a "
        "fraud flag is open on the account.",
        ("changed", "locked"),
        ("membership", "order_status", "fraud_flag"),
        _address_change,
    ),
    Topic(
        "faulty_item",
        "Faulty goods",
        "A faulty item can be rejected for a full refund within a number of days after the "
        f"purchase set by region: {_per_tier(REJECT_DAYS, 'days')}. After that we repair it first, "
        "free of charge.",
        ("refund", "repair"),
        ("region", "days_since_purchase"),
        _faulty_item,
    ),
    Topic(
        "price_match",
        "Price match",
        "We refund the difference to a lower price found elsewhere, but never on sale items. "
        f"Guests need an order of at least {GUEST_MATCH_TOTAL} EUR.",
        ("match", "no_match"),
        ("membership", "item_category", "order_total"),
        _price_match,
    ),
    Topic(
        "refund_method",
        "How refunds are paid",
        "Refunds go back to the original payment method. Two kinds become store credit instead: "
        "orders paid with a gift card, and sale items in the regions "
        f"{' and '.join(CREDIT_REGIONS)}.",
        ("original", "store_credit"),
        ("payment_method", "item_category", "region"),
        _refund_method,
    ),
    Topic(
        "points",
        "Redeeming loyalty points",
        "Loyalty points can be redeemed from a balance that depends on the membership: "
        f"{_per_tier(POINTS_NEEDED, 'points')}. Guests collect no points.",
        ("redeem", "not_yet"),
        ("membership", "loyalty_points"),
        _points,
    ),
    Topic(
        "invoice",
        "Paying by invoice",
        "Business customers, and everyone else from "
        f"{INVOICE_ORDERS} lifetime orders on, may pay by invoice, unless a fraud flag is open on "
        "the account.",
        ("allowed", "declined"),
        ("membership", "lifetime_orders", "fraud_flag"),
        _invoice,
    ),
    Topic(
        "goodwill",
        "Goodwill voucher",
        "After a bad experience we hand out a goodwill voucher, at most one in "
        f"{VOUCHER_REST_DAYS} days. Whether one was granted stands in the customer's history.",
        ("voucher", "had_one"),
        (),
        _goodwill,
    ),
    Topic(
        "repair_pickup",
        "Pickup for repairs",
        f"A courier collects repairs from {', '.join(PICKUP_TIERS)} customers in the regions "
        f"{' and '.join(PICKUP_REGIONS)}. All others send the item in to the workshop.",
        ("pickup", "send_in"),
        ("membership", "region"),
        _repair_pickup,
    ),
)

TOPIC_BY_NAME = {topic.name: topic for topic in TOPICS}


def right_answer_is(topic: str, customer: DemoCustomer) -> str:
    """The stance the written policy takes for this customer; KeyError for an unknown topic."""
    return TOPIC_BY_NAME[topic].right_stance(customer)
