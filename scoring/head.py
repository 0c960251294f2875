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
from scoring.topics import Array
from scoring.trees import Bits, Trees, margins
from scoring.wordings import Wordings

Stored = NDArray[Any]

WHOLE = ("reading", "reading_bias")

SURENESS = 0.5
"""The layers are surer of new wordings than they should be: by how much their log odds shrink."""


@dataclass(frozen=True)
class Texts:
    """What is known of n questions with answers.

    `pooled` are the layers' states, (n, 2 * dim); `question` and `answer` the plain sentence
    vectors, (n, dim).
    """

    pooled: Array
    question: Array
    answer: Array

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> "Texts":
        """Return these rows, in this order."""
        return Texts(self.pooled[rows], self.question[rows], self.answer[rows])


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

    def read(self, texts: Texts, places: NDArray[np.intp]) -> tuple[Scores, Scores]:
        """Return the log odds that answers grant, and that they are on the question, (n,) each."""
        read = texts.pooled @ self.reading.T + self.reading_bias
        grants = read[:, 0] + self.wordings.granting(texts.answer, places)
        about = read[:, 1] + self.wordings.matching(texts.question, texts.answer)
        return grants, about

    def raw(self, texts: Texts, people: Bits) -> Scores:
        """Return raw scores for texts and, row by row, their customers' columns, (n,)."""
        places = self.wordings.topics_of(texts.question, texts.answer)
        grants, about = self.read(texts, places)
        bits = np.concatenate([people, self.wordings.topic_bits(places)], axis=1)
        return joined(grants, margins([self.trees] * len(bits), bits), about)

    def tensors(self) -> dict[str, Stored]:
        """Return the arrays by the names that `from_tensors` takes."""
        whole = {name: getattr(self, name) for name in WHOLE}
        wordings = {
            f"wordings.{field.name}": getattr(self.wordings, field.name)
            for field in fields(Wordings)
        }
        trees = {f"trees.{field.name}": getattr(self.trees, field.name) for field in fields(Trees)}
        return {**whole, **wordings, **trees}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, Stored]) -> "Head":
        """Return the head with these arrays; raises KeyError where one is missing."""
        wordings = Wordings(
            **{field.name: stored[f"wordings.{field.name}"] for field in fields(Wordings)}
        )
        trees = Trees(**{field.name: stored[f"trees.{field.name}"] for field in fields(Trees)})
        return cls(**{name: stored[name] for name in WHOLE}, wordings=wordings, trees=trees)


def joined(grants: Scores, entitled: Scores, about: Scores) -> Scores:
    """Return the log odds that an answer is on the question and agrees with what holds, (n,)."""
    return both(about, agreeing(SURENESS * grants, entitled))


def agreeing(first: Scores, second: Scores) -> Scores:
    """Return the log odds that two independent things are both so or both not so, (n,)."""
    agree: Scores = np.logaddexp(first + second, 0) - np.logaddexp(first, second)
    return agree


def both(first: Scores, second: Scores) -> Scores:
    """Return the log odds that two independent things are both so, (n,)."""
    both_so: Scores = -np.logaddexp(np.logaddexp(-first, -second), -first - second)
    return both_so
