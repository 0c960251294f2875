"""Labelled examples from past tickets: each reply suits its customer, some suit no other.

A reply is a positive for the customer who got it. A negative is a reply that another customer got
to a question alike, where the outcome was the opposite: granted here, refused there. What a reply
grants is read by the stored start, which has seen none of these tickets.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scoring.encoder import Encoder
from scoring.examples import Example, Pair, numbered
from scoring.learning import Learner
from scoring.network import read_parts
from scoring.start import start_for
from scoring.tickets import PastTicket

Text = tuple[str, str]
"""A question and an answer to it."""
Odds = NDArray[np.float64]
Vectors = NDArray[np.float32]
ReadGranting = Callable[[Sequence[Text]], Odds]
"""Returns the log odds that each answer grants what its question asked, (n,)."""

ALIKE = 0.8
"""Two questions whose vectors have at least this cosine are taken to ask the same."""

SURE = 2.5
"""A reply surely grants, or refuses, where the log odds are at least this far from even."""

LOOKED_AT = 100
"""How many replies of opposite outcome are looked at for one ticket, nearest question first."""

TRIED = 5
"""How many of those are read under the ticket's own question, until one differs there too."""

BLOCK = 256
"""Texts are read, and questions compared with all others, so many at a time."""

NUMBER = re.compile(r"\d+")
MAIL = re.compile(r"\S@\S")
WORD = re.compile(r"[^\W\d_]{3,}")
PERSONAL = ("name", "address", "street")
"""A feature with one of these in its name holds words that belong to one customer alone."""


@dataclass(frozen=True)
class Mined:
    """What the tickets gave: positives in the tickets' order, each followed by its negative."""

    examples: tuple[Example, ...]
    customers: int

    @property
    def positives(self) -> int:
        """How many examples are labelled 1: one for each ticket."""
        return sum(example.label for example in self.examples)

    @property
    def negatives(self) -> int:
        """How many examples are labelled 0: at most one for each ticket."""
        return len(self.examples) - self.positives

    @property
    def without_negative(self) -> int:
        """For how many tickets no differing reply was found."""
        return self.positives - self.negatives


@dataclass(frozen=True)
class Differing:
    """Another customer's ticket whose reply differs, and the chance that both are read rightly."""

    ticket: int
    chance: float


def mine(tickets: Sequence[PastTicket], encoder: Encoder) -> Mined:
    """Return the tickets' replies as positives and, where there is one, a negative for each.

    The same tickets and encoder give the same examples.
    """
    read = granting_reader(encoder)
    own = read([(ticket.question, ticket.reply) for ticket in tickets])
    questions = encoder.embed([ticket.question for ticket in tickets], remembered=False)
    alike = _candidates(tickets, questions, own)
    found = _differing(tickets, alike, own, read)
    return Mined(tuple(_examples(tickets, found)), len({ticket.customer.id for ticket in tickets}))


def granting_reader(encoder: Encoder) -> ReadGranting:
    """Return what reads, with the start's layers, whether answers grant what was asked."""
    learner = Learner(encoder)
    learner.load(start_for(encoder))

    def granting(texts: Sequence[Text]) -> Odds:
        distinct = sorted(set(texts))
        odds = dict.fromkeys(distinct, 0.0)
        blocks = [distinct[start : start + BLOCK] for start in range(0, len(distinct), BLOCK)]
        for block in tqdm(blocks, desc="reading replies", leave=False, disable=None):
            read = learner.read(read_parts(encoder, block, remembered=False))[:, 0]
            odds |= zip(block, read.tolist(), strict=True)
        return np.array([odds[text] for text in texts], dtype=np.float64)

    return granting


def _candidates(tickets: Sequence[PastTicket], vectors: Vectors, own: Odds) -> dict[int, list[int]]:
    """Return, by ticket, the nearest tickets whose replies could be its negative, nearest first.

    `vectors` are the questions', (n, dim); `own` are the replies' log odds of granting, (n,).
    """
    customer = numbered([ticket.customer.id for ticket in tickets])
    given = {(ticket.customer.id, ticket.question, ticket.reply) for ticket in tickets}
    marks = [_marks(ticket) for ticket in tickets]
    found: dict[int, list[int]] = {}
    for ticket, others in _alike(vectors, customer, own):
        who, question = tickets[ticket].customer.id, tickets[ticket].question
        numbers = set(NUMBER.findall(question))
        by_reply: dict[str, int] = {}
        for other in others:
            reply = tickets[other].reply
            if marks[other] <= numbers and (who, question, reply) not in given:
                by_reply.setdefault(reply, other)
        found[ticket] = list(by_reply.values())[:TRIED]
    return found


def _alike(
    vectors: Vectors, customer: NDArray[np.intp], own: Odds
) -> Iterator[tuple[int, list[int]]]:
    """Yield each ticket with those alike of other customers and opposite outcome, nearest first.

    Among equally near ones each ticket begins with another, so that a question which many ask
    brings many replies.
    """
    granted, refused = np.flatnonzero(own >= SURE), np.flatnonzero(own <= -SURE)
    for asking, others in ((granted, refused), (refused, granted)):
        for start in range(0, len(asking), BLOCK):
            block = asking[start : start + BLOCK]
            cosine = vectors[block] @ vectors[others].T  # (block, others)
            cosine[customer[block][:, None] == customer[others]] = -1.0
            for ticket, row in zip(block, cosine, strict=True):
                alike = np.flatnonzero(row >= ALIKE)
                order = np.lexsort(((alike - ticket) % len(others), -row[alike].round(2)))
                yield int(ticket), others[alike[order[:LOOKED_AT]]].tolist()


def _differing(
    tickets: Sequence[PastTicket],
    candidates: Mapping[int, Sequence[int]],
    own: Odds,
    read: ReadGranting,
) -> dict[int, Differing]:
    """Return, by ticket, the nearest candidate that differs under the ticket's own question too.

    The first candidates of all tickets are read together, then the second of those still without.
    """
    found: dict[int, Differing] = {}
    for turn in range(TRIED):
        asked = [
            (number, others[turn])
            for number, others in candidates.items()
            if number not in found and turn < len(others)
        ]
        if not asked:
            break
        odds = read([(tickets[number].question, tickets[other].reply) for number, other in asked])
        for (number, other), theirs in zip(asked, odds, strict=True):
            if _differ(own[number], theirs):
                found[number] = Differing(other, _chance(own[number]) * _chance(theirs))
    return found


def _differ(one: float, other: float) -> bool:
    """Whether one of two log odds surely grants and the other surely refuses."""
    return min(one, other) <= -SURE and max(one, other) >= SURE


def _chance(odds: float) -> float:
    """Return the chance that log odds of this size are on the right side, 0.5 to 1."""
    return float(1 / (1 + np.exp(-abs(odds))))


def _examples(tickets: Sequence[PastTicket], found: Mapping[int, Differing]) -> Iterator[Example]:
    for number, ticket in enumerate(tickets):
        yield Example(Pair(ticket.question, ticket.reply, ticket.customer), 1, ticket.at)
        if number in found:
            differing = found[number]
            pair = Pair(ticket.question, tickets[differing.ticket].reply, ticket.customer)
            yield Example(pair, 0, ticket.at, round(differing.chance, 4))


def _marks(ticket: PastTicket) -> frozenset[str]:
    """Return what in a reply may be this customer's own: numbers, e-mail addresses, names, the id.

    Names are the words of features whose name says that they hold a name or an address.
    """
    words = {
        word
        for name, value in ticket.customer.features.items()
        if isinstance(value, str) and any(part in name.casefold() for part in PERSONAL)
        for word in WORD.findall(value)
    }
    told = [
        word
        for word in {*words, ticket.customer.id}
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", ticket.reply, re.IGNORECASE)
    ]
    return frozenset([*NUMBER.findall(ticket.reply), *MAIL.findall(ticket.reply), *told])
