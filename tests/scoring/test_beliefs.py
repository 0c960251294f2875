"""What is believed of a text: the layers' reading first, then whom the text suited."""

import numpy as np
import pytest

from scoring.beliefs import after_labels, before_labels

READ = np.zeros((1, 2))
ENTITLED = np.array([3.0, 3.0, -3.0, -3.0])
TEXT = np.zeros(4, dtype=int)


def believed(labels: list[float], read: np.ndarray = READ) -> tuple[float, float]:
    """Return whether the text grants and is on the question, after these four labels."""
    beliefs = after_labels(read, TEXT, np.array(labels), np.ones(4), ENTITLED)
    return float(beliefs.granting[0]), float(beliefs.about[0])


def test_an_answer_that_suits_the_entitled_grants() -> None:
    granting, about = believed([1, 1, 0, 0])
    assert granting > 0.99
    assert about > 0.95


def test_an_answer_that_suits_the_others_refuses() -> None:
    granting, about = believed([0, 0, 1, 1])
    assert granting < 0.01
    assert about > 0.95


def test_an_answer_that_suits_nobody_is_about_something_else() -> None:
    granting, about = believed([0, 0, 0, 0])
    assert about < 0.1
    assert granting == pytest.approx(0.5)


def test_without_labels_the_reading_is_believed() -> None:
    before = before_labels(np.array([[2.0, -2.0]]))
    assert before.granting[0] > 0.7
    assert before.about[0] < 0.3
    assert before.signs[0] == pytest.approx(2 * before.granting[0] - 1)


def test_labels_outweigh_a_wrong_reading() -> None:
    assert believed([1, 1, 0, 0], np.array([[-3.0, 3.0]]))[0] > 0.9
