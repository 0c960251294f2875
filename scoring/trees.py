"""Boosted trees over yes-or-no columns: what holds for a customer, learnt from a few hundred rows.

A shop's rules are cuts and conjunctions ("gold, and at most 60 days"), which trees find from far
fewer rows than a network needs. XGBoost grows them, leaf by leaf; here they are arrays that are
stored beside the other weights, and asked all their questions at once, many rows together.
Source: Friedman, Greedy Function Approximation: A Gradient Boosting Machine, 2001; Chen and
Guestrin, XGBoost: A Scalable Tree Boosting System, 2016; Lucchese et al., QuickScorer: A Fast
Algorithm to Rank Documents with Additive Ensembles of Regression Trees, 2015.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.topics import Places

Bits = NDArray[np.bool_]
Array = NDArray[np.float64]

LEAVES = 15
LEAST_WEIGHT = 0.05
COLUMNS_SEEN = 0.8
"""The share of the columns that each tree is grown on."""

ROWS_AT_ONCE = 256
"""So many rows are taken together: more would take memory and leave the processor's cache."""

LEAF = -1
"""Stands for the column at a node that is a leaf."""

MOST_LEAVES = 16
EVERY_LEAF = np.uint16(2**MOST_LEAVES - 1)
"""A tree's leaves as bits, from left to right, the leftmost lowest."""


@dataclass(frozen=True)
class Growth:
    """How many trees there are, how much each may say, and how much it doubts small leaves.

    `smoothing` is how many unsure rows' worth of doubt is added to each leaf.
    """

    trees: int
    rate: float
    smoothing: float


@dataclass(frozen=True)
class Questions:
    """What trees ask of a row, each node for itself.

    `columns` (nodes, trees) are looked at, number 0 being always false; where one is true, only the
    leaves `kept` (nodes, trees) are left. The leftmost leaf that all nodes leave is the one to
    which the tree leads; `values` (trees, `MOST_LEAVES`) is what it adds.
    """

    columns: NDArray[np.intp]
    kept: NDArray[np.uint16]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Trees:
    """Trees by their nodes, (trees, nodes) each, of which the first is the root.

    `columns` says which column a node looks at, or `LEAF`; `children` (trees, nodes, 2) which node
    comes next where that is false, and where it is true, a leaf being its own child; `values` what
    a leaf adds.
    """

    columns: NDArray[np.int32]
    children: NDArray[np.uint8]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Raise ValueError where a row would not come to a leaf, or a tree has too many."""
        node = np.arange(self.columns.shape[1])[:, None]
        inner = (self.columns != LEAF)[:, :, None]
        led = np.where(inner, self.children > node, self.children == node)
        if not led.all() or self.children.max(initial=0) > len(node) - 1:
            raise ValueError("trees: a node leads back, or to none")
        if (most := self._leaves_below[:, 0].max(initial=0)) > MOST_LEAVES:
            raise ValueError(f"trees: one has {most} leaves, expected at most {MOST_LEAVES}")

    def __len__(self) -> int:
        return len(self.columns)

    def margins(self, bits: Bits) -> Array:
        """Return the sum over the trees for each row of bits (n, columns), (n,)."""
        asked, total = self._questions, np.zeros(len(bits))
        first_leaf = np.arange(len(self))[:, None] * MOST_LEAVES
        for first in range(0, len(bits), ROWS_AT_ONCE):
            rows = bits[first : first + ROWS_AT_ONCE].T
            known = np.concatenate([np.zeros((1, rows.shape[1]), bool), rows])
            left = np.where(known[asked.columns], asked.kept[:, :, None], EVERY_LEAF)
            reached = np.bitwise_and.reduce(left, axis=0)  # (trees, rows)
            leaf = np.bitwise_count(~reached & (reached - np.uint16(1)))
            told = asked.values.ravel().take(first_leaf + leaf)
            total[first : first + ROWS_AT_ONCE] = told.sum(0, dtype=np.float64)
        return total

    def entitled(self, people: Bits, places: Places) -> Array:
        """Return the log odds that customers are entitled to what is asked, (n,).

        `people` is (n, columns). Where a text lies between two topics, both have their say: no
        rounding of its vector makes the rules jump.
        """
        row, beside = places.beside()
        asked_by, asked = np.concatenate([people, people[row]]), [places.bits(), beside]
        margins = self.margins(np.concatenate([asked_by, np.concatenate(asked)], axis=1))
        at_first, at_second = margins[: len(people)], margins[len(people) :]
        return at_first + np.bincount(
            row, places.lean[places.lean > 0] * (at_second - at_first[row]), len(people)
        )

    @cached_property
    def _leaves_below(self) -> NDArray[np.intp]:
        """How many leaves there are from each node on, (trees, nodes)."""
        below, tree = np.ones(self.columns.shape, dtype=np.intp), np.arange(len(self))[:, None]
        for node in reversed(range(self.columns.shape[1])):
            inner = self.columns[:, node] != LEAF
            below[inner, node] = below[tree, self.children[:, node]].sum(1)[inner]
        return below

    @cached_property
    def _questions(self) -> Questions:
        """The same trees, with no node that waits for another's answer."""
        trees, nodes = self.columns.shape
        kept, values = (
            np.full((trees, nodes), EVERY_LEAF),
            np.zeros((trees, MOST_LEAVES), dtype=np.float32),
        )
        leftmost = np.full((trees, nodes), -1)  # the first leaf from a node on
        leftmost[:, :1] = 0
        for node in range(nodes):
            led_to = leftmost[:, node] >= 0
            inner = np.flatnonzero(led_to & (self.columns[:, node] != LEAF))
            leaf = np.flatnonzero(led_to & (self.columns[:, node] == LEAF))
            values[leaf, leftmost[leaf, node]] = self.values[leaf, node]
            false, true = self.children[inner, node].T
            here, wide = leftmost[inner, node], self._leaves_below[inner, false]
            leftmost[inner, false], leftmost[inner, true] = here, here + wide
            kept[inner, node] = EVERY_LEAF - (((1 << wide) - 1) << here).astype(np.uint16)
        asking = self.columns != LEAF
        order = np.argsort(~asking, axis=1, kind="stable")[:, : asking.sum(1).max(initial=0)]
        return Questions(
            np.take_along_axis(self.columns, order, 1).T.astype(np.intp) + 1,
            np.take_along_axis(kept, order, 1).T.copy(),
            values,
        )


def no_trees() -> Trees:
    """Return trees that say nothing."""
    return _of_nodes([])


def grow(
    bits: Bits,
    signs: Array,
    labels: Array,
    weights: Array,
    growth: Growth,
    *,
    seed: int,
    start: Array | None = None,
) -> Trees:
    """Return trees g that make `sigmoid(sign * g)` fit the labels, weighted log loss.

    `bits` is (n, columns); `signs` (n,) in [-1, 1] says how surely the row's answer grants what was
    asked; `start` (n,) is what earlier trees say already. One thread grows them, so that the same
    rows and seed give the same trees.
    """
    import xgboost  # it brings SciPy along, which serving has no use for

    counts = weights * np.abs(signs)
    told = np.flatnonzero(counts > 0)
    if not growth.trees or not len(told):
        return no_trees()
    columns = np.concatenate([np.zeros((len(told), 1), bool), bits[told]], axis=1)
    rows = xgboost.DMatrix(
        columns.astype(np.float32),
        np.where(signs[told] > 0, labels[told], 1 - labels[told]),
        weight=counts[told],
        base_margin=None if start is None else start[told],
        nthread=1,
    )
    settings = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": LEAVES,
        "max_depth": 0,
        "eta": growth.rate,
        "reg_lambda": growth.smoothing,
        "min_child_weight": LEAST_WEIGHT,
        "colsample_bytree": COLUMNS_SEEN,
        "seed": seed,
        "nthread": 1,
        "verbosity": 0,
    }
    grown = json.loads(xgboost.train(settings, rows, growth.trees).save_raw("json"))
    return _of_nodes(grown["learner"]["gradient_booster"]["model"]["trees"])


def _of_nodes(grown: list[dict[str, Any]]) -> Trees:
    """Return trees from XGBoost's own lists of nodes, whose first column is the false one."""
    nodes = max((len(tree["left_children"]) for tree in grown), default=1)
    columns = np.full((len(grown), nodes), LEAF, dtype=np.int32)
    children = np.tile(np.arange(nodes, dtype=np.uint8)[:, None], (len(grown), 1, 2))
    values = np.zeros((len(grown), nodes), dtype=np.float32)
    for number, tree in enumerate(grown):
        left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
        told, inner = np.array(tree["split_conditions"]), left >= 0
        itself = np.arange(len(left))
        columns[number, itself[inner]] = np.array(tree["split_indices"])[inner] - 1
        values[number, itself[~inner]] = told[~inner]
        children[number, itself] = np.where(
            inner[:, None], np.stack([left, right], axis=1), itself[:, None]
        )
    return Trees(columns, children, values)
