"""From raw scores to probabilities: Platt's sigmoid, fitted on rows that no weight has seen."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST_ROWS = 20
"""With fewer held-out rows than this, or with one class only, the raw score is taken as it is."""

_STEPS = 50
_FIRM = 5.0


@dataclass(frozen=True)
class Calibration:
    """`probability = sigmoid(slope * raw + intercept)`; `rows` is how many it was fitted on."""

    slope: float = 1.0
    intercept: float = 0.0
    rows: int = 0

    def apply(self, raw: Array) -> Array:
        """Return probabilities in [0, 1], (n,), in the order of the raw scores."""
        return _sigmoid(self.slope * np.asarray(raw, dtype=np.float64) + self.intercept)

    def as_json(self) -> str:
        """Return the calibration as JSON text that `from_json` reads back."""
        return json.dumps({"kind": "platt", **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Return the calibration that `as_json` wrote; raises ValueError or KeyError if bent."""
        row: dict[str, Any] = json.loads(text)
        if row["kind"] != "platt":
            raise ValueError(f"calibration kind is {row['kind']!r}, expected 'platt'")
        return cls(float(row["slope"]), float(row["intercept"]), int(row["rows"]))


def fit_platt(raw: Array, labels: Array, *, prior: Calibration | None = None) -> Calibration:
    """Return the sigmoid that best explains the labels, with Platt's smoothed targets.

    Newton steps on the log loss, drawn towards the prior: without one weakly towards the raw score
    as it is, so that separable rows do not make the slope grow without end; towards a given one as
    firmly as some twenty unsure rows would, so that a small segment keeps the shared calibration.
    Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """
    positives, negatives = float(labels.sum()), float((1 - labels).sum())
    if len(raw) < FEWEST_ROWS or positives == 0 or negatives == 0:
        return Calibration(rows=0) if prior is None else prior
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([raw, np.ones_like(raw)], axis=1)
    pull = np.diag([1.0, 0.0]) if prior is None else np.diag([_FIRM, _FIRM])
    start = np.array([1.0, 0.0] if prior is None else [prior.slope, prior.intercept])
    weights = start.copy()
    for _ in range(_STEPS):
        chance = _sigmoid(design @ weights)
        gradient = design.T @ (chance - targets) + pull @ (weights - start)
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + pull
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        weights -= step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-8:
            break
    return Calibration(float(weights[0]), float(weights[1]), len(raw))


def _sigmoid(raw: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(raw, -60.0, 60.0)))
