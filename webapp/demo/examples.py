"""Labelled examples in which the same question and answer is right for one, wrong for another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from webapp.demo.chance import stream
from webapp.demo.phrasings import PHRASINGS
from webapp.demo.phrasings.other import CLOSERS, ITEMS, OPENERS, OUTSIDE, VACUOUS
from webapp.demo.policy import TOPIC_BY_NAME, TOPICS, Topic
from webapp.demo.records import SEGMENTS, DemoCustomer, DemoExample, DemoMacro, Split

TEXTS_PER_STANCE_AND_SEGMENT: dict[Split, int] = {"train": 7, "heldout": 6}
CUSTOMERS_PER_TEXT: dict[Split, int] = {"train": 2, "heldout": 1}
"""How many customers a question and answer is right for, and for as many it is wrong."""
UNRELATED_PER_SEGMENT: dict[Split, int] = {"train": 60, "heldout": 40}
MACROS_PER_SEGMENT = 1

# Two topics of one family can answer each other's questions by accident.
_FAMILY = {
    "return_window": "goods",
    "return_shipping": "goods",
    "faulty_item": "goods",
    "refund_method": "goods",
    "cancel_order": "goods",
    "repair_pickup": "goods",
    "address_change": "delivery",
    "invoice": "money",
    "price_match": "money",
    "points": "money",
    "goodwill": "money",
}
_SCALE = {
    "days_since_purchase": 30.0,
    "order_total": 100.0,
    "loyalty_points": 300.0,
    "lifetime_orders": 6.0,
}
_LEAST_TELLING_WORDS = 6
Pair = tuple[DemoCustomer, DemoCustomer]
Sides = tuple[list[DemoCustomer], list[DemoCustomer]]


def build_examples(customers: Sequence[DemoCustomer], *, seed: int) -> tuple[DemoExample, ...]:
    """Policy and unrelated examples of both splits; no customer or wording is in two splits."""
    splits: tuple[Split, ...] = ("train", "heldout")
    return tuple(
        example
        for split in splits
        for examples in (_policy_examples, _unrelated_examples)
        for example in examples(customers_of(split, customers), split, stream(split, seed))
    )


def build_macro_examples(
    customers: Sequence[DemoCustomer], macros: Sequence[DemoMacro], *, seed: int
) -> tuple[DemoExample, ...]:
    """Filled macros, right and wrong equally often per macro and segment; train split only."""
    random = stream("macros", seed)
    train = customers_of("train", customers)
    return tuple(example for macro in macros for example in _filled_both_ways(macro, train, random))


def _filled_both_ways(
    macro: DemoMacro, customers: Sequence[DemoCustomer], random: Random
) -> Iterator[DemoExample]:
    """Per segment, questions with the macro filled for a right and for a wrong customer."""
    topic = TOPIC_BY_NAME[macro.topic]
    sides = sides_of(topic, macro.stance, customers)
    for segment in SEGMENTS:
        for turn in range(MACROS_PER_SEGMENT):
            question = ask(macro.topic, "train", random)
            pair = pick_pair(topic, sides, segment, turn, random)
            for customer, label in zip(pair, (1, 0), strict=True):
                yield _macro_example(macro, customer, question, label)


def _macro_example(
    macro: DemoMacro, customer: DemoCustomer, question: str, label: int
) -> DemoExample:
    return DemoExample(
        customer_id=customer.external_id,
        question=question,
        answer=macro.filled_for(customer),
        label=label,
        topic=macro.topic,
        stance=macro.stance,
        kind="macro",
        split="train",
    )


def customers_of(split: Split, customers: Sequence[DemoCustomer]) -> list[DemoCustomer]:
    """The customers whose examples belong to a split."""
    return [customer for customer in customers if customer.held_out == (split == "heldout")]


def ask(topic: str, split: Split, random: Random) -> str:
    """A question on a topic, some of them typed carelessly."""
    return _worded_question(random.choice(PHRASINGS[topic].questions.of(split)), split, random)


def answer(topic: str, stance: str, split: Split, random: Random) -> str:
    """An answer that takes a stance, sometimes with polite words around it."""
    return _politely(random.choice(PHRASINGS[topic].answers[stance].of(split)), split, random)


def pick_pair(topic: Topic, sides: Sides, segment: str, turn: int, random: Random) -> Pair:
    """One customer for whom the stance is right, one for whom it is wrong; one is of `segment`.

    Both are of the segment where the policy permits, save on every fifth turn. On even turns they
    are the most alike, in what decides the topic, of four right ones and their nearest wrong ones.
    """
    rights, wrongs = _of_segment(sides, segment, across=turn % 5 == 4)
    if turn % 2:
        return random.choice(rights), random.choice(wrongs)
    tried = random.sample(rights, min(len(rights), 4))
    pairs = [(right, _nearest(right, wrongs, topic, random)) for right in tried]
    return min(pairs, key=lambda pair: _distance(topic, *pair))


def sides_of(topic: Topic, stance: str, customers: Sequence[DemoCustomer]) -> Sides:
    """The customers for whom a stance is right, and those for whom it is wrong."""
    rights: list[DemoCustomer] = []
    wrongs: list[DemoCustomer] = []
    for customer in customers:
        (rights if topic.right_stance(customer) == stance else wrongs).append(customer)
    return rights, wrongs


def _of_segment(sides: Sides, segment: str, *, across: bool) -> Sides:
    """The sides within a segment, or one of them from the other segments."""
    rights, wrongs = sides
    own_rights = [customer for customer in rights if customer.segment == segment]
    own_wrongs = [customer for customer in wrongs if customer.segment == segment]
    if own_rights and own_wrongs and not across:
        return own_rights, own_wrongs
    if own_rights:
        return own_rights, [customer for customer in wrongs if customer.segment != segment]
    return rights, own_wrongs


def _nearest(
    right: DemoCustomer, wrongs: Sequence[DemoCustomer], topic: Topic, random: Random
) -> DemoCustomer:
    shuffled = random.sample(list(wrongs), len(wrongs))
    return min(shuffled, key=lambda wrong: _distance(topic, right, wrong))


def _distance(topic: Topic, one: DemoCustomer, other: DemoCustomer) -> float:
    """How much two customers differ in the features that decide a topic; 1 per category."""
    return sum(_difference(name, one, other) for name in topic.deciding)


def _difference(feature: str, one: DemoCustomer, other: DemoCustomer) -> float:
    if feature in _SCALE:
        return abs(one.number(feature) - other.number(feature)) / _SCALE[feature]
    return float(one.features[feature] != other.features[feature])


def _policy_examples(
    customers: Sequence[DemoCustomer], split: Split, random: Random
) -> Iterator[DemoExample]:
    """For each stance and segment some (question, answer), each as often right as wrong."""
    for topic in TOPICS:
        for stance in topic.stances:
            texts = _texts(topic.name, stance, split, random)
            for asked in _askers(topic, sides_of(topic, stance, customers), split, random):
                question, reply = next(texts)
                for customer, label in asked:
                    yield DemoExample(
                        customer.external_id,
                        question,
                        reply,
                        label,
                        topic.name,
                        stance,
                        "policy",
                        split,
                    )


def _askers(
    topic: Topic, sides: Sides, split: Split, random: Random
) -> Iterator[list[tuple[DemoCustomer, int]]]:
    """For one text after the other, who asks and whether the answer is right for them."""
    for segment in SEGMENTS:
        for turn in range(TEXTS_PER_STANCE_AND_SEGMENT[split]):
            pairs = [
                pick_pair(topic, sides, segment, turn + each, random)
                for each in range(CUSTOMERS_PER_TEXT[split])
            ]
            yield [asker for right, wrong in pairs for asker in ((right, 1), (wrong, 0))]


def _texts(topic: str, stance: str, split: Split, random: Random) -> Iterator[tuple[str, str]]:
    """Endless (question, answer) that use every wording about equally often."""
    questions = _endless(PHRASINGS[topic].questions.of(split), random)
    answers = _endless(PHRASINGS[topic].answers[stance].of(split), random)
    while True:
        question = _worded_question(next(questions), split, random)
        yield question, _politely(next(answers), split, random)


def _endless(wordings: Sequence[str], random: Random) -> Iterator[str]:
    while True:
        yield from random.sample(list(wordings), len(wordings))


def _worded_question(template: str, split: Split, random: Random) -> str:
    question = template.replace("{item}", random.choice(ITEMS.of(split)))
    return question.lower().rstrip("?.!") if random.random() < 0.12 else question


def _politely(core: str, split: Split, random: Random) -> str:
    parts = [core]
    if random.random() < 0.25:
        parts.insert(0, random.choice(OPENERS.of(split)))
    if random.random() < 0.25:
        parts.append(random.choice(CLOSERS.of(split)))
    return " ".join(parts)


def _unrelated_examples(
    customers: Sequence[DemoCustomer], split: Split, random: Random
) -> Iterator[DemoExample]:
    """Answers to another question, answers that say nothing, and questions outside the policy."""
    makers = (_other_topic, _other_topic, _vacuous, _other_topic, _outside)
    for segment in SEGMENTS:
        members = [customer for customer in customers if customer.segment == segment]
        for turn in range(UNRELATED_PER_SEGMENT[split]):
            topic, question, reply = makers[turn % len(makers)](split, random)
            customer = random.choice(members)
            yield DemoExample(
                customer.external_id, question, reply, 0, topic, "none", "unrelated", split
            )


def _other_topic(split: Split, random: Random) -> tuple[str, str, str]:
    topic = random.choice(TOPICS).name
    others = [other.name for other in TOPICS if _FAMILY[other.name] != _FAMILY[topic]]
    return topic, ask(topic, split, random), _telling_answer(random.choice(others), split, random)


def _vacuous(split: Split, random: Random) -> tuple[str, str, str]:
    topic = random.choice(TOPICS).name
    reply = _politely(random.choice(VACUOUS.of(split)), split, random)
    return topic, ask(topic, split, random), reply


def _outside(split: Split, random: Random) -> tuple[str, str, str]:
    question = _worded_question(random.choice(OUTSIDE.of(split)), split, random)
    return "outside", question, _telling_answer(random.choice(TOPICS).name, split, random)


def _telling_answer(topic: str, split: Split, random: Random) -> str:
    """An answer long enough to belong to its topic and to no other."""
    cores = [
        core
        for wording in PHRASINGS[topic].answers.values()
        for core in wording.of(split)
        if len(core.split()) >= _LEAST_TELLING_WORDS
    ]
    return _politely(random.choice(cores), split, random)
