"""The nearest macros, filled with plain features and nothing else."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.deadline import Deadline
from cascade.errors import BadMacro
from cascade.macros import Macro, Macros, fill
from cascade.providers import DraftRequest
from scoring.customer import Customer, Feature

WORDS = ("return", "parcel", "refund", "where")
RETURNS = Macro("m-1", "Return", ("Can I return it?", "return window"), "{membership}: yes.")
PARCEL = Macro("m-2", "Parcel", ("where is my parcel?",), "It is {order_status}.")
REFUND = Macro("m-3", "Refund", ("I want a refund",), "We pay back.")


class CountingEmbed:
    """Counts four words; enough of a meaning for these tests."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        rows = [[text.lower().count(word) for word in WORDS] for text in texts]
        return np.array(rows, dtype=np.float32)


def drafts(
    question: str,
    features: dict[str, Feature],
    macros: Sequence[Macro] = (RETURNS, PARCEL, REFUND),
    top: int = 6,
    within: float = 0.03,
) -> tuple[str, ...]:
    provider = Macros(macros, CountingEmbed(), top=top, within=within)
    request = DraftRequest(question, Customer("c", "gold", features))
    return provider.draft(request, deadline=Deadline.after(10)).texts


def test_the_nearest_come_first_and_the_far_not_at_all() -> None:
    features: dict[str, Feature] = {"membership": "gold", "order_status": "delivered"}
    assert drafts("where is my parcel, or may I return it", features, within=1) == (
        "It is delivered.",
        "gold: yes.",
    )
    assert drafts("where is my parcel, or may I return it", features) == ("It is delivered.",)
    assert drafts("good morning", features, within=1) == ()


def test_other_answers_to_the_same_question_are_as_near_as_the_nearest() -> None:
    may = Macro("m-1", "Return refund", ("return?",), "Yes, return it, we refund.")
    not_any_more = Macro("m-2", "Return refund", ("refund?",), "No return, no refund.")
    elsewhere = Macro("m-3", "return parcel", (), "Where the parcel is.")
    macros = [elsewhere, not_any_more, may]
    assert drafts("return", {}, macros) == (may.body, not_any_more.body)
    assert drafts("refund", {}, macros) == (not_any_more.body, may.body)


def test_a_macro_the_profile_cannot_fill_is_left_out() -> None:
    assert drafts("return or refund", {}) == ("We pay back.",)


def test_equal_texts_are_offered_once_and_top_limits_distinct_ones() -> None:
    twins = [Macro(f"m-{number}", "return", (), "Yes.") for number in range(3)]
    other = Macro("m-9", "return return refund", (), "No.")
    assert drafts("return", {}, [*twins, other], top=2, within=1) == ("Yes.", "No.")
    assert drafts("return", {}, [*twins, other], top=1) == ("Yes.",)


def test_no_macros_offer_nothing() -> None:
    assert drafts("return", {}, []) == ()


def test_macros_are_embedded_once() -> None:
    embed = CountingEmbed()
    provider = Macros([RETURNS, PARCEL], embed)
    for _ in range(3):
        provider.draft(DraftRequest("return", Customer("c", None)), deadline=Deadline.after(10))
    assert embed.calls == 1 + 3
    assert provider.largest_cost(DraftRequest("return", Customer("c", None))) is None


@pytest.mark.parametrize(
    ("body", "filled"),
    [
        ("{a} and {a}", "x and x"),
        ("{missing}", None),
        ("{a.__class__} {a!r} {a:>9} {0} {} {{a}}", "{a.__class__} {a!r} {a:>9} {0} {} {x}"),
        ("{days} days, {whole} kg, {half}, {vip}", "45 days, 2 kg, 2.5, yes"),
        ("{braces}", "{a}"),
    ],
)
def test_only_plain_names_are_filled(body: str, filled: str | None) -> None:
    features: dict[str, Feature] = {
        "a": "x",
        "days": 45,
        "whole": 2.0,
        "half": 2.5,
        "vip": True,
        "braces": "{a}",
    }
    assert fill(body, features) == filled


@pytest.mark.parametrize("rows", [np.zeros((1, 3)), np.zeros(2), np.full((3, 3), np.nan)])
def test_an_embedding_that_does_not_fit_is_refused(rows: NDArray[np.float64]) -> None:
    with pytest.raises(BadMacro):
        Macros([Macro("m", "one", ("two",), "Yes.")], lambda texts: rows)
