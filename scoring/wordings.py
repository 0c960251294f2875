"""What texts are about and assert, judged from their plain sentence vectors alone.

A second opinion beside the layers': sentence vectors know that "store credit" and "a voucher" are
near each other, which layers trained on few wordings forget. The two err in different places.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from scoring.beliefs import Beliefs, Scores
from scoring.topics import Array, main_axes, nearest, one_hot, partitions
from scoring.trees import Bits

TOPICS = (8, 12, 16, 24, 8, 12, 16, 24)
"""How many topics each partition tells apart."""

AXES = 24
STIFFNESS = 0.1
MATCH_STIFFNESS = 0.5
"""How strongly the linear parts are drawn to zero: they have more weights than texts."""

_ROUNDS = 40


@dataclass(frozen=True)
class Wordings:
    """What texts are about and assert, judged from their plain sentence vectors alone.

    `topics` are partitions of (question, answer), (partitions, topics, 2 * dim). `leaning` and
    `leaning_bias` are the log odds of granting, linear in the answer's vector within each topic:
    (partitions, topics, dim) and (partitions, topics). `axes` (axes, dim) are where texts differ
    most; `match` (axes**2 + 1,) are the log odds of answering the question at all, linear in the
    products of both vectors along them and in their cosine.
    """

    topics: Array
    leaning: Array
    leaning_bias: Array
    axes: Array
    match: Array

    def topics_of(self, question: Array, answer: Array) -> NDArray[np.intp]:
        """Return the topic in each partition, (n, partitions)."""
        return nearest(self.topics, beside(question, answer))

    def topic_bits(self, places: NDArray[np.intp]) -> Bits:
        """Return the topics as columns for the trees, (n, partitions * topics)."""
        return one_hot(places, self.topics.shape[1])

    def granting(self, answer: Array, places: NDArray[np.intp]) -> Scores:
        """Return the log odds that the answer grants what was asked, (n,)."""
        partition = np.arange(places.shape[1])
        within = self.leaning[partition, places]  # (n, partitions, dim)
        linear = np.einsum("npd,nd->n", within, answer).astype(np.float64)
        total: Scores = linear + self.leaning_bias[partition, places].sum(1)
        return total

    def matching(self, question: Array, answer: Array) -> Scores:
        """Return the log odds that the answer is about the question, (n,)."""
        total: Scores = products(question, answer, self.axes).astype(np.float64) @ self.match
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


def find_topics(question: Array, answer: Array, seed: int) -> Array:
    """Return the partitions of these texts, (partitions, most topics, 2 * dim)."""
    return partitions(beside(question, answer), TOPICS, np.random.default_rng(seed))


def fit_wordings(topics: Array, question: Array, answer: Array, beliefs: Beliefs) -> Wordings:
    """Return the linear parts that best tell what is believed of these texts, over their topics."""
    places = torch.from_numpy(nearest(topics, beside(question, answer)))
    vectors, targets = torch.from_numpy(answer), torch.from_numpy(beliefs.granting).float()
    partition = torch.arange(topics.shape[0])
    leaning = torch.zeros(*topics.shape[:2], answer.shape[1], requires_grad=True)
    bias = torch.zeros(topics.shape[:2], requires_grad=True)

    def granting() -> Tensor:
        within = leaning[partition, places]  # (texts, partitions, dim)
        return (within * vectors[:, None]).sum((1, 2)) + bias[partition, places].sum(1)

    sureness = torch.from_numpy(beliefs.sureness).float()
    _fit(granting, targets, sureness, [leaning, bias], STIFFNESS * topics.shape[0] / 2)
    axes = main_axes(np.concatenate([question, answer]), AXES)
    crossed = torch.from_numpy(products(question, answer, axes))
    match = torch.zeros(crossed.shape[1], requires_grad=True)
    about, even = torch.from_numpy(beliefs.about).float(), torch.ones(len(question))
    _fit(lambda: crossed @ match, about, even, [match], MATCH_STIFFNESS)
    return Wordings(
        topics, leaning.detach().numpy(), bias.detach().numpy(), axes, match.detach().numpy()
    )


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
