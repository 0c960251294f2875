"""What texts are about, found without labels: several partitions of the sentence vectors.

Labels don't decide here, so a topic holds for wordings that were never labelled. No single
partition has the right number of topics, so there are coarse and fine ones, and the trees choose.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_ROUNDS = 25


FAR = 1e3
"""Where a partition has fewer centres than the widest, the rest lie this far out."""


def partitions(vectors: Array, counts: Sequence[int], random: np.random.Generator) -> Array:
    """Return k-means centres for each count, (partitions, most centres, dim)."""
    found = [centres(vectors, count, random) for count in counts]
    most = max(len(each) for each in found)
    out = np.full((len(found), most, vectors.shape[1]), FAR, dtype=np.float32)
    for place, each in zip(out, found, strict=True):
        place[: len(each)] = each
    return out


def nearest(centres: Array, vectors: Array) -> NDArray[np.intp]:
    """Return the nearest centre of each partition for vectors (n, dim), (n, partitions)."""
    squares = (centres**2).sum(2)  # (partitions, most centres)
    products = np.einsum("nd,pkd->npk", vectors, centres, optimize=True)
    found: NDArray[np.intp] = (squares - 2 * products).argmin(2)
    return found


def one_hot(places: NDArray[np.intp], width: int) -> NDArray[np.bool_]:
    """Return places (n, partitions) as bits, (n, partitions * width)."""
    bits: NDArray[np.bool_] = (places[:, :, None] == np.arange(width)).reshape(len(places), -1)
    return bits


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
