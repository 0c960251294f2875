"""What texts are about, found without labels: several partitions of the sentence vectors.

Labels don't decide here, so a topic holds for wordings that were never labelled. No single
partition has the right number of topics, so there are coarse and fine ones, and the trees choose. A
text that lies between two topics counts for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_ROUNDS = 25

BETWEEN = 0.07
"""A text lies between two topics where its squared distances to them differ by less than this."""

FAR = 1e3
"""Where a partition has fewer centres than the widest, the rest lie this far out."""


@dataclass(frozen=True)
class Places:
    """Where n texts lie among the topics of each partition.

    `first` and `second` (n, partitions) are the nearest topic and the next; `lean` (n, partitions),
    from 0 to a half, says how much of a text counts for the second, a half where both are as near.
    A partition has at most `topics` topics.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    lean: Array
    topics: int

    @classmethod
    def among(cls, centres: Array, vectors: Array) -> "Places":
        """Return where vectors (n, dim) lie among centres (partitions, topics, dim)."""
        apart = _apart(centres, vectors)
        two = np.argsort(apart, axis=2, kind="stable")[:, :, :2]
        # One topic only is its own neighbour, at no distance and with no say.
        first, second = two[:, :, 0], two[:, :, -1]
        gap = np.take_along_axis(apart, two[:, :, -1:], 2) - np.take_along_axis(
            apart, two[:, :, :1], 2
        )
        lean = np.maximum(0, 0.5 - gap[:, :, 0] / (2 * BETWEEN)).astype(np.float32)
        return cls(first, second, np.where(first == second, np.float32(0), lean), centres.shape[1])

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> "Places":
        """Return these texts' places, in this order."""
        return Places(self.first[rows], self.second[rows], self.lean[rows], self.topics)

    def bits(self) -> NDArray[np.bool_]:
        """Return the nearest topics as columns, (n, partitions * topics)."""
        return _one_hot(self.first, self.topics)

    def beside(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the columns of texts with one topic changed for the next, where that has a say.

        They come with the number of their text, (pairs,), in the order of `lean[lean > 0]`.
        """
        row, partition = np.nonzero(self.lean)
        changed = self.first[row]
        changed[np.arange(len(row)), partition] = self.second[row, partition]
        return row, _one_hot(changed, self.topics)

    def shares(self) -> Array:
        """Return how much of each text counts for each topic, (n, partitions * topics).

        In each partition that is 1 in all.
        """
        out = np.zeros((*self.first.shape, self.topics), dtype=np.float32)
        np.put_along_axis(out, self.second[:, :, None], self.lean[:, :, None], 2)
        np.put_along_axis(out, self.first[:, :, None], 1 - self.lean[:, :, None], 2)
        return out.reshape(len(self), -1)


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
    found: NDArray[np.intp] = _apart(centres, vectors).argmin(2)
    return found


def _apart(centres: Array, vectors: Array) -> Array:
    """Return the squared distances of vectors (n, dim) to each partition's centres, but for what
    is the same for all centres, (n, partitions, topics)."""
    squares = (centres**2).sum(2)
    products = np.einsum("nd,pkd->npk", vectors, centres, optimize=True)
    apart: Array = squares - 2 * products
    return apart


def _one_hot(places: NDArray[np.intp], width: int) -> NDArray[np.bool_]:
    """Return places (n, partitions) as bits, (n, partitions * width)."""
    hot = places[:, :, None] == np.arange(width)
    bits: NDArray[np.bool_] = hot.reshape(len(places), places.shape[1] * width)
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
