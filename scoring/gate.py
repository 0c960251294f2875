"""May a candidate adapter take the champion's place? A pure judgement over rows neither has seen.

Judged are parts: the rows of one kind (held-out feedback, the regression set, held-out imported
examples) of one segment that the adapter would serve. The candidate has to win somewhere, or tie
with more data to its name, and may lose nowhere; least of all may it accept more answers that are
known to be wrong.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.bootstrap import Figure, Resamples
from scoring.metrics import auc, expected_calibration_error

Array = NDArray[np.float64]

GATE = "1"
"""Changes whenever the same rows may get another verdict."""

RESAMPLES = 1000
FEWEST_ROWS = 8
"""A part with fewer rows is shown, and decides nothing but whether wrong answers are accepted."""
CALIBRATED_ROWS = 100
"""From so many rows on the calibration decides too."""
MOST_ECE_MORE = 0.05
ROUNDING = 1e-9
"""Weights are no whole numbers: equal shares may differ by so much."""
LOOSE_RISE = 0.02
LOOSE_LOG_LOSS = 0.02
LOOSE_AUC = 0.01
"""By how much a loose part may get worse: the share of accepted known-wrong answers as it is
measured, log loss and AUC surely. Its labels may be older than what feedback is about."""


@dataclass(frozen=True)
class Part:
    """Rows of one kind and segment, with what both adapters say of them; arrays are (n,).

    `labels` are 0 or 1, `weights` what a row stands for, `customers` whose it is; `champion` and
    `candidate` are chances, and `taken_champion` and `taken_candidate` say whether the live policy
    would accept the answer for them. In a `strict` part not one more wrong answer may be accepted;
    in others the labels may be older than the shop's policy, so a few may.
    """

    name: str
    segment: str
    labels: Array
    weights: Array
    customers: NDArray[np.str_]
    champion: Array
    candidate: Array
    taken_champion: NDArray[np.bool_]
    taken_candidate: NDArray[np.bool_]
    strict: bool


@dataclass(frozen=True)
class Compared:
    """One part's figures; each difference is candidate less champion, with a 95 % interval.

    `wrong_champion` and `wrong_candidate` are the shares of the known-wrong answers that each would
    accept, None where none is known to be wrong.
    """

    name: str
    segment: str
    rows: int
    customers: int
    log_loss: Figure
    auc: Figure
    ece_champion: float | None
    ece_candidate: float | None
    wrong_rows: int
    wrong_champion: float | None
    wrong_candidate: float | None
    losses: tuple[str, ...]
    won: bool


@dataclass(frozen=True)
class Judgement:
    """The verdict in one word, in words, and in numbers."""

    promote: bool
    verdict: str
    reasons: tuple[str, ...]
    parts: tuple[Compared, ...]
    gate: str = GATE

    def as_json(self) -> dict[str, Any]:
        """Return the judgement as plain values for `json.dumps`."""
        return asdict(self)


def judge(parts: Sequence[Part], *, more_data: bool, seed: int = 0) -> Judgement:
    """Compare both adapters on every part, and decide.

    `more_data` says that the candidate learnt from verdicts that the champion never saw: then a tie
    is enough. Without any row to judge on there is no promotion.
    """
    compared = tuple(compare(part, seed) for part in parts if len(part.labels))
    losses = tuple(loss for each in compared for loss in each.losses)
    wins = tuple(
        f"{each.name} of {each.segment}: log loss {each.log_loss.signed}"
        for each in compared
        if each.won
    )
    if not compared:
        return Judgement(False, "refused: there is no held-out row to judge on", (), ())
    if losses:
        return Judgement(False, "refused: it would be worse", losses, compared)
    if wins:
        return Judgement(True, "better than the champion", wins, compared)
    if more_data:
        return Judgement(True, "as good as the champion, from more data", _ties(compared), compared)
    return Judgement(False, "refused: no better, and from no more data", _ties(compared), compared)


def compare(part: Part, seed: int = 0) -> Compared:
    """Return the part's figures, by a bootstrap over customers, and what speaks against it."""
    resamples = Resamples(part.customers.tolist(), count=RESAMPLES, seed=seed)
    weights = part.weights
    before, after = _log_loss(part.labels, part.champion), _log_loss(part.labels, part.candidate)
    log_loss = resamples.figure(lambda w: _mean(after - before, w), weights)
    ranked = resamples.figure(lambda w: _auc_gain(part, w), weights)
    wrong = weights * (1 - part.labels)
    shares = [
        _mean(taken.astype(float), wrong) for taken in (part.taken_champion, part.taken_candidate)
    ]
    eces = [
        expected_calibration_error(part.labels, chances, weights)
        for chances in (part.champion, part.candidate)
    ]
    decides = len(part.labels) >= FEWEST_ROWS
    found = Compared(
        name=part.name,
        segment=part.segment,
        rows=len(part.labels),
        customers=resamples.customers,
        log_loss=log_loss,
        auc=ranked,
        ece_champion=eces[0],
        ece_candidate=eces[1],
        wrong_rows=int((part.labels == 0).sum()),
        wrong_champion=shares[0],
        wrong_candidate=shares[1],
        losses=(),
        won=decides and log_loss.high is not None and log_loss.high < 0,
    )
    return replace(found, losses=tuple(_losses(found, strict=part.strict)))


def _losses(found: Compared, *, strict: bool) -> list[str]:
    """Return in words what is worse in this part than it may be."""
    where, losses = f"{found.name} of {found.segment}", []
    before, after = found.wrong_champion or 0.0, found.wrong_candidate or 0.0
    if after > before + (ROUNDING if strict else LOOSE_RISE):
        losses.append(
            f"{where}: of {found.wrong_rows} known-wrong answers it would accept {after:.1%}, "
            f"the champion {before:.1%}"
        )
    if found.rows < FEWEST_ROWS:
        return losses
    log_loss, ranked = (0.0, 0.0) if strict else (LOOSE_LOG_LOSS, LOOSE_AUC)
    if found.log_loss.low is not None and found.log_loss.low > log_loss:
        losses.append(f"{where}: log loss {found.log_loss.signed} on {found.rows} rows")
    if found.auc.high is not None and found.auc.high < -ranked:
        losses.append(f"{where}: AUC {found.auc.signed} on {found.rows} rows")
    eces = found.ece_champion, found.ece_candidate
    if found.rows >= CALIBRATED_ROWS and (eces[1] or 0) > (eces[0] or 0) + MOST_ECE_MORE:
        losses.append(f"{where}: calibration error {eces[1]:.3f}, the champion's {eces[0]:.3f}")
    return losses


def _ties(compared: Sequence[Compared]) -> tuple[str, ...]:
    return tuple(
        f"{each.name} of {each.segment}: log loss {each.log_loss.signed} on {each.rows} rows"
        for each in compared
    )


def _auc_gain(part: Part, weights: Array) -> float | None:
    before = auc(part.labels, part.champion, weights)
    after = auc(part.labels, part.candidate, weights)
    return None if before is None or after is None else after - before


def _log_loss(labels: Array, chances: Array) -> Array:
    clipped = np.clip(chances, 1e-4, 1 - 1e-4)
    loss: Array = -(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped))
    return loss


def _mean(values: Array, weights: Array) -> float | None:
    total = float(weights.sum())
    return None if total == 0 else float((values * weights).sum() / total)
