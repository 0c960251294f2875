"""The values the demo shop is made of: frozen, plain, ready for a database row or a JSON line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

Feature = str | int | float | bool
Split = Literal["train", "heldout"]
Kind = Literal["policy", "unrelated", "macro"]

SEGMENTS = ("guest", "bronze", "silver", "gold", "business")


@dataclass(frozen=True)
class DemoCustomer:
    """An invented customer, as known on the day `as_of`; history is oldest first."""

    external_id: str
    name: str
    email: str
    segment: str
    features: Mapping[str, Feature]
    history: tuple[tuple[date, str], ...]
    held_out: bool
    as_of: date

    def text(self, feature: str) -> str:
        """A feature that holds a string."""
        return str(self.features[feature])

    def number(self, feature: str) -> float:
        """A feature that holds a number."""
        return float(self.features[feature])

    def flag(self, feature: str) -> bool:
        """A feature that holds a yes or no."""
        return bool(self.features[feature])


@dataclass(frozen=True)
class DemoMacro:
    """A canned answer; `body` has `{feature}` placeholders that every customer can fill."""

    external_id: str
    title: str
    topic: str
    stance: str
    questions: tuple[str, ...]
    body: str

    def filled_for(self, customer: DemoCustomer) -> str:
        """The body with the features for placeholders; `in_transit` reads `in transit`."""
        words = {name: str(value).replace("_", " ") for name, value in customer.features.items()}
        return self.body.format_map(words)


@dataclass(frozen=True)
class DemoPassage:
    """A paragraph of the written policy: one per topic."""

    external_id: str
    title: str
    body: str


@dataclass(frozen=True)
class DemoTicket:
    """A ticket; past ones carry the reply a human agent sent, open ones None. Times are UTC."""

    external_id: str
    customer_id: str
    subject: str
    body: str
    created_at: datetime
    reply: str | None
    replied_at: datetime | None


@dataclass(frozen=True)
class DemoExample:
    """A labelled (customer, question, answer); `label` is 1 when the answer suits the customer."""

    customer_id: str
    question: str
    answer: str
    label: int
    topic: str
    stance: str
    kind: Kind
    split: Split


@dataclass(frozen=True)
class Shop:
    """The whole invented shop; `macro_examples` are labelled filled macros, train split only."""

    name: str
    customers: tuple[DemoCustomer, ...]
    macros: tuple[DemoMacro, ...]
    passages: tuple[DemoPassage, ...]
    tickets: tuple[DemoTicket, ...]
    examples: tuple[DemoExample, ...]
    macro_examples: tuple[DemoExample, ...]
