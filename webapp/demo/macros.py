"""The shop's canned answers: one for every stance of every topic."""

from __future__ import annotations

from webapp.demo.phrasings import PHRASINGS
from webapp.demo.policy import TOPICS
from webapp.demo.records import DemoMacro

_QUESTIONS_PER_MACRO = 6
_EXAMPLE_ITEM = "jacket"

# (topic, stance) -> (title, body)
_TEXTS: dict[tuple[str, str], tuple[str, str]] = {
    ("return_window", "open"): (
        "Return: still possible",
        "Yes, you can still return it. Please use the return form in your account and leave "
        "the tags on. On file: {membership} customer, bought {days_since_purchase} days ago.",
    ),
    ("return_window", "closed"): (
        "Return: period is over",
        "I'm sorry, the return period is over, so we can no longer take the item back. On "
        "file: {membership} customer, bought {days_since_purchase} days ago.",
    ),
    ("return_shipping", "free"): (
        "Return postage: free",
        "The return is free for you. You'll find a prepaid label in your account. On file: "
        "{membership} customer, region {region}.",
    ),
    ("return_shipping", "customer_pays"): (
        "Return postage: paid by the customer",
        "I'm sorry, you have to pay for the return label yourself: 6.90 EUR are taken off "
        "your refund. On file: {membership} customer, region {region}.",
    ),
    ("cancel_order", "cancelled"): (
        "Cancellation: done",
        "Yes, I've cancelled your order and the payment by {payment_method} is on its way "
        "back to you.",
    ),
    ("cancel_order", "too_late"): (
        "Cancellation: too late",
        "I'm sorry, your order can't be cancelled any more, its status is {order_status}. "
        "Please send it back to us as a return instead.",
    ),
    ("address_change", "changed"): (
        "Address: can be changed",
        "Yes, we can still change the delivery address. Please reply with the complete new "
        "address. Status of the order: {order_status}.",
    ),
    ("address_change", "locked"): (
        "Address: can't be changed",
        "I'm sorry, we can't change the delivery address of your order. It stays with the "
        "address you gave at checkout. Status of the order: {order_status}.",
    ),
    ("faulty_item", "refund"): (
        "Faulty item: full refund",
        "I'm sorry about the fault. We refund the full price. On file: region {region}, "
        "bought {days_since_purchase} days ago.",
    ),
    ("faulty_item", "repair"): (
        "Faulty item: repair first",
        "I'm sorry about the fault. We can't refund you, but we repair the item at no cost to "
        "you. On file: region {region}, bought {days_since_purchase} days ago.",
    ),
    ("price_match", "match"): (
        "Price match: granted",
        "Yes, we match that price. Send us the link to the offer and we refund the difference "
        "on your order over {order_total} EUR.",
    ),
    ("price_match", "no_match"): (
        "Price match: not possible",
        "I'm sorry, we can't match the price on your order over {order_total} EUR (category: "
        "{item_category}).",
    ),
    ("refund_method", "original"): (
        "Refund: original payment method",
        "The refund goes back to the way you paid, {payment_method}. The money arrives within "
        "five working days.",
    ),
    ("refund_method", "store_credit"): (
        "Refund: store credit",
        "I'm sorry, the refund is issued as store credit in your shop account. On file: paid "
        "by {payment_method}, category {item_category}.",
    ),
    ("points", "redeem"): (
        "Points: can be redeemed",
        "Yes, you have enough points to redeem them. Choose redeem at checkout. On file: "
        "{loyalty_points} points, {membership} customer.",
    ),
    ("points", "not_yet"): (
        "Points: not enough",
        "I'm sorry, you don't have enough points to redeem them yet. On file: "
        "{loyalty_points} points, {membership} customer.",
    ),
    ("invoice", "allowed"): (
        "Invoice: allowed",
        "Yes, you can pay by invoice, just choose it at checkout. Thank you for "
        "{lifetime_orders} orders so far.",
    ),
    ("invoice", "declined"): (
        "Invoice: not available",
        "I'm sorry, payment by invoice isn't available for your account at the moment. Please "
        "choose card, PayPal or bank transfer.",
    ),
    ("goodwill", "voucher"): (
        "Goodwill: voucher granted",
        "I'm sorry for the trouble. As an apology I have added a goodwill voucher to your "
        "{membership} account.",
    ),
    ("goodwill", "had_one"): (
        "Goodwill: already had a voucher",
        "I'm sorry, we can't give you another goodwill voucher, because you had one within "
        "the last twelve months.",
    ),
}


WITHOUT_MACRO = frozenset({"repair_pickup"})
"""What the policy decides but no macro says: a model can answer it, or a person."""


def build_macros() -> tuple[DemoMacro, ...]:
    """The knowledge base, in the order of the policy."""
    keys = [
        (topic.name, stance)
        for topic in TOPICS
        if topic.name not in WITHOUT_MACRO
        for stance in topic.stances
    ]
    return tuple(_macro(number, *key) for number, key in enumerate(keys, start=1))


def _macro(number: int, topic: str, stance: str) -> DemoMacro:
    title, body = _TEXTS[topic, stance]
    questions = PHRASINGS[topic].questions.train[:_QUESTIONS_PER_MACRO]
    return DemoMacro(
        external_id=f"m-{number}",
        title=title,
        topic=topic,
        stance=stance,
        questions=tuple(question.replace("{item}", _EXAMPLE_ITEM) for question in questions),
        body=body,
    )
