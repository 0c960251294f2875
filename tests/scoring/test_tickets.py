"""Past tickets are read from CSV and JSONL alike, and opposite replies become negatives."""

import io
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from scoring.customer import Customer, Feature
from scoring.encoder import Encoder
from scoring.errors import BadExamples
from scoring.examples import as_row, read_examples
from scoring.mining import Mined, mine
from scoring.tickets import Format, PastTicket, format_of, read_tickets

HEADER = "customer_id,segment,question,reply,at,history,feature.days,feature.vip,feature.region"
CSV_ROW = (
    'c-1,gold,"Can I return it, please?",Yes 🎒 نعم,2026-04-01T09:00:00Z,'
    "2026-03-02 late parcel | 2026-03-05 refunded,45,TRUE,EU"
)
ROW: dict[str, Any] = {
    "customer": {
        "id": "c-1",
        "segment": "gold",
        "features": {"days": 45, "vip": True, "region": "EU"},
    },
    "history": ["2026-03-02 late parcel", "2026-03-05 refunded"],
    "question": "Can I return it, please?",
    "reply": "Yes 🎒 نعم",
    "at": "2026-04-01T09:00:00Z",
}

ASKED = "Can I still return my jacket?"
ALIKE = "Is it possible to return my jacket?"
GRANT = "Sure, send it back to us."
REFUSAL = "Sorry, it is too late for a return."


def read(text: str, kind: Format, name: str = "f") -> list[PastTicket]:
    """Read this text as a file of past tickets."""
    return read_tickets(io.StringIO(text), name=name, kind=kind)


def line(**changes: Any) -> str:
    """Return the good JSONL line with some fields changed."""
    return json.dumps({**ROW, **changes})


def feature(cell: str) -> Feature:
    """Return what a CSV cell makes of the customer's one feature."""
    (ticket,) = read(f"customer_id,question,reply,feature.x\nc,q,r,{cell}\n", "csv")
    return ticket.customer.features["x"]


def ticket(who: str, question: str, reply: str, **features: Feature) -> PastTicket:
    """Return a past ticket of a customer with these features."""
    return PastTicket(Customer(who, None, features), question, reply)


def negatives(mined: Mined) -> list[tuple[str, str, str]]:
    """Return (customer, question, answer) of every negative, in order."""
    pairs = [example.pair for example in mined.examples if not example.label]
    return [(pair.customer.id, pair.question, pair.answer) for pair in pairs]


# Reading


def test_csv_and_jsonl_give_the_same_ticket() -> None:
    expected = PastTicket(
        Customer(
            "c-1",
            "gold",
            {"days": 45, "vip": True, "region": "EU"},
            ("2026-03-02 late parcel", "2026-03-05 refunded"),
            date(2026, 4, 1),
        ),
        "Can I return it, please?",
        "Yes 🎒 نعم",
        datetime(2026, 4, 1, 9, tzinfo=UTC),
    )
    assert read(f"{HEADER}\n{CSV_ROW}\n", "csv") == [expected]
    assert read(line() + "\n", "jsonl") == [expected]


def test_empty_cells_and_missing_columns_are_missing_values() -> None:
    full = read(f"{HEADER}\nc-1,,q,r,,,,,\n\n,,,,,,,,\n", "csv")
    assert full == read("reply,customer_id,question\nr,c-1,q\n", "csv")
    assert full == [PastTicket(Customer("c-1", None), "q", "r")]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-1.5", -1.5),
        ("1E3", 1000.0),
        ("01234", "01234"),
        ("null", "null"),
        ("1_000", "1_000"),
        ("[1]", "[1]"),
        ("None of these", "None of these"),
    ],
)
def test_a_csv_cell_is_a_boolean_a_number_or_a_string(cell: str, value: Feature) -> None:
    assert feature(cell) == value
    assert type(feature(cell)) is type(value)


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e999", "9" * 400])
def test_a_csv_cell_that_no_float_can_hold_is_an_error(cell: str) -> None:
    with pytest.raises(BadExamples, match="line 2: feature 'x' is no finite number"):
        feature(cell)


def test_quoted_lines_commas_and_nul_stay_in_their_cell() -> None:
    text = 'customer_id, question, reply\nc, "Hi,\nmay I ""return"" it?", "a\0b"\n'
    (read_one,) = read(text, "csv")
    assert read_one.question == 'Hi,\nmay I "return" it?'
    assert read_one.reply == "a\0b"


def test_a_reply_of_any_length_is_read_whole() -> None:
    reply = "long 🎒 " * 16_667
    assert len(reply) > 100_000
    (from_csv,) = read(f"customer_id,question,reply\nc,q,{reply}x\n", "csv")
    (from_jsonl,) = read(line(reply=reply + "x"), "jsonl")
    assert from_csv.reply == from_jsonl.reply == reply + "x"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "Expecting property name"),
        ("[1]", "got list; expected a JSON object"),
        ("[" * 100_000, "recursion"),
        (line(customer=None), "customer is None"),
        (line(customer={"id": ""}), "customer.id is ''"),
        (line(customer={"id": "x", "features": {"a": [1]}}), "feature 'a' is a list"),
        (line(customer={"id": "x", "features": {"a": float("nan")}}), "no finite number"),
        (line(question=3), "question is 3; expected a text that is not empty"),
        (line(reply=None), "reply is None"),
        (line(reply=" \n"), "reply is ' \\n'"),
        (line(at="yesterday"), "at is 'yesterday'"),
        (line(history="none"), "history is 'none'"),
    ],
)
def test_a_bad_jsonl_line_is_named(bad: str, said: str) -> None:
    with pytest.raises(BadExamples) as caught:
        read("\n".join([line(), bad, line()]), "jsonl", "f.jsonl")
    assert str(caught.value).startswith("f.jsonl, line 2: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (",gold,q,r,,,,,", "customer.id is None"),
        ("c,gold,,r,,,,,", "question is None"),
        ("c,gold,q,,,,,,", "reply is None"),
        ("c,gold,q,r,tomorrow,,,,", "at is 'tomorrow'"),
        ("c,gold,q,r", "got 4 values; expected 9"),
        ("c,gold,q,r,,,,,,,", "got 11 values; expected 9"),
        ('c,gold,"q"x,r,,,,,', "expected comma-separated values"),
        ('c,gold,"q,r,,,,,', "unexpected end of data"),
        (f"c,gold,q,{'r' * 200_000},,,,,", "field larger than field limit"),
    ],
)
def test_a_bad_csv_row_is_named_by_the_line_where_it_starts(bad: str, said: str) -> None:
    above = CSV_ROW.replace("it, please", "it,\nplease")
    with pytest.raises(BadExamples) as caught:
        read(f"{HEADER}\n{above}\n{bad}\n", "csv", "f.csv")
    assert str(caught.value).startswith("f.csv, line 4: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("customer_id,question", r"expected it to have customer_id, question, reply"),
        ("customer_id,question,reply,tier", r"\['tier'\]; expected no column but"),
        ("customer_id,question,reply,feature.", r"\['feature\.'\]; expected no column but"),
        ("customer_id,question,reply,reply", r"\['reply'\]; expected each column once"),
        ("customer_id;question;reply", "expected no column but"),
    ],
)
def test_a_bad_header_is_named(header: str, said: str) -> None:
    with pytest.raises(BadExamples, match=said):
        read(f"{header}\nc,q,r\n", "csv")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_an_error(content: str, kind: Format) -> None:
    with pytest.raises(BadExamples, match=f"f: no tickets; .* as {kind.upper()}"):
        read(content, kind)
    with pytest.raises(BadExamples, match="no tickets"):
        read(HEADER, "csv")


def test_the_suffix_says_the_format() -> None:
    assert (format_of("a/b.CSV"), format_of("b.jsonl")) == ("csv", "jsonl")
    for name in ("<stdin>", "tickets.txt", "csv"):
        with pytest.raises(BadExamples, match="--format"):
            format_of(name)


# Mining


def test_the_opposite_reply_to_another_customer_is_a_negative(encoder: Encoder) -> None:
    first = ticket("a", ASKED, GRANT, days=3)
    second = ticket("b", ALIKE, REFUSAL, days=90)
    mined = mine([first, second], encoder)
    positives = [example for example in mined.examples if example.label]
    assert [(each.pair.customer, each.pair.answer) for each in positives] == [
        (first.customer, GRANT),
        (second.customer, REFUSAL),
    ]
    assert negatives(mined) == [("a", ASKED, REFUSAL), ("b", ALIKE, GRANT)]
    assert [each.weight for each in positives] == [1.0, 1.0]
    assert all(0.8 < example.weight <= 1 for example in mined.examples)
    assert (mined.customers, mined.positives, mined.negatives, mined.without_negative) == (
        2,
        2,
        2,
        0,
    )


@pytest.mark.parametrize(
    "other",
    [
        ticket("b", ASKED, "Yes, you can return it."),
        ticket("a", ALIKE, REFUSAL),
        ticket("b", "How do I wash a down sleeping bag?", REFUSAL),
        ticket("b", ASKED, "Thank you for your message."),
    ],
    ids=["same outcome", "same customer", "another question", "no outcome"],
)
def test_what_is_no_opposite_of_another_customer_is_not_taken(
    other: PastTicket, encoder: Encoder
) -> None:
    mined = mine([ticket("a", ASKED, GRANT), other], encoder)
    assert negatives(mined) == []
    assert (mined.positives, mined.without_negative) == (2, 2)


@pytest.mark.parametrize(
    ("reply", "features"),
    [
        ("Sorry, it is too late to return order 77812.", {}),
        ("Sorry, it is too late for a return; I wrote to ann@post.example.", {}),
        ("Sorry, BEAUMONT, it is too late for a return.", {"lastName": "de Beaumont"}),
        ("Sorry, customer b-x, it is too late for a return.", {}),
    ],
    ids=["number", "e-mail", "name", "id"],
)
def test_what_is_the_other_customers_own_is_not_shown(
    reply: str, features: dict[str, Feature], encoder: Encoder
) -> None:
    mined = mine([ticket("a", ASKED, GRANT), ticket("b-x", ASKED, reply, **features)], encoder)
    assert negatives(mined) == [("b-x", ASKED, GRANT)]


def test_a_number_that_the_asker_wrote_may_be_in_the_reply(encoder: Encoder) -> None:
    asked = "Can I still return my jacket after 45 days?"
    refusal = "Sorry, after 45 days it is too late for a return."
    mined = mine([ticket("a", asked, GRANT), ticket("b", ASKED, refusal)], encoder)
    assert ("a", asked, refusal) in negatives(mined)


def test_what_a_customer_was_told_is_never_their_negative(encoder: Encoder) -> None:
    told_both = [ticket("a", ASKED, GRANT), ticket("a", ASKED, REFUSAL)]
    mined = mine([*told_both, ticket("b", ASKED, REFUSAL)], encoder)
    assert negatives(mined) == [("b", ASKED, GRANT)]


def test_the_nearest_question_wins_and_equal_ones_take_turns(encoder: Encoder) -> None:
    refusals = [REFUSAL, "No, the return period is over.", "No, that isn't possible any more."]
    far = ticket("far", "May I still send my jacket back?", "Unfortunately, we cannot offer that.")
    near = [ticket(f"b-{n}", ASKED, refusal) for n, refusal in enumerate(refusals)]
    asking = [ticket(f"a-{n}", ASKED, GRANT) for n in range(8)]
    mined = mine([*asking, far, *near], encoder)
    taken = [answer for who, _, answer in negatives(mined) if who.startswith("a-")]
    assert len(taken) == len(asking)
    assert set(taken) == set(refusals)


def test_the_same_tickets_give_the_same_examples_and_a_file_to_train_on(encoder: Encoder) -> None:
    at = datetime(2026, 4, 1, 9, tzinfo=UTC)
    moment = Customer("c", "gold", {"days": 3}, ("2026-03-02 عرب 🎒",), at.date())
    tickets = [
        PastTicket(moment, ASKED, "Sure 🎒, send it back to us. نعم", at),
        ticket("b", ASKED, REFUSAL),
        ticket("d", ASKED, "No, we won't. " + "The period is over. " * 5000),
    ]
    examples = mine(tickets, encoder).examples
    assert mine(tickets, encoder).examples == examples
    assert {example.at for example in examples if example.pair.customer.id == "c"} == {at}
    assert [example.label for example in examples if example.pair.customer.id == "c"] == [1, 0]
    lines = "".join(json.dumps(as_row(example)) + "\n" for example in examples)
    assert tuple(read_examples(io.StringIO(lines), name="g.jsonl")) == examples


def test_more_tickets_than_a_block_all_find_their_opposite(encoder: Encoder) -> None:
    granted = [ticket(f"a-{n}", ASKED, GRANT) for n in range(300)]
    refused = [ticket(f"b-{n}", ASKED, REFUSAL) for n in range(300)]
    mined = mine([*granted, *refused], encoder)
    assert negatives(mined) == [
        *((f"a-{n}", ASKED, REFUSAL) for n in range(300)),
        *((f"b-{n}", ASKED, GRANT) for n in range(300)),
    ]


def test_no_tickets_give_no_examples(encoder: Encoder) -> None:
    assert mine([], encoder) == Mined((), 0)
