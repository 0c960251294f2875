"""Thresholds for a new adapter: as careful as before, on the same answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cascade.bounds import binomial_upper
from cascade.policy import Policy, Tier

Array = NDArray[np.float64]

FEWEST_WRONG = 20
"""With fewer answers known to be wrong than this a segment's thresholds stay as they are."""
FURTHEST = 0.1
"""No threshold rises further than this at once."""


@dataclass(frozen=True)
class Rescored:
    """Answers of one segment whose worth is known: `labels` (n,), and what two adapters say."""

    labels: Array
    champion: Array
    candidate: Array


@dataclass(frozen=True)
class Recheck:
    """Whether a segment's part of a certificate is kept up by the answers that were rescored."""

    segment: str
    accepted: int
    wrong: int
    bound: float | None
    holds: bool


def recalibrated(policy: Policy, segments: Mapping[str, Rescored]) -> Policy:
    """The policy with thresholds for these segments under which the candidate is as careful.

    A segment's threshold rises until the candidate accepts no larger share of the answers known to
    be wrong than the champion did, each tier by its own calibration. It never falls: a champion
    that was wrong is no measure of how much may be wrong, and to save money is the optimiser's.
    """

    def moved(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        return tuple(_moved(tier, segments) for tier in tiers)

    instead = policy.instead and replace(policy.instead, tiers=moved(policy.instead.tiers))
    return replace(policy, tiers=moved(policy.tiers), instead=instead)


def accepts(policy: Policy, segment: str | None, scores: Array) -> NDArray[np.bool_]:
    """Whether some tier of the policy accepts answers of a segment with these scores, (n,)."""
    accepted = np.zeros(len(scores), bool)
    for tier in _tiers(policy):
        accepted |= tier.chances(scores) >= tier.threshold_for(segment)
    return accepted


def recheck(
    policy: Policy, segment: str, rows: Rescored, *, max_error: float, confidence: float
) -> Recheck:
    """Bound the share of wrong answers among those the candidate accepts in a segment.

    What any tier would accept counts. The bound is Clopper and Pearson's.
    """
    accepted = accepts(policy, segment, rows.candidate)
    count, wrong = int(accepted.sum()), int((accepted & (rows.labels == 0)).sum())
    if not count:
        return Recheck(segment, 0, 0, None, holds=True)
    bound = binomial_upper(wrong, count, level=1 - confidence)
    return Recheck(segment, count, wrong, bound, holds=bound <= max_error)


def _tiers(policy: Policy) -> tuple[Tier, ...]:
    return policy.tiers + (policy.instead.tiers if policy.instead else ())


def _moved(tier: Tier, segments: Mapping[str, Rescored]) -> Tier:
    own = dict(tier.segment_thresholds)
    for segment, rows in segments.items():
        found = _as_careful(tier, segment, rows)
        if found != tier.threshold_for(segment):
            own[segment] = found
    return replace(tier, segment_thresholds=own)


def _as_careful(tier: Tier, segment: str, rows: Rescored) -> float:
    """The lowest threshold in hundredths at which no more wrong answers would be accepted."""
    now, wrong = tier.threshold_for(segment), rows.labels == 0
    if wrong.sum() < FEWEST_WRONG or now in (0.0, 1.0):
        return now
    before, after = tier.chances(rows.champion[wrong]), tier.chances(rows.candidate[wrong])
    most = int((before >= now).sum())
    steps = np.round(np.arange(0, FURTHEST + 0.005, 0.01) + now, 4)
    within = [float(each) for each in steps if 0 < each <= 1]
    careful = [each for each in within if (after >= each).sum() <= most]
    return min(careful, default=max(within))
