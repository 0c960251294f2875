"""How far each source is to be believed: what the layers read, what the wordings say, the rules.

On some topics the layers know what an answer asserts, on others its likeness to earlier answers
tells more, and rules are surer here than there. That shows in rows whose wording and customer no
source had seen, and from those it is learnt, every topic drawn to what holds for all.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from scoring.beliefs import Scores
from scoring.topics import Array

SOURCES = ("layers", "wordings", "rules")
STIFFNESS = 20.0
"""How strongly a topic is drawn to what holds for all topics."""
FIRST = (0.5, 1.5, 1.0)
"""How far the sources are believed before any row: layers are surer of new wordings than right."""
FIRST_STIFFNESS = 100.0
ABOUT_STIFFNESS = 30.0
ROWS_OF_A_TEXT = 4
"""Rows of one text err together: so many count as one."""

_ROUNDS = 60


@dataclass(frozen=True)
class Told:
    """What n rows' sources say, as log odds, (n,) each.

    That the answer grants what was asked: `layers` and `wordings`; that the customer is entitled
    to it: `rules`; that the answer is about the question: `about`.
    """

    layers: Scores
    wordings: Scores
    rules: Scores
    about: Scores

    def take(self, rows: NDArray[np.intp]) -> "Told":
        """Return what is told of these rows, in this order."""
        return Told(self.layers[rows], self.wordings[rows], self.rules[rows], self.about[rows])


@dataclass(frozen=True)
class Fusion:
    """How far the sources are believed.

    `weights` (sources,) are for all topics, `by_topic` (sources, partitions, topics) what each
    topic adds, both as logarithms; `about` (2,) are the weight and the bias of what is told about
    the question.
    """

    weights: Array
    by_topic: Array
    about: Array

    def raw(self, told: Told, places: NDArray[np.intp]) -> Scores:
        """Return the log odds that answers suit, (n,); `places` (n, partitions) are the topics."""
        stored = (self.weights, self.by_topic, self.about)
        moving = [torch.tensor(each, dtype=torch.float64) for each in stored]
        raw: Scores = _raw(_tensors(told), torch.from_numpy(places), *moving).numpy()
        return raw

    def texts(self, told: Told, places: NDArray[np.intp]) -> Scores:
        """Return the log odds that texts grant, and are about the question, (n, 2)."""
        by_topic = self.by_topic[:, np.arange(places.shape[1]), places].sum(2)  # (sources, n)
        layers, wordings, _ = np.exp(self.weights[:, None] + by_topic)
        grants = layers * told.layers + wordings * told.wordings
        return np.stack([grants, self.about[0] * told.about + self.about[1]], axis=1)


def fit_fusion(
    told: Told, places: NDArray[np.intp], topics: int, labels: Scores, weights: Scores
) -> Fusion:
    """Return the fusion that best explains labels (n,), each weighing `weights` (n,).

    `places` (n, partitions) are the rows' topics, of which a partition has `topics`.
    """
    first = torch.tensor(FIRST, dtype=torch.float64).log()
    base = first.clone().requires_grad_()
    by_topic = torch.zeros(
        len(SOURCES), places.shape[1], topics, requires_grad=True, dtype=torch.float64
    )
    about = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    sources, where = _tensors(told), torch.from_numpy(places)
    targets, counts = torch.from_numpy(labels), torch.from_numpy(weights / ROWS_OF_A_TEXT)
    optimiser = torch.optim.LBFGS(
        [base, by_topic, about], max_iter=_ROUNDS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        raw = _raw(sources, where, base, by_topic, about)
        total = functional.binary_cross_entropy_with_logits(raw, targets, counts, reduction="sum")
        total = total + STIFFNESS * (by_topic**2).sum()
        total = total + FIRST_STIFFNESS * ((base - first) ** 2).sum()
        total = total + ABOUT_STIFFNESS * ((about[0] - 1) ** 2 + about[1] ** 2 / 9)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = (each.detach().float().numpy() for each in (base, by_topic, about))
    return Fusion(*found)


def _tensors(told: Told) -> Tensor:
    """Return layers, wordings, rules and about as rows, (4, n)."""
    return torch.from_numpy(np.stack([told.layers, told.wordings, told.rules, told.about]))


def _raw(
    told: Tensor,
    places: Tensor,
    base: Tensor,
    by_topic: Tensor,
    about: Tensor,
) -> Tensor:
    partition = torch.arange(places.shape[1])
    log_weights = base[:, None] + by_topic[:, partition, places].sum(2)  # (sources, n)
    layers, wordings, rules = log_weights.exp()
    grants = layers * told[0] + wordings * told[1]
    agree = agreeing(grants, rules * told[2])
    return both(about[0] * told[3] + about[1], agree)


def agreeing(first: Tensor, second: Tensor) -> Tensor:
    """Return the log odds that two independent things are both so or both not so, (n,)."""
    return torch.logaddexp(first + second, torch.zeros((), dtype=first.dtype)) - torch.logaddexp(
        first, second
    )


def both(first: Tensor, second: Tensor) -> Tensor:
    """Return the log odds that two independent things are both so, (n,)."""
    return -torch.logaddexp(torch.logaddexp(-first, -second), -first - second)
