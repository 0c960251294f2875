"""What scores are worth: each model's chance of being right, and what is to be expected of answers.

What an answer is expected to be worth is made without the row it stands in (out of fold), so that
no score is judged by what it was fitted to.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cascade.policy import Knots

Numbers = NDArray[np.float64]

Block = tuple[float, ...]
"""Rows that count as one: how many, the sum of their scores, the sum of their qualities."""

FOLDS, FEW_FOLDS, FOR_FEW = 10, 5, 2000
"""How many folds there are, and how many from so many rows on: four fifths of those are enough."""
MOST_KNOTS = 40
MOST_BLOCKS = 400
NEARLY = 1e-6
"""How near to 0 and 1 a score's log odds are taken."""
DIGITS = 12
"""Scores that agree so far are one score: between closer ones a slope need not be finite."""
STIFFNESS = 10.0
"""How strongly an answer's expected quality is drawn to what its own model's chance says."""
OWN_WORD = 1000.0
"""Rows at which what they show counts as much as what a smooth curve expects of them."""


def fit_knots(scores: Numbers, quality: Numbers) -> Knots:
    """Return the calibration of one model's scores (n,) from the qualities (n,) they came with.

    It lies between centred isotonic regression, which bends where the rows say so, and a logistic
    curve, which is steady where there are few: halfway, and nearer to the first the more rows
    there are. Source: Oron and Flournoy, Centered Isotonic Regression, 2017.
    """
    scores = np.round(scores, DIGITS)
    at = np.unique(np.quantile(scores, np.linspace(0, 1, MOST_KNOTS), method="nearest"))
    bends = max(0.5, len(scores) / (len(scores) + OWN_WORD))
    worth = bends * _isotonic(scores, quality, at) + (1 - bends) * _logistic(scores, quality, at)
    return tuple((float(score), float(value)) for score, value in zip(at, worth, strict=True))


def chances_of(score: Numbers, knots: Sequence[Knots]) -> Numbers:
    """Return what scores (n, m) are worth by each model's calibration, (n, m)."""
    worth = [
        np.interp(column, *np.array(own).T) for column, own in zip(score.T, knots, strict=True)
    ]
    return np.stack(worth, axis=1)


def out_of_fold(score: Numbers, quality: Numbers, seed: int) -> Numbers:
    """Return each answer's chance of being right, (n, m), from calibrations of the other folds."""
    chances = np.empty_like(score)

    def judge(known: NDArray[np.intp], unknown: NDArray[np.intp]) -> None:
        for model in range(score.shape[1]):
            at, worth = np.array(fit_knots(score[known, model], quality[known, model])).T
            chances[unknown, model] = np.interp(score[unknown, model], at, worth)

    _each_fold(len(score), seed, judge)
    return chances


def expected_quality(chances: Numbers, quality: Numbers, seed: int) -> Numbers:
    """Return qualities (n, m) whose averages over any rows chosen by their scores vary less.

    Policies choose rows by scores alone, so an answer's quality may be replaced by its expectation
    given all models' chances in its row, by a logistic regression of the other folds: the average
    keeps its mean and loses noise (Rao and Blackwell). The model may be wrong, so the more rows
    there are, the more the observed qualities count.
    """
    rows, models = quality.shape
    odds = _log_odds(np.clip(chances, 0.02, 0.98))
    given = np.column_stack([np.ones(rows), odds])
    expected = np.empty_like(quality)
    stiffness = np.array([0.1, *[STIFFNESS] * models])

    def judge(known: NDArray[np.intp], unknown: NDArray[np.intp]) -> None:
        for model in range(models):
            drawn_to = np.zeros(models + 1)
            drawn_to[model + 1] = 0.8
            found = _regress(given[known], quality[known, model], stiffness, drawn_to)
            expected[unknown, model] = _chance(given[unknown] @ found)

    _each_fold(rows, seed + 1, judge)
    own = rows / (rows + OWN_WORD)
    mixed: Numbers = own * quality + (1 - own) * expected
    return mixed


def _each_fold(
    rows: int, seed: int, judge: Callable[[NDArray[np.intp], NDArray[np.intp]], None]
) -> None:
    count = min(FOLDS if rows < FOR_FEW else FEW_FOLDS, rows)
    fold = np.random.default_rng(seed).permutation(rows) % count
    for number in range(count):
        judge(np.flatnonzero(fold != number), np.flatnonzero(fold == number))


def _isotonic(scores: Numbers, quality: Numbers, at: Numbers) -> Numbers:
    """Return the centred isotonic regression's value at some scores.

    Where there are many scores, neighbours count as one, at most `MOST_BLOCKS` altogether.
    """
    known, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    columns = [counts, known * counts, np.bincount(place, weights=quality)]
    if len(known) > MOST_BLOCKS:
        group = (counts.cumsum() - 1) * MOST_BLOCKS // len(scores)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        columns = [np.add.reduceat(column, starts) for column in columns]
    blocks: list[Block] = []
    # Plain floats: arithmetic on numpy's own, one by one, takes several times as long.
    for count, score, total in zip(*(column.tolist() for column in columns), strict=True):
        while blocks and blocks[-1][2] * count >= total * blocks[-1][0]:
            before = blocks.pop()
            count, score, total = before[0] + count, before[1] + score, before[2] + total
        blocks.append((count, score, total))
    rows, place, worth = np.array(_ends_joined(blocks, len(scores) / MOST_KNOTS)).T
    values: Numbers = np.interp(at, place / rows, worth / rows)
    return values


def _ends_joined(blocks: list[Block], least: float) -> list[Block]:
    """Join the first and the last block to their neighbours until each has so many rows.

    One wrong answer with the highest score would otherwise speak for all scores near it.
    """
    for end, neighbour in ((0, 1), (-1, -2)):
        while len(blocks) > 1 and blocks[end][0] < least:
            first, second = blocks[end], blocks[neighbour]
            blocks[neighbour] = tuple(a + b for a, b in zip(first, second, strict=True))
            del blocks[end]
    return blocks


def _logistic(scores: Numbers, quality: Numbers, at: Numbers) -> Numbers:
    """Return the logistic curve in the score's log odds, never falling, at some scores."""
    given = np.column_stack([np.ones(len(scores)), _log_odds(scores)])
    found = _regress(given, quality, np.array([0.01, 0.1]), np.array([0.0, 0.5]))
    return _chance(found[0] + max(found[1], 1e-3) * _log_odds(at))


def _regress(given: Numbers, quality: Numbers, stiffness: Numbers, drawn_to: Numbers) -> Numbers:
    """Return ridge logistic weights (k,) of columns (n, k), drawn to some; Newton, steps halved."""

    def loss(weights: Numbers) -> float:
        odds = given @ weights
        drawn = stiffness @ (weights - drawn_to) ** 2 / 2
        return float(np.logaddexp(0, odds).sum() - quality @ odds + drawn)

    weights, current = drawn_to, loss(drawn_to)
    for _ in range(50):
        chance = _chance(given @ weights)
        slope = given.T @ (quality - chance) - stiffness * (weights - drawn_to)
        bend = (given * (chance * (1 - chance))[:, None]).T @ given + np.diag(stiffness)
        step = np.linalg.solve(bend, slope)
        reached = loss(weights + step)
        while reached > current and np.abs(step).max() > 1e-9:
            step = step / 2
            reached = loss(weights + step)
        weights, before, current = weights + step, current, reached
        if before - current < 1e-9 * max(1.0, abs(before)):
            break
    return weights


def _log_odds(shares: Numbers) -> Numbers:
    inner = NEARLY + (1 - 2 * NEARLY) * shares
    odds: Numbers = np.log(inner / (1 - inner))
    return odds


def _chance(odds: Numbers) -> Numbers:
    chance: Numbers = (1 + np.tanh(odds / 2)) / 2
    return chance
