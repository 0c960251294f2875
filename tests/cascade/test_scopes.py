"""Who else may be offered an answer."""

from collections.abc import Sequence

import pytest

from cascade.scopes import PEERS, Placed, Told, personal_in, place
from scoring.customer import Customer

SEGMENTS = ("gold", "silver", "bronze")
OTHERS = [Customer(f"{segment}-{n}", segment) for segment in SEGMENTS for n in range(PEERS + 1)]
ANN = Customer(
    "c-4711",
    "gold",
    {
        "membership": "gold",
        "days_since_purchase": 45,
        "order_status": "in_transit",
        "city": "Lisbon",
        "first_name": "Ann",
        "vip": True,
    },
    ("2026-03-02 asked about a late parcel; refunded shipping of 12.50 EUR",),
)
QUESTION = "Can I change my delivery address?"
PLAIN = "Yes, open your account page and choose a new address."


def placed(
    answer: str,
    *,
    question: str = QUESTION,
    customer: Customer = ANN,
    others: Sequence[Customer] = OTHERS,
    wrong_for: Sequence[str] = (),
    known: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
) -> Placed:
    def holds_for(asked: Sequence[Customer]) -> list[float]:
        return [0.2 if each.segment in wrong_for or each.id in wrong_for else 0.9 for each in asked]

    return place(
        Told(question, answer, names, known),
        customer,
        others=others,
        holds_for=holds_for,
        threshold_for=lambda segment: 0.8,
    )


def test_an_answer_that_holds_for_all_is_public() -> None:
    assert placed(PLAIN).scope == "public"


def test_one_that_fails_for_another_segment_stays_in_its_own() -> None:
    assert placed(PLAIN, wrong_for=("bronze",)).scope == "segment"
    assert placed(PLAIN, wrong_for=("bronze-3",)).scope == "segment"


def test_one_that_fails_for_a_peer_stays_with_its_customer() -> None:
    assert placed(PLAIN, wrong_for=("gold",)).scope == "customer"
    assert placed(PLAIN, wrong_for=("gold-0",)).scope == "customer"


def test_too_few_judged_is_doubt() -> None:
    assert placed(PLAIN, others=()).scope == "customer"
    assert placed(PLAIN, others=OTHERS[: PEERS - 1]).scope == "customer"
    assert placed(PLAIN, others=OTHERS[: PEERS + 1]).scope == "segment"
    assert placed(PLAIN, others=[*OTHERS, Customer("x", "new")]).scope == "segment"


def test_the_customer_is_no_witness_of_their_own() -> None:
    assert placed(PLAIN, others=[ANN] * PEERS).scope == "customer"


def test_nobody_shares_with_a_customer_of_no_segment() -> None:
    nobody = Customer("c-1", None)
    assert placed(PLAIN, customer=nobody).scope == "customer"


def test_naming_the_segment_is_for_the_segment() -> None:
    assert placed("Yes, for Gold members it is free.").scope == "segment"


@pytest.mark.parametrize(
    "answer",
    [
        "Yes, Ann, you can.",
        "Hi Ann, yes you can.",
        "Dear Mr. Miller, yes.",
        "Yes, we sent it to ann@example.com.",
        "Call us on +49 170 1234567.",
        "Your order #48213 can be changed.",
        "Your order ORD-2291 can be changed.",
        "Parcel 00340434161094 is on its way.",
        "You bought it 45 days ago.",
        "You bought it forty-five days ago.",
        "It is in transit.",
        "It is still in-transit.",
        "We ship to Lisbon.",
        "We refunded the shipping.",
        "It was 12.50 that we gave back.",
        "It arrives on March 2.",
        "You asked on 2026-03-02.",
        "Your neighbour Peter took it.",
        "See your file c-4711.",
    ],
)
def test_what_names_something_of_the_customer_stays_with_them(answer: str) -> None:
    assert placed(answer).scope == "customer"


def test_names_the_desk_knows_count_as_the_customers() -> None:
    assert placed("yes, miller, you can.", names=("Ann Miller",)).scope == "customer"


def test_personal_data_in_the_question_counts_too() -> None:
    question = "Can I change the address of order #48213?"
    assert placed(PLAIN, question=question).scope == "customer"


def test_what_the_knowledge_says_is_not_from_the_history() -> None:
    answer = "Late parcels are refunded."
    assert placed(answer).scope == "customer"
    assert placed(answer, known=("We refund late parcels.",)).scope == "public"


def test_a_reason_is_given_and_quotes_nothing() -> None:
    assert placed("Yes, Ann, you can.").reason == "names something of the customer's profile"
    assert personal_in(Told(QUESTION, PLAIN), ANN) is None


def test_the_scorer_is_not_asked_about_what_is_personal_anyway() -> None:
    def never(_: Sequence[Customer]) -> list[float]:
        raise AssertionError("asked")

    told = Told(QUESTION, "Your order #48213 can be changed.")
    assert (
        place(told, ANN, others=OTHERS, holds_for=never, threshold_for=lambda _: 0.8).scope
        == "customer"
    )


def test_what_is_too_long_to_be_looked_through_stays_with_its_customer() -> None:
    assert placed("Yes. " * 500).scope == "customer"
