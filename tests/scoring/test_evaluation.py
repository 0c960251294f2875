"""Evaluation: known metrics on known rows, and controls that unmask a scorer blind to customers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from scoring.customer import Customer
from scoring.errors import BadExamples
from scoring.evaluation import Report, evaluate
from scoring.examples import Example, Pair
from scoring.metrics import accuracy, auc, brier, expected_calibration_error
from tests.returns import WINDOW, Trained, returns

CHAMPIONS = {"shared": "shared@000000000000"}


@dataclass(frozen=True)
class Fixed:
    """A score that somebody made up."""

    value: float


@dataclass(frozen=True)
class Rule:
    """A scorer that follows a rule, in place of a trained one."""

    chance: Callable[[Pair], float]

    def score(self, pairs: Sequence[Pair], champions: Mapping[str, str]) -> list[Fixed]:
        """Return what the rule says of each pair."""
        return [Fixed(self.chance(pair)) for pair in pairs]


def knows(pair: Pair) -> float:
    """Follow the shop's rule, as far as the customer is known."""
    days, segment = pair.customer.features.get("days_since_purchase"), pair.customer.segment
    if not isinstance(days, int) or segment is None:
        return 0.5
    granted = "possible" in pair.answer or pair.answer.startswith(("Yes", "Sure"))
    return 0.9 if granted == (days <= WINDOW[segment]) else 0.1


def report(chance: Callable[[Pair], float], examples: Sequence[Example]) -> Report:
    """Evaluate a rule."""
    return evaluate(examples, scorer=Rule(chance), champions=CHAMPIONS, name="toy", split="test")


def test_metrics_of_rows_worked_out_by_hand() -> None:
    labels, chances = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.8, 0.8, 0.1])
    assert auc(labels, chances) == pytest.approx(3.5 / 4)
    assert accuracy(labels, chances) == 0.75
    assert brier(labels, chances) == pytest.approx((0.01 + 0.64 + 0.04 + 0.01) / 4)
    assert expected_calibration_error(labels, chances) == pytest.approx((0.1 + 0.6 + 0.1) / 4)


def test_weights_count_rows_several_times() -> None:
    random = np.random.default_rng(0)
    labels, chances = (random.random(40) < 0.5).astype(float), random.random(40).round(1)
    weights = random.integers(0, 4, 40).astype(float)
    rows = np.repeat(np.arange(40), weights.astype(int))
    for metric in (auc, accuracy, brier, expected_calibration_error):
        assert metric(labels, chances, weights) == pytest.approx(
            metric(labels[rows], chances[rows])
        )


def test_one_class_or_no_rows_leave_figures_undefined() -> None:
    one, none = np.ones(3), np.zeros(0)
    assert auc(one, np.array([0.1, 0.2, 0.3])) is None
    assert [m(none, none) for m in (auc, accuracy, brier, expected_calibration_error)] == [None] * 4


def test_a_scorer_that_knows_the_customer_is_told_what_that_is_worth() -> None:
    figures = report(knows, returns(300, customers=60, seed=4))
    assert figures.over_hidden.value is not None
    assert figures.over_hidden.value > 0.4
    assert figures.verdict.startswith("Knowing the customer is worth AUC +0.")


def test_a_scorer_that_only_reads_the_answer_is_unmasked() -> None:
    # The right answers give themselves away by their length, whoever asks.
    examples = [
        Example(Pair("Free?", "yes" * (1 + n % 2), Customer(f"c-{n}", "gold")), n % 2)
        for n in range(80)
    ]
    figures = report(lambda pair: len(pair.answer) / 10, examples)
    assert figures.overall.figures["auc"].value == 1.0
    assert figures.over_hidden.value == 0.0
    assert "worth nothing" in figures.verdict


def test_the_controls_are_always_there() -> None:
    figures = report(knows, returns(60, customers=10, seed=4))
    assert [group.name for group in figures.controls] == [
        "customer hidden",
        "customers shuffled",
        "shared adapter only",
    ]
    assert figures.controls[0].figures["auc"].value == 0.5


def test_every_figure_has_an_interval_around_it() -> None:
    figures = report(knows, returns(300, customers=60, seed=4))
    for group in (figures.overall, *figures.segments):
        for figure in group.figures.values():
            assert figure.value is not None
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= figure.high


def test_the_same_seed_gives_the_same_report() -> None:
    examples = returns(60, customers=10, seed=4)
    assert report(knows, examples) == report(knows, examples)


def test_one_class_is_said_so() -> None:
    examples = [example for example in returns(60, customers=10, seed=4) if example.label]
    figures = report(knows, examples)
    assert figures.overall.figures["auc"].value is None
    assert "one class only" in figures.verdict
    assert "not defined" in figures.as_text()


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(BadExamples, match="no examples"):
        report(knows, [])


def test_a_report_carries_its_source_and_is_json(trained: Trained) -> None:
    figures = report(knows, returns(60, customers=10, seed=4))
    row = json.loads(json.dumps(figures.as_json()))
    assert (row["name"], row["split"], row["rows"], row["seed"]) == ("toy", "test", 60, 0)
    text = figures.as_text()
    assert "toy, test split, 60 rows" in text
    assert text.endswith(figures.verdict)
