"""What is believed of each text, given who it suited: does it grant, and is it on the question?

No example says what an answer asserts; it shows in whom the answer suits. What the layers read is
the prior, the labels under the rules learnt so far are the evidence, and what comes out is what the
layers and the rules learn from next: expectation maximisation with three states per text.
Source: Dempster, Laird and Rubin, Maximum Likelihood from Incomplete Data, 1977.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Scores = NDArray[np.float64]


PRIOR_SHARE = 0.7
"""How much of the layers' log odds counts before any label."""

FIRMEST = 2.0
"""No single label counts for more than these log odds: rules and labels err now and then."""

SUITS_THOUGH_OFF = 0.02
"""How often an answer to another question is called right all the same."""

SMOOTHED = 0.03
ABOUT_SHARE = 0.5
"""How much the layers' second task weighs against the first."""


@dataclass(frozen=True)
class Beliefs:
    """Chances per text, (texts,): that it grants, given that it is on the question; that it is."""

    granting: Scores
    about: Scores

    def take(self, texts: NDArray[np.intp]) -> "Beliefs":
        """Return what is believed of these texts, in this order."""
        return Beliefs(self.granting[texts], self.about[texts])

    @property
    def signs(self) -> Scores:
        """From -1, surely refusing, to 1, surely granting."""
        return 2 * self.granting - 1

    @property
    def sureness(self) -> Scores:
        """How much a text can teach about granting, from 0 to 1."""
        return np.abs(self.signs) * self.about

    def targets(self) -> tuple[Tensor, Tensor]:
        """Return what the layers should read, (texts, 2), and how much each counts."""
        both = np.stack([self.granting, self.about], axis=1)
        weights = np.stack([self.sureness, np.full(len(self.about), ABOUT_SHARE)], axis=1)
        clipped = np.clip(both, SMOOTHED, 1 - SMOOTHED)
        return torch.from_numpy(clipped).float(), torch.from_numpy(weights).float()


def before_labels(read: Scores) -> Beliefs:
    """Return what the layers' reading, log odds (texts, 2), makes believe."""
    return Beliefs(_chance(PRIOR_SHARE * read[:, 0]), _chance(PRIOR_SHARE * read[:, 1]))


def after_labels(
    read: Scores,
    text: NDArray[np.intp],
    labels: Scores,
    weights: Scores,
    entitled: Scores,
) -> Beliefs:
    """Return what is believed once the labels are seen.

    Per text: the log odds read of it, (texts, 2). Per example, (n,): the `text` it has, its label
    and weight, and the log odds that its customer is entitled to what was asked, from rules that
    did not see this customer.
    """
    prior, count = before_labels(read), len(read)
    for_granting = (2 * labels - 1) * np.clip(entitled, -FIRMEST, FIRMEST)

    def likelihood(log_chance: Scores) -> Scores:
        return np.bincount(text, weights * log_chance, count).astype(np.float64)

    granting = np.log(prior.about * prior.granting) + likelihood(_log_chance(for_granting))
    refusing = np.log(prior.about * (1 - prior.granting)) + likelihood(_log_chance(-for_granting))
    suits = np.where(labels == 1, SUITS_THOUGH_OFF, 1 - SUITS_THOUGH_OFF)
    off = np.log(1 - prior.about) + likelihood(np.log(suits))
    return Beliefs(_chance(granting - refusing), _chance(np.logaddexp(granting, refusing) - off))


def _chance(log_odds: Scores) -> Scores:
    chances: Scores = 1 / (1 + np.exp(-np.clip(log_odds, -12, 12)))
    return chances


def _log_chance(log_odds: Scores) -> Scores:
    out: Scores = -np.logaddexp(0, -log_odds)
    return out
