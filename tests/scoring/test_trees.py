"""Boosted trees: they find cuts and conjunctions from a few hundred rows."""

import numpy as np
import pytest

from scoring.topics import Places
from scoring.trees import LEAF, Bits, Growth, Trees, grow, no_trees

RANDOM = np.random.default_rng(0)


def rows(count: int) -> tuple[Bits, np.ndarray]:
    """Return random columns, and who is entitled: the first two together, or else the third."""
    bits = RANDOM.random((count, 30)) < 0.5
    return bits, (bits[:, 0] & bits[:, 1]) | bits[:, 2]


def grown(bits: Bits, signs: np.ndarray, labels: np.ndarray, count: int = 60) -> Trees:
    """Return trees over rows that all weigh the same."""
    return grow(bits, signs, labels.astype(float), np.ones(len(bits)), few(count), seed=1)


def few(count: int) -> Growth:
    return Growth(count, rate=0.1, smoothing=1.0)


def test_a_rule_is_found_from_a_few_hundred_rows() -> None:
    bits, entitled = rows(300)
    trees = grown(bits, np.ones(300), entitled)
    fresh, truth = rows(1000)
    assert ((trees.margins(fresh) > 0) == truth).mean() > 0.97


def test_a_refusing_answer_teaches_the_same_rule() -> None:
    bits, entitled = rows(300)
    signs = RANDOM.choice([-1.0, 1.0], 300)
    trees = grown(bits, signs, np.where(signs > 0, entitled, ~entitled))
    fresh, truth = rows(1000)
    assert ((trees.margins(fresh) > 0) == truth).mean() > 0.97


def test_rows_that_say_nothing_teach_nothing() -> None:
    bits, entitled = rows(200)
    assert np.abs(grown(bits, np.zeros(200), entitled).margins(bits)).max() == 0


def test_no_trees_say_nothing() -> None:
    assert no_trees().margins(rows(5)[0]).tolist() == [0] * 5


def test_more_trees_start_where_the_others_ended() -> None:
    bits, entitled = rows(200)
    first = grown(bits, np.ones(200), entitled, count=5)
    ones, labels = np.ones(200), entitled.astype(float)
    more = grow(bits, ones, labels, ones, few(5), seed=2, start=first.margins(bits))
    both = first.margins(bits) + more.margins(bits)
    assert len(first) == len(more) == 5
    assert ((both > 0) == entitled).mean() >= ((first.margins(bits) > 0) == entitled).mean()


def test_no_columns_at_all_still_give_trees() -> None:
    trees = grown(np.zeros((50, 0), dtype=bool), np.ones(50), np.arange(50) < 40, count=4)
    assert (trees.margins(np.zeros((3, 0), dtype=bool)) > 0).all()


def led(trees: Trees, row: np.ndarray) -> float:
    """Return what the leaves add to which the trees lead this row, node by node."""
    total = 0.0
    for columns, children, values in zip(trees.columns, trees.children, trees.values, strict=True):
        node = 0
        while columns[node] != LEAF:
            node = children[node, int(row[columns[node]])]
        total += float(values[node])
    return total


def chain(leaves: int, turned: bool) -> Trees:
    """Return one tree of questions one behind the other, each next one where it is false or true.

    Leaf and next node lie beside each other; the leaves add 1, 2, 3 and so on.
    """
    nodes = 2 * leaves - 1
    columns, children = np.full((1, nodes), LEAF, np.int32), np.arange(nodes, dtype=np.uint8)
    children = np.stack([children, children], axis=1)[None]
    for number in range(leaves - 1):
        columns[0, 2 * number] = number
        children[0, 2 * number] = (2 * number + 1, 2 * number + 2)[:: -1 if turned else 1]
    return Trees(columns, children, np.arange(1, nodes + 1, dtype=np.float32)[None])


@pytest.mark.parametrize("count", [1, 7, 600])
def test_rows_are_led_to_the_leaves_that_the_nodes_name(count: int) -> None:
    bits, entitled = rows(400)
    trees = grown(bits, np.ones(400), entitled, count=9)
    fresh, _ = rows(count)
    assert trees.margins(fresh) == pytest.approx([led(trees, row) for row in fresh])


@pytest.mark.parametrize("turned", [False, True])
def test_a_tree_may_have_as_many_leaves_as_there_are_bits_and_no_more(turned: bool) -> None:
    bits = RANDOM.random((500, 16)) < (0.1 if turned else 0.9)
    trees = chain(16, turned)
    assert trees.margins(bits) == pytest.approx([led(trees, row) for row in bits])
    with pytest.raises(ValueError, match="17 leaves, expected at most 16"):
        chain(17, turned)


@pytest.mark.parametrize("to", [0, 1, 200])
def test_a_node_that_leads_nowhere_is_refused(to: int) -> None:
    bits, entitled = rows(50)
    trees = grown(bits, np.ones(50), entitled, count=2)
    tree, node = np.argwhere(trees.columns != LEAF)[1]
    trees.children[tree, node] = to
    with pytest.raises(ValueError, match="leads"):
        Trees(trees.columns, trees.children, trees.values)


def test_a_text_between_two_topics_is_judged_by_both() -> None:
    bits, _ = rows(400)
    people, topic = bits[:, :5], RANDOM.integers(2, size=(400, 1))
    entitled = np.where(topic[:, 0] == 0, people[:, 0], ~people[:, 0])
    places = Places(topic, 1 - topic, np.zeros((400, 1), dtype=np.float32), 2)
    trees = grown(np.concatenate([people, places.bits()], axis=1), np.ones(400), entitled)
    lean = np.full((400, 1), 0.5, dtype=np.float32)
    at_first, between = (
        trees.entitled(people, places),
        trees.entitled(people, Places(topic, 1 - topic, lean, 2)),
    )
    assert ((at_first > 0) == entitled).all()
    assert np.abs(between).max() < 0.5
    turned = trees.entitled(people, Places(1 - topic, topic, lean, 2))
    assert turned == pytest.approx(between)
