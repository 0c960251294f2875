"""From a text that was read and a customer's columns to one raw score: the adapter's second half.

    the answer grants what was asked ── layers' readings + wordings ─┐
                                                                     agree ─┐
    the customer is entitled to it ──── trees ───────────────────────┘      both ── raw score
    the answer is about the question ── layers' reading + wordings ─────────┘

A granting answer is right for the entitled and a refusing one for the others, so one set of rules
per topic serves both kinds of answers in any wording.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.beliefs import Scores
from scoring.fusion import Fusion, Told
from scoring.readings import ByTopic
from scoring.topics import Array, Places
from scoring.trees import Bits, Trees
from scoring.wordings import PlainVectors, Wordings

Stored = NDArray[Any]
Part = TypeVar("Part", ByTopic, Wordings, Trees, Fusion)


@dataclass(frozen=True)
class Texts:
    """What is known of n questions with answers: the layers' states, (n, 2 * dim), and vectors."""

    pooled: Array
    plain: PlainVectors

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> "Texts":
        """Return these rows, in this order."""
        return Texts(self.pooled[rows], self.plain.take(rows))


@dataclass(frozen=True)
class Reader:
    """What a segment's adapter takes over from the shared one to make something of texts."""

    by_topic: ByTopic
    wordings: Wordings

    def told(self, read: Scores, texts: Texts, places: Places, rules: Scores) -> Told:
        """Return what is told of texts that lie there, beside what the rules say of who asks.

        `read` (n, 2) is the layers' own reading.
        """
        return Told(
            layers=read[:, 0],
            by_topic=self.by_topic.granting(texts.pooled, places),
            wordings=self.wordings.granting(texts.plain, places),
            rules=rules,
            about=read[:, 1] + self.wordings.matching(texts.plain),
        )


@dataclass(frozen=True)
class Head:
    """One adapter's second half.

    Its own are `reading` (2, 2 * dim) and `reading_bias` (2,), the log odds of granting and of
    being about the question, linear in the layers' pooled states, and the trees `own`; the rest a
    segment takes over from the shared adapter, whose own trees are none.
    """

    reading: Array
    reading_bias: Array
    own: Trees
    reader: Reader
    trees: Trees
    fusion: Fusion

    def layers_read(self, pooled: Array) -> Scores:
        """Return the layers' own reading of pooled states, (n, 2)."""
        read: Scores = (pooled @ self.reading.T + self.reading_bias).astype(np.float64)
        return read

    def entitled(self, people: Bits, places: Places) -> Scores:
        """Return the log odds that customers are entitled to what is asked there, (n,)."""
        return self.trees.entitled(people, places) + self.own.entitled(people, places)

    def read(self, texts: Texts) -> Scores:
        """Return the log odds that texts grant, and are about the question, (n, 2)."""
        places = self.reader.wordings.places_of(texts.plain)
        read, nobody = self.layers_read(texts.pooled), np.zeros(len(texts.pooled))
        return self.fusion.texts(self.reader.told(read, texts, places, nobody), places)

    def tensors(self) -> dict[str, Stored]:
        """Return the arrays by the names that `from_tensors` takes."""
        stored = {
            f"{part}.{each.name}": getattr(held, each.name)
            for part, held in {**self._taken_over(), "own": self.own}.items()
            for each in fields(held)
        }
        return {**stored, "reading": self.reading, "reading_bias": self.reading_bias}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, Stored]) -> "Head":
        """Return the head with these arrays; raises KeyError where one is missing."""

        def part(name: str, kind: type[Part]) -> Part:
            return kind(**{each.name: stored[f"{name}.{each.name}"] for each in fields(kind)})

        return cls(
            stored["reading"],
            stored["reading_bias"],
            part("own", Trees),
            Reader(part("by_topic", ByTopic), part("wordings", Wordings)),
            part("trees", Trees),
            part("fusion", Fusion),
        )

    def beside(self, others: Iterable["Head"]) -> "Head":
        """Return this head with the parts of one that took over the same arrays, if there is one.

        So what a part works out of its arrays is in memory once.
        """
        for other in others:
            if other.taken_over == self.taken_over:
                return replace(self, reader=other.reader, trees=other.trees, fusion=other.fusion)
        return self

    @property
    def taken_over(self) -> tuple[int, ...]:
        """Which arrays in memory the parts are that were taken over."""
        parts = self._taken_over().values()
        return tuple(id(getattr(part, each.name)) for part in parts for each in fields(part))

    def _taken_over(self) -> dict[str, ByTopic | Wordings | Trees | Fusion]:
        return {
            "by_topic": self.reader.by_topic,
            "wordings": self.reader.wordings,
            "trees": self.trees,
            "fusion": self.fusion,
        }


def raw_scores(heads: Sequence[Head], texts: Texts, people: Sequence[Bits]) -> Scores:
    """Return raw scores, (n,), of rows that each have a head, a text and a customer's columns.

    What heads took over from the same adapter is computed for all their rows at once.
    """
    raw = np.zeros(len(heads))
    for rows in _alike([head.taken_over for head in heads]):
        first, mine = heads[rows[0]], texts.take(rows)
        bits = np.stack([people[row] for row in rows])
        places = first.reader.wordings.places_of(mine.plain)
        rules, read = first.trees.entitled(bits, places), np.zeros((len(rows), 2))
        for own in _alike([id(heads[row]) for row in rows]):
            head = heads[rows[own[0]]]
            rules[own] += head.own.entitled(bits[own], places.take(own))
            read[own] = head.layers_read(mine.pooled[own])
        raw[rows] = first.fusion.raw(first.reader.told(read, mine, places, rules), places)
    return raw


def _alike(keys: Iterable[Hashable]) -> list[list[int]]:
    """Return the places of equal keys together."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return list(places.values())
