"""The synthetic shop: the same at every run, balanced, and true to its written policy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from cascade import Deadline, DraftRequest, Macro, Macros
from scoring.customer import Customer
from scoring.encoder import Encoder
from webapp.demo import policy
from webapp.demo.macros import WITHOUT_MACRO
from webapp.demo.phrasings import PHRASINGS
from webapp.demo.policy import TOPICS
from webapp.demo.records import SEGMENTS, DemoCustomer, DemoExample, Shop
from webapp.demo.shop import build_shop, right_answer_is
from webapp.demo.tickets import PAST_PER_TOPIC

TODAY = date(2026, 11, 1)
STANCES = [(topic.name, stance) for topic in TOPICS for stance in topic.stances]
DIGEST = (
    "import hashlib; from webapp.demo.shop import build_shop; "
    "print(hashlib.sha256(repr(build_shop()).encode()).hexdigest())"
)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return build_shop(today=TODAY)


@pytest.fixture(scope="module")
def customers(shop: Shop) -> dict[str, DemoCustomer]:
    return {customer.external_id: customer for customer in shop.customers}


@pytest.fixture(scope="module")
def policy_examples(shop: Shop) -> list[DemoExample]:
    return [example for example in shop.examples if example.kind == "policy"]


def _right_labels(examples: Iterable[DemoExample], known: dict[str, DemoCustomer]) -> list[bool]:
    return [
        example.label
        == (right_answer_is(example.topic, known[example.customer_id]) == example.stance)
        for example in examples
    ]


def _digest(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_two_processes_with_other_hash_seeds_build_the_same_shop() -> None:
    assert _digest("1") == _digest("2") != ""


def test_another_seed_builds_another_shop(shop: Shop) -> None:
    assert build_shop(seed=8, today=TODAY).customers != shop.customers


def test_the_shop_is_called_synthetic(shop: Shop) -> None:
    assert "synthetic" in shop.name


def test_every_segment_has_as_many_customers_and_a_third_of_them_held_out(shop: Shop) -> None:
    per_segment = Counter(customer.segment for customer in shop.customers)
    held_out = Counter(customer.segment for customer in shop.customers if customer.held_out)
    assert per_segment == dict.fromkeys(SEGMENTS, 90)
    assert held_out == dict.fromkeys(SEGMENTS, 30)


def test_customers_have_the_features_that_the_formats_promise(shop: Shop) -> None:
    keys = {tuple(customer.features) for customer in shop.customers}
    assert len(keys) == 1
    for customer in shop.customers:
        assert customer.features["membership"] == customer.segment
        assert type(customer.features["days_since_purchase"]) is int
        assert customer.features["order_status"] in {"processing", "in_transit", "delivered"}
        assert customer.features["region"] in {"EU", "UK", "US", "CA"}
        assert customer.email.endswith("@example.com")


def test_ids_are_unique_and_say_nothing_about_the_segment(shop: Shop) -> None:
    ids = [customer.external_id for customer in shop.customers]
    assert ids == [f"c-{number}" for number in range(1, len(ids) + 1)]
    assert {customer.segment for customer in shop.customers[:40]} == set(SEGMENTS)


def test_history_is_past_sorted_and_shows_what_decides(shop: Shop) -> None:
    year_ago = TODAY - timedelta(days=policy.VOUCHER_REST_DAYS)
    for customer in shop.customers:
        days = [day for day, _ in customer.history]
        assert 1 <= len(days) <= 5
        assert days == sorted(days)
        assert days[-1] < TODAY
        shown = [
            text
            for day, text in customer.history[-3:]
            if day > year_ago and policy.grants_voucher(text)
        ]
        assert bool(shown) == (right_answer_is("goodwill", customer) == "had_one")


@pytest.mark.parametrize(("topic", "stance"), STANCES)
def test_no_stance_is_right_for_nearly_all_or_nearly_none(
    shop: Shop, topic: str, stance: str
) -> None:
    right = sum(right_answer_is(topic, customer) == stance for customer in shop.customers)
    assert 0.2 <= right / len(shop.customers) <= 0.8


@pytest.mark.parametrize("segment", SEGMENTS)
def test_within_a_segment_other_features_still_decide_most_topics(shop: Shop, segment: str) -> None:
    members = [customer for customer in shop.customers if customer.segment == segment]
    varied = [
        topic.name for topic in TOPICS if len({topic.right_stance(each) for each in members}) > 1
    ]
    assert len(varied) > len(TOPICS) / 2


def test_the_history_alone_decides_goodwill(shop: Shop) -> None:
    customer = next(c for c in shop.customers if right_answer_is("goodwill", c) == "had_one")
    assert right_answer_is("goodwill", replace(customer, history=())) == "voucher"
    later = replace(customer, as_of=TODAY + timedelta(days=policy.VOUCHER_REST_DAYS))
    assert right_answer_is("goodwill", later) == "voucher"


@pytest.mark.parametrize(
    ("segment", "days", "stance"),
    [
        ("guest", 14, "open"),
        ("guest", 15, "closed"),
        ("gold", 60, "open"),
        ("gold", 61, "closed"),
    ],
)
def test_the_return_window_ends_on_its_very_day(
    shop: Shop, segment: str, days: int, stance: str
) -> None:
    member = next(customer for customer in shop.customers if customer.segment == segment)
    moved = replace(member, features={**member.features, "days_since_purchase": days})
    assert right_answer_is("return_window", moved) == stance


@pytest.mark.parametrize(
    ("topic", "numbers"),
    [
        ("return_window", policy.RETURN_DAYS.values()),
        ("return_shipping", [policy.RETURN_LABEL_FEE, *policy.FREE_LABEL_REGIONS]),
        ("cancel_order", policy.RECALL_TIERS),
        ("faulty_item", policy.REJECT_DAYS.values()),
        ("price_match", [policy.GUEST_MATCH_TOTAL]),
        ("refund_method", policy.CREDIT_REGIONS),
        ("points", policy.POINTS_NEEDED.values()),
        ("invoice", [policy.INVOICE_ORDERS]),
        ("goodwill", [policy.VOUCHER_REST_DAYS]),
        ("repair_pickup", [*policy.PICKUP_TIERS, *policy.PICKUP_REGIONS]),
    ],
)
def test_passages_carry_what_the_rules_use(
    shop: Shop, topic: str, numbers: Iterable[object]
) -> None:
    title = policy.TOPIC_BY_NAME[topic].title
    body = next(passage.body for passage in shop.passages if passage.title == title)
    for number in numbers:
        assert re.search(rf"(?<![\w.]){re.escape(str(number))}(?![\w])", body)


def test_answers_and_macros_name_no_other_fee_than_the_policy(shop: Shop) -> None:
    fees = {policy.RETURN_LABEL_FEE}
    texts = [macro.body for macro in shop.macros] + [e.answer for e in shop.examples]
    named = {fee for text in texts for fee in re.findall(r"([\d.]+) EUR", text)}
    assert named == fees


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS])
def test_every_topic_has_enough_wordings(topic: str) -> None:
    phrasing = PHRASINGS[topic]
    assert set(phrasing.answers) == set(policy.TOPIC_BY_NAME[topic].stances)
    for wordings in (phrasing.questions, *phrasing.answers.values()):
        assert len(set(wordings.train)) >= 14
        assert len(set(wordings.heldout)) >= 6


def test_no_wording_stands_twice() -> None:
    wordings = [
        text.lower()
        for phrasing in PHRASINGS.values()
        for group in (phrasing.questions, *phrasing.answers.values())
        for text in (*group.train, *group.heldout)
    ]
    assert [text for text, count in Counter(wordings).items() if count > 1] == []


def test_there_are_as_many_examples_as_training_needs(shop: Shop) -> None:
    counts = Counter((example.kind, example.split) for example in shop.examples)
    assert counts == {
        ("policy", "train"): 3080,
        ("policy", "heldout"): 1320,
        ("unrelated", "train"): 300,
        ("unrelated", "heldout"): 200,
    }


def test_every_segment_has_its_share_of_the_examples(
    policy_examples: list[DemoExample], customers: dict[str, DemoCustomer]
) -> None:
    per_segment = Counter(
        customers[example.customer_id].segment
        for example in policy_examples
        if example.split == "train"
    )
    assert all(500 <= per_segment[segment] <= 700 for segment in SEGMENTS)


def test_labels_are_balanced_given_question_and_answer(policy_examples: list[DemoExample]) -> None:
    labels: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for example in policy_examples:
        labels[example.split, example.question, example.answer].append(example.label)
    assert all(2 * sum(found) == len(found) for found in labels.values())


def test_the_same_answer_is_right_for_one_customer_and_wrong_for_another(
    policy_examples: list[DemoExample],
) -> None:
    by_label: dict[tuple[str, str], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for example in policy_examples:
        by_label[example.question, example.answer][example.label].add(example.customer_id)
    assert all(found[0] and found[1] for found in by_label.values())
    assert all(found[0].isdisjoint(found[1]) for found in by_label.values())


def test_both_labels_occur_in_a_segment_wherever_the_policy_permits(
    policy_examples: list[DemoExample], customers: dict[str, DemoCustomer]
) -> None:
    for split in ("train", "heldout"):
        mine = [c for c in customers.values() if c.held_out == (split == "heldout")]
        permitted = {
            (c.segment, topic, stance, int(right_answer_is(topic, c) == stance))
            for c in mine
            for topic, stance in STANCES
        }
        found = {
            (customers[e.customer_id].segment, e.topic, e.stance, e.label)
            for e in policy_examples
            if e.split == split
        }
        assert found == permitted


def test_labels_agree_with_the_policy(
    policy_examples: list[DemoExample], shop: Shop, customers: dict[str, DemoCustomer]
) -> None:
    assert all(_right_labels(policy_examples, customers))
    macros = [example for example in shop.macro_examples if example.kind == "macro"]
    assert all(_right_labels(macros, customers))


def test_unrelated_answers_are_never_right(shop: Shop) -> None:
    everything = (*shop.examples, *shop.macro_examples)
    assert {e.label for e in everything if e.kind == "unrelated"} == {0}


@pytest.mark.parametrize("part", ["customer_id", "question", "answer"])
def test_the_splits_share_nothing(shop: Shop, part: str) -> None:
    train = {getattr(e, part) for e in (*shop.examples, *shop.macro_examples) if e.split == "train"}
    held_out = {getattr(e, part) for e in shop.examples if e.split == "heldout"}
    assert train
    assert held_out
    assert train.isdisjoint(held_out)


def test_each_example_is_of_a_customer_of_its_split(
    shop: Shop, customers: dict[str, DemoCustomer]
) -> None:
    for example in (*shop.examples, *shop.macro_examples):
        assert customers[example.customer_id].held_out == (example.split == "heldout")


def test_there_is_one_macro_for_every_stance_but_those_left_to_models(shop: Shop) -> None:
    assert [(macro.topic, macro.stance) for macro in shop.macros] == [
        (topic, stance) for topic, stance in STANCES if topic not in WITHOUT_MACRO
    ]
    assert len({macro.title for macro in shop.macros}) == len(shop.macros)


def test_every_answer_to_a_question_is_offered_and_none_to_another(
    shop: Shop, encoder: Encoder
) -> None:
    """Of two macros on a topic each has half the questions, so the right one may be the farther."""
    taken: Counter[str] = Counter()
    macros: list[Macro] = []
    for each in shop.macros:
        questions = each.questions[taken[each.topic] :: 2]
        taken[each.topic] += 1
        macros.append(Macro(each.external_id, each.title, questions, each.body))
    provider = Macros(macros, encoder.embed)
    someone = shop.customers[0]
    about = {each.filled_for(someone): each.topic for each in shop.macros}
    customer = Customer("c", None, dict(someone.features))

    def topics(question: str) -> Counter[str]:
        drafts = provider.draft(DraftRequest(question, customer), deadline=Deadline.after(60))
        return Counter(about[text] for text in drafts.texts)

    covered = set(about.values())
    asked = {
        each.question: each.topic
        for each in shop.examples
        if each.split == "heldout" and each.kind == "policy" and each.topic in covered
    }
    offered = [(topic, topics(question)) for question, topic in asked.items()]
    answered = [(topic, found) for topic, found in offered if found]
    assert len(answered) > 0.85 * len(offered)
    assert sum(found[topic] == 2 for topic, found in answered) > 0.95 * len(answered)
    assert sum(found == {topic: 2} for topic, found in answered) > 0.85 * len(answered)


def test_every_macro_can_be_filled_for_every_customer(shop: Shop) -> None:
    for macro in shop.macros:
        for customer in shop.customers:
            assert not re.search(r"[{}]", macro.filled_for(customer))


def test_macro_examples_are_balanced_given_the_macro(shop: Shop) -> None:
    labels: dict[tuple[str, str], list[int]] = defaultdict(list)
    for example in shop.macro_examples:
        if example.kind == "macro":
            labels[example.topic, example.stance].append(example.label)
    assert set(labels) == {(macro.topic, macro.stance) for macro in shop.macros}
    assert all(2 * sum(found) == len(found) for found in labels.values())


def test_tickets_are_past_with_a_reply_or_open_and_recent(shop: Shop) -> None:
    midnight = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    waiting = [ticket for ticket in shop.tickets if ticket.reply is None]
    past = [ticket for ticket in shop.tickets if ticket.reply is not None]
    assert len(past) >= 220
    assert len(waiting) >= 120
    assert all(t.replied_at and t.created_at < t.replied_at < midnight for t in past)
    assert all(midnight - timedelta(days=10) <= t.created_at < midnight for t in waiting)
    assert all(ticket.replied_at is None for ticket in waiting)


def test_ticket_ids_follow_time_and_the_texts_are_whole(
    shop: Shop, customers: dict[str, DemoCustomer]
) -> None:
    times = [ticket.created_at for ticket in shop.tickets]
    assert times == sorted(times)
    assert [t.external_id for t in shop.tickets] == [f"T-{n}" for n in range(1, len(times) + 1)]
    for ticket in shop.tickets:
        assert ticket.customer_id in customers
        assert ticket.subject
        assert not re.search(r"[{}]", f"{ticket.subject}{ticket.body}{ticket.reply}")


def test_past_replies_are_right_for_their_customers(
    shop: Shop, customers: dict[str, DemoCustomer]
) -> None:
    stances = {
        text: (topic, stance)
        for topic, phrasing in PHRASINGS.items()
        for stance, wordings in phrasing.answers.items()
        for text in wordings.train
    }
    checked = 0
    for ticket in shop.tickets:
        said = [meant for text, meant in stances.items() if text in (ticket.reply or "")]
        for topic, stance in said:
            assert right_answer_is(topic, customers[ticket.customer_id]) == stance
        checked += bool(said)
    assert checked == PAST_PER_TOPIC * len(TOPICS)


def test_contact_data_is_invented(shop: Shop) -> None:
    text = " ".join(f"{ticket.body} {ticket.reply}" for ticket in shop.tickets)
    assert all(phone.startswith("+1-555-01") for phone in re.findall(r"\+[\d-]+", text))
    assert all(mail.endswith("@example.com") for mail in re.findall(r"\S+@[\w.]+\w", text))
    assert "+1-555-01" in text
    assert "@example.com" in text


def test_the_newest_tickets_show_every_segment_and_a_question_on_the_edge(
    shop: Shop, customers: dict[str, DemoCustomer]
) -> None:
    newest = shop.tickets[-15:]
    asked = [customers[ticket.customer_id] for ticket in newest]
    assert {customer.segment for customer in asked} == set(SEGMENTS)
    gold, guest = asked[-1], asked[-2]
    assert newest[-1].body == newest[-2].body
    assert right_answer_is("return_window", gold) == "open"
    assert right_answer_is("return_window", guest) == "closed"
