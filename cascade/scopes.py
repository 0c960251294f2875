"""Who else may be offered an answer: everybody, its customer's segment, or that customer alone.

In doubt it is the narrower scope: an answer that others could have had costs a model call, one that
they should not have had costs a customer's trust.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cascade.guards import MOST_CHARACTERS, dates_in, identifiers_in, numbers_in
from cascade.redaction import redact
from cascade.text import stem
from scoring.customer import Customer, Feature

Scope = Literal["public", "segment", "customer"]
"""From the widest to the narrowest."""

HoldsFor = Callable[[Sequence[Customer]], Sequence[float]]
"""The chance that the answer is right for each of these customers, in their order."""

PEERS = 5
"""So many other customers of a segment must be judged before it counts as judged."""

OTHER_SEGMENTS = 2
"""So many segments besides the customer's own must be judged before an answer is public."""

LONG_NUMBER = re.compile(r"\d{4,}")
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
CAPITALISED = re.compile(r"(?<![.!?:;\n] )(?<![.!?:;\n\"“(])(?<!^)\b[A-Z][^\W\d_]+", re.MULTILINE)
GREETED = re.compile(
    r"\b(?i:hi|hello|hey|dear|hallo|bonjour|hola|thanks|thank you|sorry)[, ]+"
    r"(?:(?i:mr|mrs|ms|dr|herr|frau)\.? )?([A-Z][^\W\d_]+)"
)
ANYBODY = frozenset("there customer team all everyone sir madam valued again for i we you".split())
NOT_NAMES = frozenset(
    "i monday tuesday wednesday thursday friday saturday sunday january february march april may "
    "june july august september october november december english german french vat usd eur gbp "
    "faq pdf url sms yes no ok".split()
)
COMMON = frozenset(
    "a about after again all also an and any are as at be because been before but by can could "
    "day days did do does for from get got had has have he her here him his how i if in into is "
    "it its just last like may me more my new no not now of off on once one only or other our out "
    "over per please she should since so some such than thank thanks that the their them then "
    "there these they this those through to today too until up us was we were what when where "
    "which while who why will with within would yes yet you your yours hello hi dear ask asked "
    "answer answered question contact contacted customer support help team told said".split()
)
"""Words that say nothing about anybody."""


@dataclass(frozen=True)
class Placed:
    """The scope of an answer, and in a few words why it is no wider."""

    scope: Scope
    reason: str


@dataclass(frozen=True)
class Told:
    """An answer, what it was an answer to, and what is public anyway.

    `names` are the customer's own, beside those in the profile; `known` are texts anybody may read:
    the passages and macros it was made from.
    """

    question: str
    answer: str
    names: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


def place(
    told: Told,
    customer: Customer,
    *,
    others: Sequence[Customer],
    holds_for: HoldsFor,
    threshold_for: Callable[[str | None], float],
) -> Placed:
    """The widest scope that is safe for an answer given to this customer.

    `others` is a sample of the tenant's customers, several of each segment; the one it was given to
    is left out of it. `holds_for` is asked only where nothing personal is in the answer.
    """
    personal = personal_in(told, customer)
    if personal is not None:
        return Placed("customer", personal)
    left = [other for other in others if other.id != customer.id]
    by_segment = _chances(left, holds_for)
    holds = {
        segment: len(chances) >= PEERS and min(chances) >= threshold_for(segment)
        for segment, chances in by_segment.items()
    }
    if customer.segment is None or not holds.get(customer.segment, False):
        return Placed("customer", "not shown to hold for others of the same segment")
    if names_segment(told, customer.segment):
        return Placed("segment", "names the segment")
    apart = [held for segment, held in holds.items() if segment != customer.segment]
    if len(apart) < OTHER_SEGMENTS or not all(apart):
        return Placed("segment", "not shown to hold for other segments")
    return Placed("public", "names nothing personal and holds for every segment")


def personal_in(told: Told, customer: Customer) -> str | None:
    """What kind of personal data is in the answer or its question, or None.

    The question counts because it is stored beside the answer, whoever is offered that.
    """
    return next((reason for reason, found in _findings(told, customer) if found), None)


def names_segment(told: Told, segment: str) -> bool:
    """Whether the answer names its customer's segment, in any spelling."""
    return _names(told.answer, segment)


def _findings(told: Told, customer: Customer) -> Iterable[tuple[str, bool]]:
    """Each kind of personal data and whether it is there, the cheapest to find first."""
    both = f"{told.question}\n{told.answer}"
    yield "is too long to be looked through", len(both) > MOST_CHARACTERS
    yield "holds an address, phone or account number", redact(both) != both
    yield (
        "holds an order, product or other long number",
        bool(identifiers_in(both) or LONG_NUMBER.search(both)),
    )
    yield "names a date", bool(dates_in(both))
    yield "names the customer", _names_person(both, customer, told.names)
    yield "greets somebody by name", _greets(told.answer)
    yield "names something of the customer's profile", _names_feature(told, customer)
    yield "names something of the customer's history", _names_history(told, customer)
    yield "may name a person or place", _may_name(told, customer.segment)


def _chances(others: Sequence[Customer], holds_for: HoldsFor) -> Mapping[str, list[float]]:
    by_segment: dict[str, list[float]] = {}
    chances = holds_for(others) if others else ()
    for other, chance in zip(others, chances, strict=True):
        if other.segment is not None:
            by_segment.setdefault(other.segment, []).append(float(chance))
    return by_segment


def _names_person(text: str, customer: Customer, names: Iterable[str]) -> bool:
    ids = [customer.id] if len(customer.id) > 1 else []
    words = [word for name in names for word in WORD.findall(name) if len(word) > 1]
    return any(_names(text, each) for each in (*ids, *words))


def _greets(text: str) -> bool:
    return any(found[1].casefold() not in ANYBODY for found in GREETED.finditer(text))


def _names_feature(told: Told, customer: Customer) -> bool:
    numbers = numbers_in(told.answer)
    for value in customer.features.values():
        if isinstance(value, bool) or value == customer.segment:
            continue
        if isinstance(value, str):
            if _names_any_word(told.answer, value):
                return True
        elif float(value) in numbers:
            return True
    return False


def _names_any_word(text: str, value: Feature) -> bool:
    words = [word for word in _words(str(value)) if word.casefold() not in COMMON]
    return any(_names(text, word) for word in words)


def _names_history(told: Told, customer: Customer) -> bool:
    """Whether the answer takes a word or number from the history that is not public anyway."""
    history = "\n".join(customer.history)
    if numbers_in(history) & numbers_in(told.answer):
        return True
    public = _content(told.question) | _content(" ".join(told.known))
    return bool((_content(history) & _content(told.answer)) - public)


def _may_name(told: Told, segment: str | None) -> bool:
    """Whether a capitalised word inside a sentence is neither public nor a common one."""
    texts = (*told.known, segment or "")
    public = {word.casefold() for text in texts for word in _words(text)}
    found = {word.casefold() for word in CAPITALISED.findall(told.answer)}
    return bool(found - public - NOT_NAMES)


def _words(text: str) -> list[str]:
    return WORD.findall(text.replace("_", " "))


def _content(text: str) -> set[str]:
    return {stem(word) for word in _words(text) if word.casefold() not in COMMON} - {""}


def _names(text: str, value: str) -> bool:
    """Whether the words of a value stand together in a text, in any spelling and inflection."""
    sought = [stem(word) for word in _words(value)]
    words = [stem(word) for word in _words(text)]
    places = range(len(words) - len(sought) + 1)
    return bool(sought) and any(words[at : at + len(sought)] == sought for at in places)
