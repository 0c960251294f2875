"""Kernel ridge regression on what is believed of texts, scaled to log odds.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2.
"""

import numpy as np
from numpy.typing import NDArray

from scoring.beliefs import Beliefs, Scores
from scoring.calibration import Calibration, fit_platt
from scoring.topics import Array, centres, nearest

DOUBT = 0.1
"""The variance of what is believed of a text, beside 1 for what a likeness of 1 may say."""
FOLDS, ANSWERS_PER_KIND = 5, 4
SURE = 0.5
"""What is believed less firmly than this does not say how far evidence may be trusted."""


def evidence(
    alike: NDArray[np.floating], beliefs: Beliefs, answers: Array, random: np.random.Generator
) -> tuple[Scores, float]:
    """Return what each text says for granting, (texts,), and the log odds where nothing is said.

    A text like others, by `alike` (texts, texts), grants with the log odds `alike @ evidence` plus
    the second. Each text weighs as much as its belief is sure. The scale is found on texts whose
    kind of answer was left out; `answers` (texts, dim) are the vectors that tell kinds apart.
    """
    doubt = np.diag(DOUBT / np.maximum(beliefs.sureness, 1e-3))
    told = _left_out(alike + doubt, beliefs, answers, random)
    sure = beliefs.sureness > SURE
    scale: Calibration = fit_platt(told[sure], (beliefs.signs[sure] > 0).astype(np.float64))
    solved: Scores = np.linalg.solve(alike + doubt, beliefs.signs).astype(np.float64)
    return scale.slope * solved, scale.intercept


def _left_out(
    doubted: Scores, beliefs: Beliefs, answers: Array, random: np.random.Generator
) -> Scores:
    """Return what the others tell of each text, kinds of answers left out in turn, (n,)."""
    texts = len(doubted)
    kinds = centres(answers, max(1, texts // ANSWERS_PER_KIND), random)
    fold = random.permutation(len(kinds))[nearest(kinds[None], answers)[:, 0]] % FOLDS
    told = np.zeros(texts)
    for number in range(FOLDS):
        seen, left_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(seen) and len(left_out):
            solved = np.linalg.solve(doubted[np.ix_(seen, seen)], beliefs.signs[seen])
            told[left_out] = doubted[np.ix_(left_out, seen)] @ solved
    return told
