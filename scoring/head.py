"""From a text that was read and a customer's columns to one raw score: the adapter's second half.

    the answer grants what was asked ── layers' readings + wordings ─┐
                                                                     agree ─┐
    the customer is entitled to it ──── trees ───────────────────────┘      both ── raw score
    the answer is about the question ── layers' reading + wordings ─────────┘

A granting answer is right for the entitled and a refusing one for the others, so one set of rules
per topic serves both kinds of answers in any wording.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
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
    """What one adapter makes of texts, whoever asks.

    `reading` (2, 2 * dim) and `reading_bias` (2,) give the log odds of granting and of being about
    the question, linear in the layers' pooled states.
    """

    reading: Array
    reading_bias: Array
    by_topic: ByTopic
    wordings: Wordings

    def told(self, texts: Texts, places: Places, rules: Scores) -> Told:
        """Return what is told of texts that lie there, beside what the rules say of who asks."""
        read = (texts.pooled @ self.reading.T + self.reading_bias).astype(np.float64)
        return Told(
            layers=read[:, 0],
            by_topic=self.by_topic.granting(texts.pooled, places),
            wordings=self.wordings.granting(texts.plain, places),
            rules=rules,
            about=read[:, 1] + self.wordings.matching(texts.plain),
        )


@dataclass(frozen=True)
class Head:
    """One adapter's second half."""

    reader: Reader
    trees: Trees
    fusion: Fusion

    def raw(self, texts: Texts, people: Bits) -> Scores:
        """Return raw scores for texts and, row by row, their customers' columns, (n,)."""
        places = self.reader.wordings.places_of(texts.plain)
        rules = self.trees.entitled(people, places)
        return self.fusion.raw(self.reader.told(texts, places, rules), places)

    def read(self, texts: Texts) -> Scores:
        """Return the log odds that texts grant, and are about the question, (n, 2)."""
        places = self.reader.wordings.places_of(texts.plain)
        nobody = np.zeros(len(texts.pooled))
        return self.fusion.texts(self.reader.told(texts, places, nobody), places)

    def tensors(self) -> dict[str, Stored]:
        """Return the arrays by the names that `from_tensors` takes."""
        parts: dict[str, ByTopic | Wordings | Trees | Fusion] = {
            "by_topic": self.reader.by_topic,
            "wordings": self.reader.wordings,
            "trees": self.trees,
            "fusion": self.fusion,
        }
        stored: dict[str, Stored] = {
            f"{part}.{each.name}": getattr(held, each.name)
            for part, held in parts.items()
            for each in fields(held)
        }
        reading, bias = self.reader.reading, self.reader.reading_bias
        return {**stored, "reading": reading, "reading_bias": bias}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, Stored]) -> "Head":
        """Return the head with these arrays; raises KeyError where one is missing."""

        def part(name: str, kind: type[Part]) -> Part:
            return kind(**{each.name: stored[f"{name}.{each.name}"] for each in fields(kind)})

        by_topic, wordings = part("by_topic", ByTopic), part("wordings", Wordings)
        reader = Reader(stored["reading"], stored["reading_bias"], by_topic, wordings)
        return cls(reader, part("trees", Trees), part("fusion", Fusion))
