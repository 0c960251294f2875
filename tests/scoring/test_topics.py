"""Texts lie in a topic, or between two; nothing about that jumps."""

import numpy as np

from scoring.topics import Places, partitions

RANDOM = np.random.default_rng(0)


def around(count: int) -> np.ndarray:
    """Return vectors around four points, (count, 8)."""
    points = 3 * np.eye(4, 8, dtype=np.float32)
    noise = RANDOM.normal(0, 0.1, (count, 8)).astype(np.float32)
    return points[RANDOM.integers(4, size=count)] + noise


def test_every_text_is_shared_out_among_the_topics_of_each_partition() -> None:
    vectors = around(200)
    places = Places.among(partitions(vectors, (2, 4), np.random.default_rng(1)), vectors)
    shares = places.shares().reshape(200, 2, 4)
    assert np.allclose(shares.sum(2), 1)
    assert (shares.argmax(2) == places.first).all()


def test_what_crosses_from_one_topic_to_the_next_does_not_jump() -> None:
    centres = np.array([[[0.0, 0.0], [1.0, 0.0]]], dtype=np.float32)
    way = np.stack([np.linspace(0, 1, 1001), np.zeros(1001)], axis=1).astype(np.float32)
    shares = Places.among(centres, way).shares()
    assert np.abs(np.diff(shares, axis=0)).max() < 0.02
    assert shares[0].tolist() == [1, 0]
    assert shares[500].tolist() == [0.5, 0.5]
    assert shares[-1].tolist() == [0, 1]


def test_the_next_topic_has_a_say_only_between_two() -> None:
    centres = np.array([[[0.0, 0.0], [1.0, 0.0]]], dtype=np.float32)
    clear, between = np.array([[0.1, 0.0]]), np.array([[0.49, 0.0]])
    places = Places.among(centres, np.concatenate([clear, between]).astype(np.float32))
    row, bits = places.beside()
    assert row.tolist() == [1]
    assert bits.tolist() == [[False, True]]


def test_a_single_topic_takes_every_text_whole() -> None:
    places = Places.among(np.zeros((1, 1, 2), dtype=np.float32), np.ones((3, 2), dtype=np.float32))
    assert places.shares().tolist() == [[1]] * 3
    assert len(places.beside()[0]) == 0
