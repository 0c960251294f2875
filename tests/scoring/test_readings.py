"""What layers' states say is learnt for all topics, and for each where it differs."""

import numpy as np

from scoring.beliefs import Beliefs
from scoring.readings import ByTopic, fit_by_topic
from scoring.topics import Places

RANDOM = np.random.default_rng(0)
WIDE = 24


def texts(count: int) -> tuple[np.ndarray, Places, np.ndarray]:
    """Return states, topics, and who grants: the first state says so, on topic 2 its opposite."""
    pooled = RANDOM.normal(size=(count, WIDE)).astype(np.float32)
    topic = RANDOM.integers(3, size=(count, 1))
    places = Places(topic, topic, np.zeros((count, 1), dtype=np.float32), 3)
    return pooled, places, (pooled[:, 0] > 0) ^ (topic[:, 0] == 2)


def fitted(count: int) -> ByTopic:
    pooled, places, grants = texts(count)
    beliefs = Beliefs(np.where(grants, 0.98, 0.02), np.full(count, 0.99))
    return fit_by_topic(pooled, places, beliefs, pooled, np.random.default_rng(1))


def test_each_topic_is_read_its_own_way() -> None:
    pooled, places, grants = texts(600)
    told = fitted(600).granting(pooled, places)
    for topic in range(3):
        on = places.first[:, 0] == topic
        assert ((told > 0) == grants)[on].mean() > 0.85


def test_a_topic_of_few_texts_is_read_as_all_are() -> None:
    pooled, places, _ = texts(400)
    alike = pooled[:, 0] > 0
    beliefs = Beliefs(np.where(alike, 0.98, 0.02), np.full(400, 0.99))
    elsewhere = Places(np.zeros((400, 1), int), places.first, places.lean, 3)
    by_topic = fit_by_topic(pooled, elsewhere, beliefs, pooled, np.random.default_rng(1))
    assert ((by_topic.granting(pooled, places) > 0) == alike).mean() > 0.85


def test_texts_of_which_nothing_is_believed_tell_nothing() -> None:
    pooled, places, _ = texts(100)
    even = Beliefs(np.full(100, 0.5), np.full(100, 0.99))
    told = fit_by_topic(pooled, places, even, pooled, np.random.default_rng(1))
    assert np.abs(told.granting(pooled, places)).max() < 1e-3
