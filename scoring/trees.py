"""Boosted trees over yes-or-no columns: what holds for a customer, learnt from a few hundred rows.

A shop's rules are cuts and conjunctions ("gold, and at most 60 days"), which trees find from far
fewer rows than a network needs. Each tree is a complete binary tree held in two arrays, so many
rows and many trees are walked at once.
Source: Friedman, Greedy Function Approximation: A Gradient Boosting Machine, 2001; the second-order
gain is Chen and Guestrin, XGBoost, 2016.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Array = NDArray[np.float64]

DEPTH = 5
RATE = 0.1
SMOOTHING = 1.0
"""How many unsure rows' worth of doubt is added to each leaf."""
LEAST_WEIGHT = 1.0
LEAST_GAIN = 1e-3
COLUMNS_SEEN = 0.5
CUSTOMERS_SEEN = 0.8
"""The shares of columns and of customers that each tree is grown on."""

NO_COLUMN = -1
"""Stands for the column after the last, which is false for everybody."""


@dataclass(frozen=True)
class Trees:
    """Trees of one depth: `columns` (trees, 2**depth - 1) to look at, `values` (trees, 2**depth).

    Node k's children are 2k + 1 where the column is false and 2k + 2 where it is true; a node that
    was not split has `NO_COLUMN` and counts as false.
    """

    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.columns)

    def margins(self, bits: Bits) -> Array:
        """Return the sum over the trees for each row of bits (n, columns), (n,)."""
        tree = np.arange(len(self))[None, :]
        known, person = _and_false(bits), np.arange(len(bits))[:, None]
        node = np.zeros((len(bits), len(self)), int)
        for _ in range(DEPTH):
            node = 2 * node + 1 + known[person, self.columns[tree, node]]
        total: Array = self.values[tree, node - self.columns.shape[1]].sum(1, dtype=np.float64)
        return total

    def and_then(self, more: "Trees") -> "Trees":
        """Return these trees followed by others."""
        return Trees(
            np.concatenate([self.columns, more.columns]), np.concatenate([self.values, more.values])
        )


def no_trees() -> Trees:
    """Return trees that say nothing."""
    return Trees(
        np.zeros((0, 2**DEPTH - 1), dtype=np.int32), np.zeros((0, 2**DEPTH), dtype=np.float32)
    )


def grow(
    bits: Bits,
    signs: Array,
    labels: Array,
    weights: Array,
    customers: NDArray[np.intp],
    *,
    count: int,
    seed: int,
    start: Array | None = None,
    rate: float = RATE,
) -> Trees:
    """Return trees g that make `sigmoid(sign * g)` fit the labels, weighted log loss.

    `bits` is (n, columns); `signs` (n,) in [-1, 1] says how surely the row's answer grants what was
    asked; `customers` (n,) numbers whose row it is, so that each tree leaves some customers out;
    `start` (n,) is what earlier trees say already.
    """
    random = np.random.default_rng(seed)
    held = bits.astype(np.float32)
    margin = np.zeros(len(bits)) if start is None else start.astype(np.float64)
    people = int(customers.max(initial=-1)) + 1
    grown = []
    for _ in range(count):
        chance = 1 / (1 + np.exp(-np.clip(signs * margin, -30, 30)))
        seen = (random.random(people) < CUSTOMERS_SEEN)[customers] * weights
        slope, curve = seen * signs * (chance - labels), seen * signs**2 * chance * (1 - chance)
        columns = np.flatnonzero(random.random(bits.shape[1]) < COLUMNS_SEEN)
        tree, leaf = _split(bits, held, columns, slope, curve)
        total, weight = np.bincount(leaf, slope, 2**DEPTH), np.bincount(leaf, curve, 2**DEPTH)
        values = -rate * total / (weight + SMOOTHING)
        margin = margin + values[leaf]
        grown.append((tree, values))
    if not grown:
        return no_trees()
    return Trees(
        np.array([tree for tree, _ in grown], dtype=np.int32),
        np.array([values for _, values in grown], dtype=np.float32),
    )


def _and_false(bits: Bits) -> Bits:
    return np.concatenate([bits, np.zeros((len(bits), 1), dtype=np.bool_)], axis=1)


def _split(
    bits: Bits, held: NDArray[np.float32], columns: NDArray[np.intp], slope: Array, curve: Array
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return one tree's columns, (2**DEPTH - 1,), and the leaf that each row falls into, (n,)."""
    rows, known = np.arange(len(bits)), _and_false(bits)
    slope, curve = slope.astype(np.float32), curve.astype(np.float32)
    tree = np.full(2**DEPTH - 1, NO_COLUMN, dtype=np.int32)
    place = np.zeros(len(bits), dtype=np.intp)  # within the level
    seen = held[:, columns]
    for level in range(DEPTH if len(columns) else 0):
        nodes = np.arange(2**level)
        member = np.zeros((2**level, len(bits)), dtype=np.float32)
        member[place, rows] = 1
        total, weight = (member @ slope)[:, None], (member @ curve)[:, None]
        on, on_weight = (member * slope) @ seen, (member * curve) @ seen
        off, off_weight = total - on, weight - on_weight
        gain = (
            on**2 / (on_weight + SMOOTHING)
            + off**2 / (off_weight + SMOOTHING)
            - total**2 / (weight + SMOOTHING)
        )
        gain[(on_weight < LEAST_WEIGHT) | (off_weight < LEAST_WEIGHT)] = 0
        best = gain.argmax(1)
        split = np.where(gain[nodes, best] > LEAST_GAIN, columns[best], NO_COLUMN)
        tree[nodes + 2**level - 1] = split
        place = 2 * place + known[rows, split[place]]
    return tree, place
