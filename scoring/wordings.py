"""What texts are about and assert, judged from their plain sentence vectors alone.

A second opinion beside the layers': sentence vectors know that "store credit" and "a voucher" are
near each other, which layers trained on few wordings forget. The two err in different places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from scoring.beliefs import Beliefs, Scores
from scoring.network import ANSWER, QUESTION, Parts
from scoring.ridge import evidence
from scoring.topics import Array, Places, main_axes, partitions

TOPICS = (8, 12, 16, 24, 8, 12, 16, 24)
"""How many topics each partition tells apart."""

GRAIN = 4.0
"""How fast the likeness of two sentences falls with their distance."""
ELSEWHERE = 0.1
"""What a sentence said on another topic counts, beside 1 on the same one."""
MOST_SAID = 4000
"""How many sentences of answers are remembered at most; of more, texts are drawn."""

SENTENCES_AT_ONCE = 1024
"""So many sentences are likened to all that are remembered at a time."""

TO_THE_POINT = 4.0
"""How much more a sentence counts for what an answer is about, the more it is like the question."""

AXES = 24
MATCH_STIFFNESS = 20.0
"""How strongly the products' weights are drawn to zero: there are nearly as many as texts."""
FREE_STIFFNESS = 0.01
"""The same for the cosine's weight and for the log odds that hold whatever the texts."""

_ROUNDS = 40


@dataclass(frozen=True)
class PlainVectors:
    """The plain vectors of n questions with answers, of unit length.

    `question` and `answer` are (n, dim), an answer's along the mean of its sentences', most of
    those to the point; `sentences` (sentences, dim) are those of all answers, and `owner`
    (sentences,) whose each is, rising.
    """

    question: Array
    answer: Array
    sentences: Array
    owner: NDArray[np.intp]

    @classmethod
    def of(cls, texts: Sequence[Parts]) -> "PlainVectors":
        """Return the vectors of texts that were read."""
        answers = [[piece.vector for piece in text[ANSWER]] for text in texts]
        sentences = np.stack([vector for answer in answers for vector in answer])
        owner = np.repeat(np.arange(len(answers)), [len(answer) for answer in answers])
        question = np.stack([text[QUESTION][0].vector for text in texts])
        to_the_point = np.exp(TO_THE_POINT * (sentences * question[owner]).sum(1, keepdims=True))
        total = np.zeros_like(question)
        np.add.at(total, owner, to_the_point * sentences)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return cls(question, total / np.maximum(length, 1e-6), sentences, owner)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> "PlainVectors":
        """Return these rows, in this order."""
        edges = np.searchsorted(self.owner, np.arange(len(self.question) + 1))
        spans = [np.arange(edges[row], edges[row + 1]) for row in rows]
        owner = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
        sentences = self.sentences[np.concatenate([np.zeros(0, np.intp), *spans])]
        return PlainVectors(self.question[rows], self.answer[rows], sentences, owner)


@dataclass(frozen=True)
class Wordings:
    """What texts are about and assert, judged from their plain vectors alone.

    `topics` are partitions of (question, answer), (partitions, topics, 2 * dim). `said`
    (sentences, dim) are sentences of answers seen in training, `said_on` (sentences, partitions)
    the topics they were said on, and `evidence` (sentences,) what the likeness of a sentence to
    each adds to the log odds of granting, beside `leaning` (1,). `axes` (axes, dim) are where texts
    differ most; `match` (axes**2 + 2,) are the log odds of answering the question at all, linear in
    the products of both vectors along them, in their cosine and in 1.
    """

    topics: Array
    said: Array
    said_on: NDArray[np.int16]
    evidence: Array
    leaning: Array
    axes: Array
    match: Array

    def places_of(self, plain: PlainVectors) -> Places:
        """Return where the texts lie among the topics."""
        return places_of(plain, self.topics)

    def granting(self, plain: PlainVectors, places: Places) -> Scores:
        """Return the log odds that the answer grants what was asked, (n,)."""
        on, told = places.shares(), np.zeros(len(plain.owner), dtype=np.float32)
        for first in range(0, len(told), SENTENCES_AT_ONCE):
            rows = slice(first, first + SENTENCES_AT_ONCE)
            shares = on[plain.owner[rows]]
            alike = _alike(plain.sentences[rows], shares, self.said, self.said_on)
            told[rows] = alike @ self.evidence
        summed = np.bincount(plain.owner, told, len(places)).astype(np.float64)
        total: Scores = summed + float(self.leaning[0])
        return total

    def matching(self, plain: PlainVectors) -> Scores:
        """Return the log odds that the answer is about the question, (n,)."""
        crossed = products(plain.question, plain.answer, self.axes).astype(np.float64)
        total: Scores = crossed @ self.match
        return total


def beside(question: Array, answer: Array) -> Array:
    """Return both vectors as one of unit length, (n, 2 * dim)."""
    joined: Array = np.concatenate([question, answer], axis=1)
    joined *= 2**-0.5
    return joined


def products(question: Array, answer: Array, axes: Array) -> Array:
    """Return the products of both vectors along the axes, their cosine, and 1, (n, axes**2 + 2)."""
    one, other = question @ axes.T, answer @ axes.T
    crossed = (one[:, :, None] * other[:, None, :]).reshape(len(one), -1) * 30
    cosine = (question * answer).sum(1, keepdims=True) * 10
    together: Array = np.concatenate([crossed, cosine, np.ones_like(cosine)], axis=1)
    return together


def places_of(plain: PlainVectors, topics: Array) -> Places:
    """Return where texts lie among partitions of (question, answer)."""
    return Places.among(topics, beside(plain.question, plain.answer))


def find_topics(plain: PlainVectors, seed: int) -> Array:
    """Return the partitions of these texts, (partitions, most topics, 2 * dim)."""
    joined = beside(plain.question, plain.answer)
    return partitions(joined, TOPICS, np.random.default_rng(seed))


def fit_wordings(topics: Array, plain: PlainVectors, beliefs: Beliefs, seed: int) -> Wordings:
    """Return what best tells what is believed of these texts, over their topics."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(plain.question))
    sentences = np.bincount(plain.owner)[order].cumsum()
    kept = np.sort(order[: max(1, int((sentences <= MOST_SAID).sum()))])
    remembered = plain.take(kept)
    places = places_of(remembered, topics)
    by_text, leaning = evidence(
        _between(remembered, places), beliefs.take(kept), remembered.answer, random
    )
    axes = main_axes(np.concatenate([plain.question, plain.answer]), AXES)
    return Wordings(
        topics=topics,
        said=remembered.sentences,
        said_on=places.first.astype(np.int16)[remembered.owner],
        evidence=by_text[remembered.owner].astype(np.float32),
        leaning=np.array([leaning], dtype=np.float32),
        axes=axes,
        match=_match(products(plain.question, plain.answer, axes), beliefs),
    )


def _alike(sentences: Array, on: Array, others: Array, others_on: NDArray[np.int16]) -> Array:
    """Return how like sentences (n, dim) are to others (m, dim), given their topics, (n, m).

    `on` (n, partitions * topics) are the shares of topics, `others_on` (m, partitions) the topics
    that the others were said on.
    """
    by_partition = on.reshape(len(on), others_on.shape[1], -1)
    same = np.zeros((len(sentences), len(others)), dtype=np.float32)
    for partition, topics in enumerate(others_on.T):
        same += by_partition[:, partition].take(topics, axis=1)
    alike: Array = np.exp(GRAIN * (sentences @ others.T - 1))
    alike *= same / others_on.shape[1] + ELSEWHERE
    return alike


def _between(plain: PlainVectors, places: Places) -> Scores:
    """Return how like the texts' answers are to each other, summed over sentences, (n, n)."""
    alike = np.zeros((len(plain.question), len(plain.question)))
    on, hard = places.bits().astype(np.float32), places.first.astype(np.int16)
    by_sentence = _alike(plain.sentences, on[plain.owner], plain.sentences, hard[plain.owner])
    np.add.at(alike, plain.owner, np.add.reduceat(by_sentence, _starts(plain.owner), axis=1))
    return alike


def _starts(owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where each owner's sentences begin; every owner has one."""
    starts: NDArray[np.intp] = np.searchsorted(owner, np.arange(owner[-1] + 1))
    return starts


def _match(crossed: Array, beliefs: Beliefs) -> Array:
    """Return the weights of products (n, columns) that best tell what is about its question.

    The least log loss over the texts, each counting once however often it was rated, plus the
    stiffness times the weights' squares.
    """
    columns, targets = torch.from_numpy(crossed), torch.from_numpy(beliefs.about).float()
    match = torch.zeros(crossed.shape[1], requires_grad=True)
    stiffness = torch.full_like(match, MATCH_STIFFNESS, requires_grad=False)
    stiffness[-2:] = FREE_STIFFNESS
    optimiser = torch.optim.LBFGS([match], max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        told = functional.binary_cross_entropy_with_logits(
            columns @ match, targets, reduction="sum"
        )
        total = told + (stiffness * match**2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return match.detach().numpy()
