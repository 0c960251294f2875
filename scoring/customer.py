"""The customer as the scorer sees them: profile, segment and recent history, nothing else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from scoring.errors import BadCustomer

Feature = str | int | float | bool

HISTORY_SHOWN = 8
"""How many history lines, the newest, are shown to the scorer and to the models."""


@dataclass(frozen=True)
class Customer:
    """One customer at one moment.

    `features` is a flat mapping of strings, finite numbers and booleans; `history` holds one line
    per past contact, newest last; `segment` is None while nobody has assigned one; `day` is the day
    of that moment, from which the history's ages count, None where nobody says.

    >>> Customer("c-17", "gold", {"days_since_purchase": 45})

    Raises `BadCustomer` for nested values, NaN and infinities.
    """

    id: str
    segment: str | None
    features: Mapping[str, Feature] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    day: date | None = None

    def __post_init__(self) -> None:
        for name, value in self.features.items():
            check_feature(name, value)

    @classmethod
    def from_row(
        cls, row: Mapping[str, Any], history: object = (), day: date | None = None
    ) -> "Customer":
        """Return the customer of a JSON object with `id`, `segment`, `features`, seen on a day."""
        customer_id, segment, features = row.get("id"), row.get("segment"), row.get("features", {})
        _expect(
            isinstance(customer_id, str) and customer_id, "customer.id", "a string", customer_id
        )
        _expect(
            segment is None or isinstance(segment, str), "customer.segment", "a string", segment
        )
        _expect(isinstance(features, dict), "customer.features", "an object", features)
        lines = history if isinstance(history, list | tuple) else None
        _expect(
            lines is not None and all(isinstance(line, str) for line in lines),
            "history",
            "a list of strings",
            history,
        )
        return cls(str(customer_id), segment, features, tuple(lines or ()), day)

    @property
    def recent_history(self) -> tuple[str, ...]:
        """The newest lines of the history, oldest first."""
        return self.history[-HISTORY_SHOWN:]


def _expect(holds: object, field: str, expected: str, got: object) -> None:
    if not holds:
        raise BadCustomer(f"{field} is {got!r}; expected {expected}")


def check_feature(name: str, value: object) -> None:
    """Raise `BadCustomer` unless the value is a string, a boolean or a finite number."""
    if isinstance(value, bool | str):
        return
    if isinstance(value, int | float):
        if is_finite(value):
            return
        raise BadCustomer(f"feature {name!r} is no finite number; expected one a float can hold")
    raise BadCustomer(
        f"feature {name!r} is a {type(value).__name__}; expected a string, a number or a boolean"
    )


def is_finite(value: float) -> bool:
    """Whether a float can hold the number: not NaN, not infinite, no integer beyond all floats."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
