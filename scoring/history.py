"""A customer's history as yes-or-no columns: what kinds of things happened, and how long ago.

The lines' kinds are found from their sentence vectors; the date that a line begins with becomes its
age on the day the customer is seen. So a rule such as "one voucher a year" can be learnt.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from scoring.customer import Customer
from scoring.topics import Array, nearest, partitions

KINDS = (8, 16)
"""How many kinds of lines each partition tells apart."""

MOST_AGES = 6
"""How many ages each kind is cut at, at most."""

_DATED = re.compile(r"\s*(\d{4}-\d{2}-\d{2})\S*\s+(.*)", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One line of a history: the day that it begins with, if any, and its words."""

    day: date | None
    words: str

    @classmethod
    def of(cls, text: str) -> "Line":
        """Read `2026-03-02 asked about a late parcel`; a line without a date is all words."""
        match = _DATED.fullmatch(text)
        if match is None:
            return cls(None, text)
        try:
            return cls(date.fromisoformat(match[1]), match[2])
        except ValueError:
            return cls(None, text)


def lines_of(customer: Customer) -> list[Line]:
    """Return the customer's newest lines, oldest first."""
    return [Line.of(text) for text in customer.recent_history]


def words_of(customers: Iterable[Customer]) -> list[str]:
    """Return the distinct words of the customers' history lines, sorted."""
    return sorted({line.words for customer in customers for line in lines_of(customer)})


@dataclass(frozen=True)
class HistorySpace:
    """The kinds of lines seen in training, and the ages in days at which each kind is cut.

    `kinds` is (partitions, most kinds, dim); `ages` has a tuple per partition and kind; `today` is
    the day on which a customer is seen where nobody says which, as an ISO 8601 date.
    """

    kinds: Array
    ages: tuple[tuple[tuple[float, ...], ...], ...]
    today: str | None

    @classmethod
    def fit(
        cls,
        customers: Iterable[Customer],
        vectors: Mapping[str, Array],
        dim: int,
        random: np.random.Generator,
    ) -> "HistorySpace":
        """Return the space of these customers' lines; `vectors` has each line's words."""
        people = list(dict.fromkeys((each.day, each.recent_history) for each in customers))
        lines = [(day, Line.of(text)) for day, history in people for text in history]
        days = [line.day for _, line in lines if line.day is not None]
        today = max(days).isoformat() if days else None
        words = sorted({line.words for _, line in lines})
        if not words:
            return cls(np.zeros((0, 0, dim), dtype=np.float32), (), today)
        kinds = partitions(np.stack([vectors[each] for each in words]), KINDS, random)
        kind_of = dict(
            zip(words, nearest(kinds, np.stack([vectors[w] for w in words])), strict=True)
        )
        ages: list[list[list[float]]] = [[[] for _ in each] for each in kinds]
        for day, line in lines:
            age = _age(line, day, today)
            if age is not None:
                for partition, kind in enumerate(kind_of[line.words]):
                    ages[partition][kind].append(age)
        return cls(kinds, tuple(tuple(map(_cuts, each)) for each in ages), today)

    @property
    def width(self) -> int:
        """Length of the vector that `encode` returns."""
        return sum(1 + len(cuts) for partition in self.ages for cuts in partition)

    def encode(self, customer: Customer, vectors: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Return per kind whether it happened, and whether it did within each age, (width,)."""
        seen: dict[tuple[int, int], list[float]] = {}
        lines = lines_of(customer) if len(self.kinds) else []
        if lines:
            places = nearest(self.kinds, np.stack([vectors[line.words] for line in lines]))
            for line, kinds in zip(lines, places, strict=True):
                age = _age(line, customer.day, self.today)
                for partition, kind in enumerate(kinds.tolist()):
                    seen.setdefault((partition, kind), []).append(np.inf if age is None else age)
        bits: list[bool] = []
        for partition, cuts_of in enumerate(self.ages):
            for kind, cuts in enumerate(cuts_of):
                youngest = min(seen.get((partition, kind), [np.nan]))
                bits.append((partition, kind) in seen)
                bits += [youngest <= cut for cut in cuts]
        return np.array(bits, dtype=np.bool_)


def _age(line: Line, seen_on: date | None, today: str | None) -> float | None:
    """Return how many days ago the line was, or None where either day is unknown."""
    if line.day is None or (seen_on is None and today is None):
        return None
    return float(((seen_on or date.fromisoformat(str(today))) - line.day).days)


def _cuts(ages: Sequence[float]) -> tuple[float, ...]:
    """Return at most `MOST_AGES` cuts between the ages, even over the distinct ones."""
    distinct = np.unique(ages)
    cuts = (distinct[:-1] + distinct[1:]) / 2
    if len(cuts) > MOST_AGES:
        cuts = cuts[np.linspace(0, len(cuts) - 1, MOST_AGES + 2).round().astype(int)[1:-1]]
    return tuple(cuts.tolist())
