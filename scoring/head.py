"""From a text that was read and a customer's columns to one raw score: the adapter's second half.

    the answer grants what was asked ── layers' reading + wordings ─┐
                                                                    agree ─┐
    the customer is entitled to it ──── trees ──────────────────────┘      both ── raw score
    the answer is about the question ── layers' reading + wordings ────────┘

A granting answer is right for the entitled and a refusing one for the others, so one set of rules
per topic serves both kinds of answers in any wording.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.beliefs import Scores
from scoring.fusion import Fusion, Told
from scoring.topics import Array
from scoring.trees import Bits, Trees
from scoring.wordings import PlainVectors, Wordings

Stored = NDArray[Any]

WHOLE = ("reading", "reading_bias")


@dataclass(frozen=True)
class Texts:
    """What is known of n questions with answers: the layers' states, (n, 2 * dim), and vectors."""

    pooled: Array
    plain: PlainVectors

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> "Texts":
        """Return these rows, in this order."""
        return Texts(self.pooled[rows], self.plain.take(rows))


@dataclass(frozen=True)
class Head:
    """One adapter's second half.

    `reading` (2, 2 * dim) and `reading_bias` (2,) give the log odds of granting and of being about
    the question, linear in the layers' pooled states.
    """

    reading: Array
    reading_bias: Array
    wordings: Wordings
    trees: Trees
    fusion: Fusion

    def raw(self, texts: Texts, people: Bits) -> Scores:
        """Return raw scores for texts and, row by row, their customers' columns, (n,)."""
        places = self.wordings.topics_of(texts.plain)
        bits = np.concatenate([people, self.wordings.topic_bits(places)], axis=1)
        rules = self.trees.margins(bits)
        read = (texts.pooled @ self.reading.T + self.reading_bias).astype(np.float64)
        return self.fusion.raw(told(read, self.wordings, texts.plain, places, rules), places)

    def tensors(self) -> dict[str, Stored]:
        """Return the arrays by the names that `from_tensors` takes."""
        stored = {name: getattr(self, name) for name in WHOLE}
        for part in PARTS:
            held = getattr(self, part)
            stored |= {f"{part}.{each.name}": getattr(held, each.name) for each in fields(held)}
        return stored

    @classmethod
    def from_tensors(cls, stored: Mapping[str, Stored]) -> "Head":
        """Return the head with these arrays; raises KeyError where one is missing."""
        parts: dict[str, Any] = {
            part: kind(**{each.name: stored[f"{part}.{each.name}"] for each in fields(kind)})
            for part, kind in PARTS.items()
        }
        whole: dict[str, Any] = {name: stored[name] for name in WHOLE}
        return cls(**whole, **parts)


PARTS: dict[str, type[Any]] = {"wordings": Wordings, "trees": Trees, "fusion": Fusion}


def told(
    read: Scores, wordings: Wordings, plain: PlainVectors, places: NDArray[np.intp], rules: Scores
) -> Told:
    """Return what the sources say of rows whose texts the layers `read`, (n, 2)."""
    return Told(
        layers=read[:, 0],
        wordings=wordings.granting(plain, places),
        rules=rules,
        about=read[:, 1] + wordings.matching(plain),
    )
