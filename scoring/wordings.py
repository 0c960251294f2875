"""What texts are about and assert, judged from their plain sentence vectors alone.

A second opinion beside the layers': sentence vectors know that "store credit" and "a voucher" are
near each other, which layers trained on few wordings forget. The two err in different places.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from scoring.beliefs import Beliefs, Scores
from scoring.calibration import Calibration, fit_platt
from scoring.network import ANSWER, QUESTION, Parts
from scoring.topics import Array, centres, main_axes, nearest, one_hot, partitions
from scoring.trees import Bits

TOPICS = (8, 12, 16, 24, 8, 12, 16, 24)
"""How many topics each partition tells apart."""

GRAIN = 4.0
"""How fast the likeness of two sentences falls with their distance."""
ELSEWHERE = 0.1
"""What a sentence said on another topic counts, beside 1 on the same one."""
DOUBT = 0.1
"""The variance of what is believed of a text, beside 1 for what its sentences may say."""
MOST_SAID = 4000
"""How many sentences of answers are remembered at most; of more, texts are drawn."""
FOLDS, ANSWERS_PER_KIND = 5, 4
SURE = 0.5
"""What is believed less firmly than this does not say how far evidence may be trusted."""

TO_THE_POINT = 4.0
"""How much more a sentence counts for what an answer is about, the more it is like the question."""

AXES = 24
MATCH_STIFFNESS = 0.5
"""How strongly the linear part is drawn to zero: it has more weights than texts."""

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
    differ most; `match` (axes**2 + 1,) are the log odds of answering the question at all, linear in
    the products of both vectors along them and in their cosine.
    """

    topics: Array
    said: Array
    said_on: NDArray[np.int16]
    evidence: Array
    leaning: Array
    axes: Array
    match: Array

    def topics_of(self, plain: PlainVectors) -> NDArray[np.intp]:
        """Return the topic in each partition, (n, partitions)."""
        return nearest(self.topics, beside(plain.question, plain.answer))

    def topic_bits(self, places: NDArray[np.intp]) -> Bits:
        """Return the topics as columns for the trees, (n, partitions * topics)."""
        return one_hot(places, self.topics.shape[1])

    def granting(self, plain: PlainVectors, places: NDArray[np.intp]) -> Scores:
        """Return the log odds that the answer grants what was asked, (n,)."""
        alike = _alike(plain.sentences, places[plain.owner], self.said, self.said_on)
        told = np.bincount(plain.owner, alike @ self.evidence, len(places)).astype(np.float64)
        total: Scores = told + float(self.leaning[0])
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
    """Return the products of both vectors along the axes, and their cosine, (n, axes**2 + 1)."""
    one, other = question @ axes.T, answer @ axes.T
    crossed = (one[:, :, None] * other[:, None, :]).reshape(len(one), -1) * 30
    cosine = (question * answer).sum(1, keepdims=True) * 10
    together: Array = np.concatenate([crossed, cosine], axis=1)
    return together


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
    on = nearest(topics, beside(remembered.question, remembered.answer)).astype(np.int16)
    said_on = on[remembered.owner]
    by_text, leaning = _evidence(remembered, said_on, beliefs.take(kept), random)
    axes = main_axes(np.concatenate([plain.question, plain.answer]), AXES)
    crossed = torch.from_numpy(products(plain.question, plain.answer, axes))
    match = torch.zeros(crossed.shape[1], requires_grad=True)
    about, even = torch.from_numpy(beliefs.about).float(), torch.ones(len(crossed))
    _fit(lambda: crossed @ match, about, even, [match], MATCH_STIFFNESS)
    return Wordings(
        topics=topics,
        said=remembered.sentences,
        said_on=said_on,
        evidence=by_text[remembered.owner].astype(np.float32),
        leaning=np.array([leaning], dtype=np.float32),
        axes=axes,
        match=match.detach().numpy(),
    )


def _alike(
    sentences: Array, on: NDArray[np.integer], others: Array, others_on: NDArray[np.integer]
) -> Array:
    """Return how like sentences (n, dim) are to others (m, dim), given their topics, (n, m).

    `on` (n, partitions) and `others_on` (m, partitions) count by the share that is the same.
    """
    same = np.zeros((len(sentences), len(others)), dtype=np.float32)
    for one, other in zip(on.T, others_on.T, strict=True):
        same += one[:, None] == other
    alike: Array = np.exp(GRAIN * (sentences @ others.T - 1))
    alike *= same / on.shape[1] + ELSEWHERE
    return alike


def _evidence(
    plain: PlainVectors, on: NDArray[np.int16], beliefs: Beliefs, random: np.random.Generator
) -> tuple[Scores, float]:
    """Return what each text says for granting, (texts,), and the log odds where nothing is said.

    Kernel ridge regression on what is believed, each text as sure as its belief; the scale from
    texts whose kind of answer was left out.
    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2.
    """
    alike, doubt = _between(plain, on), _doubt(beliefs)
    scale = _scale(_unseen(alike, doubt, plain, beliefs, random), beliefs)
    solved: Scores = np.linalg.solve(alike + doubt, beliefs.signs).astype(np.float64)
    return scale.slope * solved, scale.intercept


def _between(plain: PlainVectors, on: NDArray[np.int16]) -> Scores:
    """Return how like the texts' answers are to each other, summed over sentences, (n, n)."""
    alike = np.zeros((len(plain.question), len(plain.question)))
    by_sentence = _alike(plain.sentences, on, plain.sentences, on)
    np.add.at(alike, plain.owner, np.add.reduceat(by_sentence, _starts(plain.owner), axis=1))
    return alike


def _doubt(beliefs: Beliefs) -> Scores:
    return np.diag(DOUBT / np.maximum(beliefs.sureness, 1e-3))


def _unseen(
    alike: Scores,
    doubt: Scores,
    plain: PlainVectors,
    beliefs: Beliefs,
    random: np.random.Generator,
) -> Scores:
    """Return what the others tell of each text, kinds of answers left out in turn, (n,)."""
    texts = len(alike)
    kinds = centres(plain.answer, max(1, texts // ANSWERS_PER_KIND), random)
    fold = random.permutation(len(kinds))[nearest(kinds[None], plain.answer)[:, 0]] % FOLDS
    told = np.zeros(texts)
    for number in range(FOLDS):
        seen, left_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(seen) and len(left_out):
            within = (alike + doubt)[np.ix_(seen, seen)]
            solved = np.linalg.solve(within, beliefs.signs[seen])
            told[left_out] = alike[np.ix_(left_out, seen)] @ solved
    return told


def _scale(told: Scores, beliefs: Beliefs) -> Calibration:
    """Return what makes log odds of what was told, from the texts of which most is believed."""
    sure = beliefs.sureness > SURE
    return fit_platt(told[sure], (beliefs.signs[sure] > 0).astype(np.float64))


def _starts(owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where each owner's sentences begin; every owner has one."""
    starts: NDArray[np.intp] = np.searchsorted(owner, np.arange(owner[-1] + 1))
    return starts


def _fit(
    log_odds: Callable[[], Tensor],
    targets: Tensor,
    weights: Tensor,
    moving: list[Tensor],
    stiffness: float,
) -> None:
    """Move the tensors to the least weighted log loss plus `stiffness` times their squares."""
    optimiser = torch.optim.LBFGS(moving, max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        told = functional.binary_cross_entropy_with_logits(
            log_odds(), targets, weights, reduction="sum"
        )
        total = told + stiffness * torch.stack([(tensor**2).sum() for tensor in moving]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
