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
        "You bought this {days_since_purchase} days ago, so as a {membership} customer you can "
        "still return it. Please use the return form in your account and leave the tags on.",
    ),
    ("return_window", "closed"): (
        "Return: period is over",
        "I'm sorry, your purchase was {days_since_purchase} days ago and the return period for a "
        "{membership} customer has ended. We can no longer take the item back.",
    ),
    ("return_shipping", "free"): (
        "Return postage: free",
        "Returns from your region ({region}) are free for you as a {membership} customer. You'll "
        "find a prepaid label in your account.",
    ),
    ("return_shipping", "customer_pays"): (
        "Return postage: paid by the customer",
        "For a {membership} customer in the region {region} we charge 6.90 EUR for the return "
        "label. The amount is taken off your refund.",
    ),
    ("cancel_order", "cancelled"): (
        "Cancellation: done",
        "I've cancelled your order (status: {order_status}) and the payment by {payment_method} "
        "is on its way back to you.",
    ),
    ("cancel_order", "too_late"): (
        "Cancellation: too late",
        "With the status {order_status} your order can't be cancelled any more. Please send it "
        "back to us as a return instead.",
    ),
    ("address_change", "changed"): (
        "Address: can be changed",
        "Your order has the status {order_status}, so we can still change the delivery address. "
        "Please reply with the complete new address.",
    ),
    ("address_change", "locked"): (
        "Address: can't be changed",
        "I'm sorry, we can't change the delivery address of your order (status: {order_status}). "
        "It stays with the address you gave at checkout.",
    ),
    ("faulty_item", "refund"): (
        "Faulty item: full refund",
        "I'm sorry about the fault. As you bought the item {days_since_purchase} days ago in the "
        "region {region}, you can reject it and we refund the full price.",
    ),
    ("faulty_item", "repair"): (
        "Faulty item: repair first",
        "I'm sorry about the fault. After {days_since_purchase} days the rule for the region "
        "{region} is that we repair the item first, at no cost to you.",
    ),
    ("price_match", "match"): (
        "Price match: granted",
        "Your order over {order_total} EUR is eligible for our price match. Send us the link to "
        "the lower price and we refund the difference.",
    ),
    ("price_match", "no_match"): (
        "Price match: not possible",
        "I'm sorry, our price match doesn't cover your order over {order_total} EUR (category: "
        "{item_category}), so we can't refund the difference.",
    ),
    ("refund_method", "original"): (
        "Refund: original payment method",
        "We refund you by the way you paid, {payment_method}. The money arrives within five "
        "working days.",
    ),
    ("refund_method", "store_credit"): (
        "Refund: store credit",
        "For this order (paid by {payment_method}, category {item_category}) the refund is issued "
        "as store credit in your shop account.",
    ),
    ("points", "redeem"): (
        "Points: can be redeemed",
        "You have {loyalty_points} points, which is enough to redeem them as a {membership} "
        "customer. Choose redeem at checkout.",
    ),
    ("points", "not_yet"): (
        "Points: not enough",
        "You have {loyalty_points} points. As a {membership} customer you can't redeem them at "
        "the moment.",
    ),
    ("invoice", "allowed"): (
        "Invoice: allowed",
        "Thank you for {lifetime_orders} orders so far. You can pay by invoice, just choose it at "
        "checkout.",
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
        "I'm sorry for the trouble. We granted you a goodwill voucher within the last twelve "
        "months, so I can't issue another one to your {membership} account now.",
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
