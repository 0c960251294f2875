"""Fernweh Outfitters (synthetic): the whole invented shop from one seed."""

from __future__ import annotations

from datetime import date

from webapp.demo.customers import build_customers
from webapp.demo.examples import build_examples, build_macro_examples
from webapp.demo.macros import build_macros
from webapp.demo.policy import TOPICS, right_answer_is
from webapp.demo.records import (
    DemoCustomer,
    DemoExample,
    DemoMacro,
    DemoPassage,
    DemoTicket,
    Shop,
)
from webapp.demo.tickets import build_tickets

__all__ = [
    "DemoCustomer",
    "DemoExample",
    "DemoMacro",
    "DemoPassage",
    "DemoTicket",
    "Shop",
    "build_shop",
    "right_answer_is",
]

NAME = "Fernweh Outfitters (synthetic)"


def build_shop(*, seed: int = 7, today: date = date(2026, 11, 1)) -> Shop:
    """The shop as it stands on the morning of `today`; the same seed gives the same shop."""
    customers = build_customers(seed=seed, today=today)
    macros = build_macros()
    return Shop(
        name=NAME,
        customers=customers,
        macros=macros,
        passages=_passages(),
        tickets=build_tickets(customers, seed=seed, today=today),
        examples=build_examples(customers, seed=seed),
        macro_examples=build_macro_examples(customers, macros, seed=seed),
    )


def _passages() -> tuple[DemoPassage, ...]:
    return tuple(
        DemoPassage(external_id=f"p-{number}", title=topic.title, body=topic.passage)
        for number, topic in enumerate(TOPICS, start=1)
    )
