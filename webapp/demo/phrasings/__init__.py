"""Hand-written questions and answers, by topic and stance, train and held-out apart."""

from __future__ import annotations

from webapp.demo.phrasings import orders, returns, rewards
from webapp.demo.phrasings.wording import Phrasing

PHRASINGS: dict[str, Phrasing] = {
    "return_window": returns.RETURN_WINDOW,
    "return_shipping": returns.RETURN_SHIPPING,
    "faulty_item": returns.FAULTY_ITEM,
    "refund_method": returns.REFUND_METHOD,
    "cancel_order": orders.CANCEL_ORDER,
    "address_change": orders.ADDRESS_CHANGE,
    "invoice": orders.INVOICE,
    "price_match": rewards.PRICE_MATCH,
    "points": rewards.POINTS,
    "goodwill": rewards.GOODWILL,
    "repair_pickup": rewards.REPAIR_PICKUP,
}
