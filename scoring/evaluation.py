"""How good the scores are, overall, per segment and against controls, each with its interval.

A good figure alone does not show that the scorer knows the customer: where right answers give
themselves away, a scorer that never saw the customer looks as good. So every report scores the same
rows with the customer hidden, with customers shuffled, and with the shared adapter only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scoring.bootstrap import Figure, Resamples
from scoring.customer import Customer
from scoring.errors import BadExamples
from scoring.examples import Example, Pair
from scoring.metrics import accuracy, auc, brier, expected_calibration_error
from scoring.segments import SHARED

Array = NDArray[np.float64]

RESAMPLES = 500

METRICS: dict[str, Callable[[Array, Array, Array | None], float | None]] = {
    "auc": auc,
    "accuracy": accuracy,
    "brier": brier,
    "ece": expected_calibration_error,
}


class Scored(Protocol):
    """A score as far as evaluation looks at it."""

    @property
    def value(self) -> float:
        """The probability that the answer suits the customer."""


class Scores(Protocol):
    """Whatever scores pairs the way `scoring.scorer.Scorer` does."""

    def score(self, pairs: Sequence[Pair], champions: Mapping[str, str]) -> Sequence[Scored]:
        """Return one score per pair, in order."""


@dataclass(frozen=True)
class Group:
    """The figures of one group of rows."""

    name: str
    rows: int
    customers: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Report:
    """What was measured, on which rows of which data set, with which seed and adapters."""

    name: str
    split: str
    rows: int
    customers: int
    seed: int
    champions: Mapping[str, str]
    overall: Group
    segments: tuple[Group, ...]
    controls: tuple[Group, ...]
    over_hidden: Figure
    over_shuffled: Figure
    verdict: str

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values for `json.dumps`."""
        return asdict(self)

    def as_text(self) -> str:
        """Return the report as a table for a terminal, the verdict last."""
        source = f"{self.name}, {self.split} split, {self.rows} rows, {self.customers} customers"
        header = f"{'':24}{'rows':>6}  " + "".join(f"{name:26}" for name in METRICS)
        groups = [self.overall, *self.segments, *self.controls]
        adapters = ", ".join(sorted(set(self.champions.values())))
        return "\n".join(
            [
                f"{source}, seed {self.seed}; intervals are 95 %, over resampled customers",
                f"adapters: {adapters}",
                header.rstrip(),
                *(_line(group) for group in groups),
                self.verdict,
            ]
        )


def evaluate(
    examples: Sequence[Example],
    *,
    scorer: Scores,
    champions: Mapping[str, str],
    seed: int = 0,
    name: str = "examples",
    split: str = "whole",
) -> Report:
    """Score the examples and the three controls, and say what knowing the customer is worth.

    Raises `BadExamples` for an empty set; figures that one class leaves undefined are None.
    """
    if not examples:
        raise BadExamples("no examples to evaluate on; expected at least one")
    truth = Truth.of(examples, seed)
    pairs = [example.pair for example in examples]

    def chances(shown: Sequence[Pair], adapters: Mapping[str, str]) -> Array:
        return np.array([score.value for score in scorer.score(shown, adapters)])

    known = chances(pairs, champions)
    hidden = chances([replace(pair, customer=_nobody(pair.customer)) for pair in pairs], champions)
    shuffled = chances(_shuffled(pairs, seed), champions)
    shared = {SHARED: champions[SHARED]} if SHARED in champions else None
    controls = [truth.group("customer hidden", hidden), truth.group("customers shuffled", shuffled)]
    if shared is not None:
        controls.append(truth.group("shared adapter only", chances(pairs, shared)))
    over_hidden, over_shuffled = truth.gain(known, hidden), truth.gain(known, shuffled)
    return Report(
        name=name,
        split=split,
        rows=len(examples),
        customers=truth.resamples.customers,
        seed=seed,
        champions=dict(champions),
        overall=truth.group("all", known),
        segments=tuple(truth.segment_groups(pairs, known)),
        controls=tuple(controls),
        over_hidden=over_hidden,
        over_shuffled=over_shuffled,
        verdict=verdict(over_hidden, over_shuffled),
    )


def verdict(over_hidden: Figure, over_shuffled: Figure) -> str:
    """Return in one line what knowing the customer is worth, against the stronger control."""
    if over_hidden.value is None or over_shuffled.value is None:
        return "What knowing the customer is worth cannot be said: the rows hold one class only."
    least, control = min(
        (over_hidden, "the customer hidden"),
        (over_shuffled, "customers shuffled"),
        key=lambda pair: pair[0].value or 0.0,
    )
    if least.low is None or least.low <= 0:
        return f"Knowing the customer is worth nothing here: AUC {least.signed} over {control}."
    return f"Knowing the customer is worth AUC {least.signed} over {control}."


@dataclass(frozen=True)
class Truth:
    """Labels and customers of the rows, and the same resamples of customers for every figure."""

    labels: Array
    customers: NDArray[np.object_]
    resamples: Resamples

    @classmethod
    def of(cls, examples: Sequence[Example], seed: int) -> "Truth":
        """Draw the resamples: as many customers as there are, with replacement."""
        ids = [example.pair.customer.id for example in examples]
        labels = np.array([float(example.label) for example in examples])
        resamples = Resamples(ids, count=RESAMPLES, seed=seed)
        return cls(labels, np.array(ids, dtype=object), resamples)

    def group(self, name: str, chances: Array, chosen: NDArray[np.intp] | None = None) -> Group:
        """Return all figures over the chosen rows, by default all of them."""
        rows = np.arange(len(self.labels)) if chosen is None else chosen
        figures = {metric: self._figure(metric, chances, rows) for metric in METRICS}
        return Group(name, len(rows), len(set(self.customers[rows].tolist())), figures)

    def segment_groups(self, pairs: Sequence[Pair], chances: Array) -> list[Group]:
        """Return one group per segment, those without a segment under `no segment`."""
        names = np.array([pair.customer.segment or "no segment" for pair in pairs])
        return [
            self.group(str(name), chances, np.flatnonzero(names == name))
            for name in np.unique(names)
        ]

    def gain(self, chances: Array, control: Array) -> Figure:
        """Return by how much the AUC of `chances` lies above that of the control, paired."""

        def difference(weights: Array) -> float | None:
            ours, theirs = auc(self.labels, chances, weights), auc(self.labels, control, weights)
            return None if ours is None or theirs is None else ours - theirs

        return self.resamples.figure(difference)

    def _figure(self, metric: str, chances: Array, rows: NDArray[np.intp]) -> Figure:
        measure, labels, chances = METRICS[metric], self.labels[rows], chances[rows]
        return self.resamples.figure(lambda weights: measure(labels, chances, weights[rows]))


def _nobody(customer: Customer) -> Customer:
    """Return the customer with everything blank that the scorer could read, segment included."""
    return Customer(customer.id, None)


def _shuffled(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return each pair with the customer of another row."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [
        replace(pairs[here], customer=pairs[there].customer)
        for here, there in sorted(zip(order, np.roll(order, 1), strict=True))
    ]


def _line(group: Group) -> str:
    cells = "".join(f"{figure!s:26}" for figure in group.figures.values())
    return f"{group.name:24}{group.rows:>6}  {cells}".rstrip()
