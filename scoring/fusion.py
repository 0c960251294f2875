"""How far each source is to be believed: what the layers read, what the wordings say, the rules.

On some topics the layers know what an answer asserts, on others its likeness to earlier answers
tells more, and rules are surer here than there. That shows in rows whose wording and customer no
source had seen, and from those it is learnt, every topic drawn to what holds for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from scoring.beliefs import Scores
from scoring.topics import Array, Places

SOURCES = ("layers", "by_topic", "wordings", "rules")
STIFFNESS = 100.0
"""How strongly a topic is drawn to what holds for all topics."""
FIRST = (0.3, 0.55, 0.8, 1.2)
"""How far the sources are believed before any row: what reads texts is surer of new wordings than
right."""
FIRST_STIFFNESS = 100.0
ABOUT_STIFFNESS = 30.0
ROWS_OF_A_TEXT = 4
"""Rows of one text err together: so many count as one."""

_ROUNDS = 60


@dataclass(frozen=True)
class Told:
    """What n rows' sources say, as log odds, (n,) each.

    That the answer grants what was asked: `layers`, `by_topic` and `wordings`; that the customer is
    entitled to it: `rules`; that the answer is about the question: `about`.
    """

    layers: Scores
    by_topic: Scores
    wordings: Scores
    rules: Scores
    about: Scores

    def take(self, rows: NDArray[np.intp]) -> "Told":
        """Return what is told of these rows, in this order."""
        return Told(
            self.layers[rows],
            self.by_topic[rows],
            self.wordings[rows],
            self.rules[rows],
            self.about[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence["Told"]) -> "Told":
        """Return what is told of the rows of each part, one after the other."""
        return cls(
            *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls))
        )


@dataclass(frozen=True)
class Fusion:
    """How far the sources are believed.

    `weights` (sources,) are for all topics, `by_topic` (sources, partitions * topics) what each
    topic adds, both as logarithms; `about` (2,) are the weight and the bias of what is told about
    the question.
    """

    weights: Array
    by_topic: Array
    about: Array

    def raw(self, told: Told, places: Places) -> Scores:
        """Return the log odds that answers suit, (n,)."""
        stored = (self.weights, self.by_topic, self.about)
        moving = [torch.tensor(each, dtype=torch.float64) for each in stored]
        raw: Scores = _raw(_tensors(told), _shares(places), *moving).numpy()
        return raw

    def texts(self, told: Told, places: Places) -> Scores:
        """Return the log odds that texts grant, and are about the question, (n, 2)."""
        layers, by_topic, wordings, _ = np.exp(
            self.weights[:, None] + self.by_topic @ places.shares().T
        )
        grants = layers * told.layers + by_topic * told.by_topic + wordings * told.wordings
        return np.stack([grants, self.about[0] * told.about + self.about[1]], axis=1)


def fit_fusion(told: Told, places: Places, labels: Scores, weights: Scores) -> Fusion:
    """Return the fusion that best explains labels (n,), each weighing `weights` (n,)."""
    first = torch.tensor(FIRST, dtype=torch.float64).log()
    base = first.clone().requires_grad_()
    sources, shares = _tensors(told), _shares(places)
    by_topic = torch.zeros(len(SOURCES), shares.shape[1], requires_grad=True, dtype=torch.float64)
    about = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    targets, counts = torch.from_numpy(labels), torch.from_numpy(weights / ROWS_OF_A_TEXT)
    optimiser = torch.optim.LBFGS(
        [base, by_topic, about], max_iter=_ROUNDS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        raw = _raw(sources, shares, base, by_topic, about)
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
    """Return the sources and what is told about the question as rows, (sources + 1, n)."""
    sources = [told.layers, told.by_topic, told.wordings, told.rules]
    return torch.from_numpy(np.stack([*sources, told.about]))


def _shares(places: Places) -> Tensor:
    return torch.from_numpy(places.shares()).double()


def _raw(told: Tensor, shares: Tensor, base: Tensor, by_topic: Tensor, about: Tensor) -> Tensor:
    believed = (base[:, None] + by_topic @ shares.T).exp() * told[:-1]  # (sources, n)
    agree = agreeing(believed[:-1].sum(0), believed[-1])
    return both(about[0] * told[-1] + about[1], agree)


def agreeing(first: Tensor, second: Tensor) -> Tensor:
    """Return the log odds that two independent things are both so or both not so, (n,)."""
    return torch.logaddexp(first + second, torch.zeros((), dtype=first.dtype)) - torch.logaddexp(
        first, second
    )


def both(first: Tensor, second: Tensor) -> Tensor:
    """Return the log odds that two independent things are both so, (n,)."""
    return -torch.logaddexp(torch.logaddexp(-first, -second), -first - second)
