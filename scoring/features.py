"""A customer's profile as yes-or-no columns for the trees, and as words for people and prompts."""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.customer import Customer, Feature
from scoring.history import HistorySpace
from scoring.topics import Array

SEGMENT = "segment"
"""The name under which the segment itself is encoded, as a category like any other."""

MOST_EDGES = 32
MOST_CATEGORIES = 32
LARGEST = 1e30
"""Numbers further from zero than this are read as this, so that their squares stay finite."""

FEWEST_CUSTOMERS = 2
"""A category seen with fewer customers than this is read as the unknown one."""


@dataclass(frozen=True)
class Number:
    """A numeric feature as a thermometer: one step per edge that the value lies above."""

    name: str
    edges: tuple[float, ...]

    @property
    def width(self) -> int:
        """Length of the encoding: missing, and one step per edge."""
        return 1 + len(self.edges)

    def encode(self, value: Feature | None) -> list[bool]:
        """Return the thermometer; anything that is not a number counts as missing."""
        number = _as_number(value)
        if number is None:
            return [True] + [False] * len(self.edges)
        below = bisect_left(self.edges, number)
        return [False] + [True] * below + [False] * (len(self.edges) - below)

    def in_words(self, value: Feature) -> str:
        """Return the value with the bin it falls into, as in `45 (between 30.5 and 60)`."""
        number = _as_number(value)
        if number is None or not self.edges:
            return str(value)
        place = bisect_left(self.edges, number)
        if place == 0:
            return f"{value} (at most {self.edges[0]:g})"
        if place == len(self.edges):
            return f"{value} (above {self.edges[-1]:g})"
        return f"{value} (between {self.edges[place - 1]:g} and {self.edges[place]:g})"


@dataclass(frozen=True)
class Category:
    """A feature of words or of yes and no: one place per known value, one for unknown ones."""

    name: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """Length of the encoding: missing, unknown, and one place per value."""
        return 2 + len(self.values)

    def encode(self, value: Feature | None) -> list[bool]:
        """Return a one-hot vector; a value not seen in training falls on `unknown`."""
        hot = [False] * self.width
        text = None if value is None else _as_text(value)
        hot[0 if text is None else 2 + self.values.index(text) if text in self.values else 1] = True
        return hot

    def in_words(self, value: Feature) -> str:
        """Return the value as it is shown: `yes`, `no`, or its own word."""
        return _as_text(value)


@dataclass(frozen=True)
class FeatureSpace:
    """What the trees know of a customer, fitted on the training rows, in the order of the names.

    A feature that the space does not know is ignored; one that it knows and the customer lacks has
    a place of its own; an unseen category falls on `unknown`, a number beyond all edges at the end.
    """

    columns: tuple[Number | Category, ...]

    @classmethod
    def fit(cls, customers: Iterable[Customer]) -> "FeatureSpace":
        """Return the space of these customers; a customer counts once per row they stand in."""
        seen: dict[str, list[tuple[str, Feature]]] = {SEGMENT: []}
        for customer in customers:
            for name, value in _profile(customer).items():
                seen.setdefault(name, []).append((customer.id, value))
        return cls(tuple(_fitted(name, seen[name]) for name in sorted(seen)))

    @property
    def width(self) -> int:
        """Length of the vector that `encode` returns."""
        return sum(column.width for column in self.columns)

    def encode(self, customer: Customer) -> NDArray[np.bool_]:
        """Return the customer as one vector, (width,)."""
        profile = _profile(customer)
        parts = [column.encode(profile.get(column.name)) for column in self.columns]
        return np.array([place for part in parts for place in part], dtype=np.bool_)

    def describe(self, customer: Customer) -> str:
        """Return the profile in words, numbers with their bins: what the trees see, for people."""
        profile = _profile(customer)
        known = {column.name: column for column in self.columns}
        lines = [
            f"{name.replace('_', ' ')}: {known[name].in_words(profile[name])}"
            for name in sorted(profile)
            if name in known
        ]
        return "; ".join(lines)


@dataclass(frozen=True)
class CustomerSpace:
    """How a customer becomes columns for the trees: the profile's first, then the history's."""

    profile: FeatureSpace
    history: HistorySpace

    @classmethod
    def fit(
        cls, customers: Sequence[Customer], vectors: Mapping[str, Array], dim: int, seed: int
    ) -> "CustomerSpace":
        """Return the space of these customers; `vectors` has the words of their history lines."""
        random = np.random.default_rng(seed)
        history = HistorySpace.fit(customers, vectors, dim, random)
        return cls(FeatureSpace.fit(customers), history)

    def encode(self, customer: Customer, vectors: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Return the customer as columns, (columns,)."""
        profile, history = self.profile.encode(customer), self.history.encode(customer, vectors)
        return np.concatenate([profile, history])

    def as_json(self) -> str:
        """Return all but the history's kinds as JSON text that `from_json` reads back."""
        profile = [
            {"kind": type(column).__name__, **asdict(column)} for column in self.profile.columns
        ]
        history = {"ages": self.history.ages, "today": self.history.today}
        return json.dumps({"columns": profile, "history": history}, indent=1)

    @classmethod
    def from_json(cls, text: str, kinds: Array) -> "CustomerSpace":
        """Return the space that `as_json` wrote; ValueError, KeyError or TypeError if bent."""
        stored = json.loads(text)
        ages = tuple(
            tuple(tuple(float(cut) for cut in cuts) for cuts in partition)
            for partition in stored["history"]["ages"]
        )
        profile = FeatureSpace(tuple(_column(row) for row in stored["columns"]))
        return cls(profile, HistorySpace(kinds, ages, stored["history"]["today"]))


def _column(row: Mapping[str, object]) -> Number | Category:
    fields = {name: value for name, value in row.items() if name != "kind"}
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(value)
    kinds: dict[object, type[Number | Category]] = {"Number": Number, "Category": Category}
    return kinds[row["kind"]](**fields)  # type: ignore[arg-type]


def _profile(customer: Customer) -> dict[str, Feature]:
    """Return the features, with the segment as one more of them."""
    segment = {} if customer.segment is None else {SEGMENT: customer.segment}
    return {**customer.features, **segment}


def _fitted(name: str, seen: Sequence[tuple[str, Feature]]) -> Number | Category:
    numbers = [_as_number(value) for _, value in seen]
    if name == SEGMENT or None in numbers:
        return Category(name, _common(seen))
    return Number(name, _edges(np.array(numbers, dtype=np.float64)))


def _common(seen: Sequence[tuple[str, Feature]]) -> tuple[str, ...]:
    """Return the values held by enough customers, the most frequent first, ties by name."""
    holders = Counter(text for _, text in {(who, _as_text(value)) for who, value in seen})
    ranked = sorted(holders.items(), key=lambda item: (-item[1], item[0]))
    return tuple(text for text, count in ranked if count >= FEWEST_CUSTOMERS)[:MOST_CATEGORIES]


def _edges(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return at most `MOST_EDGES` cuts half way between neighbours, even over distinct values."""
    distinct = np.unique(values)
    cuts = distinct[:-1] / 2 + distinct[1:] / 2
    if len(cuts) > MOST_EDGES:
        cuts = cuts[np.linspace(0, len(cuts) - 1, MOST_EDGES).round().astype(int)]
    return tuple(float(cut) for cut in cuts)


def _as_number(value: Feature | None) -> float | None:
    if value is None or isinstance(value, bool | str):
        return None
    return max(-LARGEST, min(LARGEST, float(value)))


def _as_text(value: Feature) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
