"""What texts are about, found without labels: centres of the sentence vectors, and their main axes.

Labels don't decide here, so a topic holds for wordings that were never labelled.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_ROUNDS = 25


def centres(vectors: Array, count: int, random: np.random.Generator) -> Array:
    """Return at most `count` k-means centres, (count, dim), of vectors (n, dim).

    Source: Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding, 2007.
    """
    found = _seeds(vectors, min(count, len(vectors)), random)
    for _ in range(_ROUNDS):
        nearest = _squared_distances(vectors, found).argmin(1)
        for number in np.unique(nearest):
            found[number] = vectors[nearest == number].mean(0)
    return found


def main_axes(vectors: Array, count: int) -> Array:
    """Return the directions in which vectors (n, dim) differ most, (count, dim), strongest first.

    Fewer vectors than `count` have fewer directions; the rest are zeros.
    """
    spread = vectors - vectors.mean(0)
    _, axes = np.linalg.eigh(spread.T @ spread)
    out = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    kept = min(count, len(vectors))
    out[:kept] = axes[:, ::-1].T[:kept]
    return out


def _seeds(vectors: Array, count: int, random: np.random.Generator) -> Array:
    chosen = [int(random.integers(len(vectors)))]
    distance = _squared_distances(vectors, vectors[chosen])[:, 0]
    while len(chosen) < count:
        total = float(distance.sum())
        even = np.full(len(vectors), 1 / len(vectors))
        chance = distance.astype(np.float64) / total if total > 0 else even
        chosen.append(int(random.choice(len(vectors), p=chance / chance.sum())))
        distance = np.minimum(distance, _squared_distances(vectors, vectors[chosen[-1:]])[:, 0])
    return vectors[chosen].copy()


def _squared_distances(vectors: Array, points: Array) -> Array:
    products = vectors @ points.T
    squares: Array = (vectors**2).sum(1)[:, None] - 2 * products + (points**2).sum(1)[None]
    return np.maximum(squares, 0)
