"""The fusion believes each source as far as it was right, topic by topic, and few rows little."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.fusion import FIRST, Told, fit_fusion
from scoring.topics import Places

Labels = NDArray[np.float64]
TOPICS = 3


def rows(count: int, *, liar: int | None = None) -> tuple[Told, Places, Labels]:
    """Return rows in which both readings are right about the answer, save on the topic `liar`."""
    random = np.random.default_rng(0)
    grants, entitled = random.choice((-1.0, 1.0), (2, count))
    topic = random.integers(TOPICS, size=(count, 1))
    seen = np.where(topic[:, 0] == liar, random.choice((-1.0, 1.0), count), grants)
    told = Told(3 * seen, 3 * seen, grants, rules=2 * entitled, about=np.full(count, 5.0))
    places = Places(topic, topic, np.zeros((count, 1), dtype=np.float32), TOPICS)
    return told, places, (grants == entitled).astype(float)


def sureness(count: int, liar: int | None) -> list[float]:
    """Return how far from even the raw scores are on each topic, on average."""
    told, places, labels = rows(count, liar=liar)
    fusion = fit_fusion(told, places, labels, np.ones(count))
    raw = np.abs(fusion.raw(told, places))
    return [float(raw[places.first[:, 0] == number].mean()) for number in range(TOPICS)]


def test_scores_agree_with_labels_the_sources_know() -> None:
    told, places, labels = rows(300)
    raw = fit_fusion(told, places, labels, np.ones(300)).raw(told, places)
    assert ((raw > 0) == (labels == 1)).all()


def test_a_source_that_errs_on_a_topic_is_believed_less_there() -> None:
    told, places, labels = rows(1200, liar=1)
    fusion = fit_fusion(told, places, labels, np.ones(1200))
    layers = fusion.by_topic[0]
    assert layers[1] < min(layers[0], layers[2]) - 0.1
    sure = sureness(1200, liar=1)
    assert sure[1] < min(sure[0], sure[2])


def test_few_rows_move_little() -> None:
    told, places, labels = rows(4, liar=1)
    fusion = fit_fusion(told, places, labels, np.ones(4))
    assert np.abs(fusion.by_topic).max() < 0.1
    assert np.exp(fusion.weights) == pytest.approx(FIRST, abs=0.05)


def test_an_answer_off_the_question_suits_nobody() -> None:
    told, places, labels = rows(300)
    fusion = fit_fusion(told, places, labels, np.ones(300))
    off = replace(told, about=np.full(300, -5.0))
    assert (fusion.raw(off, places) < -3).all()
