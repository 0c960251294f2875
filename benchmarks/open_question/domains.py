"""The two domains that the question is put to, each drawn anew from a seed: who asks, and what.

The rules and the wordings of a domain are the same for every seed; customers, training examples and
questions are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks import airline
from scoring.customer import Customer
from scoring.examples import Example, read_examples
from webapp.demo.chance import stream
from webapp.demo.examples import answer, ask
from webapp.demo.phrasings.wording import Block
from webapp.demo.policy import TOPIC_BY_NAME, TOPICS
from webapp.demo.records import DemoCustomer, Split
from webapp.demo.seeding import as_scored, write_examples
from webapp.demo.shop import build_shop

DEMO_SEED = 7
"""The seed of the shop that the demo shows; seed 0 here is that shop."""

TRAINING_EXAMPLES = 3000


@dataclass(frozen=True)
class Person:
    """A customer, and per topic whether the domain's own rules grant them what is asked."""

    customer: Customer
    entitled: Mapping[str, bool]


@dataclass(frozen=True)
class Domain:
    """One domain, drawn from a seed.

    `membership` names the feature that a model with little awareness reads. `ask` words a question
    on a topic; `say` words an answer that grants it or refuses it.
    """

    name: str
    seed: int
    membership: str
    topics: tuple[str, ...]
    training: tuple[Example, ...]
    learnt_from: tuple[Person, ...]
    held_out: tuple[Person, ...]
    ask: Callable[[str, Split, Random], str]
    say: Callable[[str, bool, Split, Random], str]


def shop(seed: int) -> Domain:
    """Return the demo shop, or a shop like it with other customers and examples."""
    built = build_shop(seed=DEMO_SEED + seed)
    with TemporaryDirectory() as folder:
        path, _ = write_examples(built, Path(folder))
        with path.open(encoding="utf-8") as source:
            examples = read_examples(source, name=path.name)
    return Domain(
        name="shop",
        seed=seed,
        membership="membership",
        topics=tuple(topic.name for topic in TOPICS),
        training=_of_whole_customers(examples, TRAINING_EXAMPLES, stream("training", seed)),
        learnt_from=tuple(_shopper(each) for each in built.customers if not each.held_out),
        held_out=tuple(_shopper(each) for each in built.customers if each.held_out),
        ask=ask,
        say=_shop_says,
    )


def the_airline(seed: int) -> Domain:
    """Return the invented airline with this seed's customers and examples."""
    examples = airline.examples("train", seed=seed)
    return Domain(
        name="airline",
        seed=seed,
        membership="status",
        topics=tuple(airline.RULES),
        training=_of_whole_customers(examples, TRAINING_EXAMPLES, stream("training", seed)),
        learnt_from=tuple(_flyer(each) for each in airline.customers("train", seed=seed)),
        held_out=tuple(_flyer(each) for each in airline.customers("heldout", seed=seed)),
        ask=_airline_asks,
        say=_airline_says,
    )


DOMAINS: dict[str, Callable[[int], Domain]] = {"shop": shop, "airline": the_airline}


def _of_whole_customers(
    examples: Sequence[Example], most: int, random: Random
) -> tuple[Example, ...]:
    """Return all examples of customers drawn at random, as many as `most` examples allow."""
    by_customer: dict[str, list[Example]] = {}
    for example in examples:
        by_customer.setdefault(example.pair.customer.id, []).append(example)
    drawn: list[Example] = []
    for customer in random.sample(sorted(by_customer), len(by_customer)):
        if len(drawn) + len(by_customer[customer]) <= most:
            drawn += by_customer[customer]
    return tuple(drawn)


def _shopper(customer: DemoCustomer) -> Person:
    # A topic's first stance is the one that grants what is asked.
    entitled = {each.name: each.right_stance(customer) == each.stances[0] for each in TOPICS}
    return Person(as_scored(customer), entitled)


def _shop_says(topic: str, grants: bool, split: Split, random: Random) -> str:
    granting, refusing = TOPIC_BY_NAME[topic].stances
    return answer(topic, granting if grants else refusing, split, random)


def _flyer(customer: Customer) -> Person:
    return Person(customer, {topic: rule(customer) for topic, rule in airline.RULES.items()})


def _airline_wordings() -> dict[Split, dict[str, Block]]:
    """Return the airline's wordings, the held-out ones without any that training has.

    The two hands that wrote them hit upon the same words three times.
    """
    trained, held_out = airline.blocks("train"), airline.blocks("heldout")
    return {
        "train": trained,
        "heldout": {topic: _less(block, trained[topic]) for topic, block in held_out.items()},
    }


def _less(block: Block, known: Block) -> Block:
    def unknown(texts: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
        return tuple(text for text in texts if text not in others)

    return Block(
        unknown(block.questions, known.questions),
        unknown(block.granting, known.granting),
        unknown(block.refusing, known.refusing),
    )


_AIRLINE = _airline_wordings()


def _airline_asks(topic: str, split: Split, random: Random) -> str:
    return random.choice(_AIRLINE[split][topic].questions)


def _airline_says(topic: str, grants: bool, split: Split, random: Random) -> str:
    block = _AIRLINE[split][topic]
    return random.choice(block.granting if grants else block.refusing)
