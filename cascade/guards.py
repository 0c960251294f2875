"""What makes two questions different although an embedding finds them alike.

No similarity threshold tells "turn on" from "turn off", so a similar question passes here first. In
doubt two questions differ: that costs a model call, while the other mistake costs a wrong answer.
Reasons are words of this module, never of a question, so they may be shown to anyone.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from cascade.language import language_of, script_of
from cascade.opposites import AXES, DIRECTED
from cascade.text import stem
from cascade.wording import WORD, Said, said_otherwise

REMEMBERED = 4096
"""Of how many questions the reading is remembered: the asker's is compared with every hit."""

MOST_CHARACTERS = 2000
"""A longer question is not compared: no answer to it is worth a second look."""

NEGATIONS = frozenset(
    "not no never without cannot cant dont doesnt didnt wont isnt wasnt arent werent hasnt havent "
    "hadnt couldnt wouldnt shouldnt mustnt neednt aint nor neither none nobody nothing nowhere "
    "unable fail fails failed refuse refuses refused hardly barely lacking missing "
    "nicht kein keine keinen keiner ohne nie niemals pas jamais sans aucun nunca sin ningún "
    "ninguna senza mai nessun niet geen zonder nooit não sem".split()
)
NOT_NEGATING = re.compile(
    r"\b(?:whether or not|or not|no problem|no worries|no doubt|why not|not only|no matter|"
    r"if not|no\. ?(?=\d))",
    re.IGNORECASE,
)
CONTRACTED = re.compile(r"n['’]t$")

SKIPPED_AFTER_NEGATION = frozenset(
    "a an the any my your our his her its their this that i you we they he she it be been being "
    "am is are was were have has had do does did to yet ever even still longer able really "
    "actually already been get got getting want wants wanted will would can could should just "
    "also in for of on at anymore".split()
)
"""Passed over in the search for the word that is negated."""

UNITS = {
    name: number
    for number, name in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split()
    )
}
TENS = {
    name: 10 * number
    for number, name in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2
    )
}
FACTORS = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
SPOKEN = {"dozen": 12, "couple": 2, "twice": 2, "both": 2, "half": 0.5, "thrice": 3}
ORDINALS = {
    name: number
    for number, name in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth".split(), start=1
    )
}
COUNTED = re.compile(
    r"(?:day|week|month|year|hour|minute|item|piece|pair|box|time|unit|order|parcel|package|bag|"
    r"person|people|user|seat|night|ticket|dollar|euro|pound)s?$"
)
"""What "one" counts; elsewhere it stands for a thing, as in "the blue one"."""

MONTHS = {
    name: number
    for number, name in enumerate(
        "january february march april may june july august september october november "
        "december".split(),
        start=1,
    )
}
MONTHS |= {name[:3]: number for name, number in MONTHS.items() if name != "may"} | {"sept": 9}
AMBIGUOUS_MONTHS = frozenset({"may", "march"})
"""Also plain words: months only beside a number or after a preposition."""
NUMBER_WORDS = re.compile(
    rf"\b(?:{'|'.join((*UNITS, *TENS, *FACTORS, *SPOKEN, *ORDINALS, *NEGATIONS))})\b",
    re.IGNORECASE,
)
"""Numbers and negations in words, which are compared apart from all else that is said."""
WEEKDAYS = r"mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|satur|sun"  # with "day" behind
RELATIVE = re.compile(
    r"\b(today|tonight|tomorrow|yesterday|(?:last|next|this) (?:week|month|year|weekend|"
    rf"(?:{WEEKDAYS})day)|(?:{WEEKDAYS})day|christmas|easter|black friday|new year)s?\b",
    re.IGNORECASE,
)
ISO_DATE = re.compile(r"\b((?:19|20)\d\d)-(\d{1,2})-(\d{1,2})\b")
NUMERIC_DATE = re.compile(r"\b(\d{1,2})([./])(\d{1,2})\2((?:19|20)?\d\d)\b")
ANY_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
MONTH_NAME = re.compile(
    rf"\b(?:(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? )?({ANY_MONTH})"
    r"\b\.?(?: (\d{1,2})(?:st|nd|rd|th)?\b(?! ?(?:%|[a-z]*days)))?(?:,? ((?:19|20)\d\d))?",
    re.IGNORECASE,
)
MONTH_BEFORE = re.compile(
    r"\b(?:in|on|since|until|till|by|of|from|last|next|early|late|mid)\s+$", re.I
)

ADDRESS = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b|\bhttps?://\S+|\bwww\.\S+", re.IGNORECASE)
IDENTIFIER = re.compile(
    r"#\s?[A-Za-z0-9][\w/-]*"
    r"|\b(?=[\w/-]*\d)(?=[\w/-]*[A-Za-z])[A-Za-z0-9]+(?:[-/_][A-Za-z0-9]+)*\b"
    r"|\b\d+(?:[-/]\d+)+\b"
    r"|\b\d{5,}\b"
)
ORDINAL_DIGITS = re.compile(r"^(\d+)(?:st|nd|rd|th)$", re.IGNORECASE)
QUANTITY = re.compile(
    r"^(\d+)(days?|d|h|hrs?|hours?|min|mins|weeks?|months?|years?|eur|usd|gbp|k|x)$", re.IGNORECASE
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
THOUSANDS = re.compile(r"^\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*$")

CURRENCIES = {
    "EUR": re.compile(r"€|\beuros?\b|\beur\b", re.IGNORECASE),
    "USD": re.compile(r"(?<![A-Z])\$|\bdollars?\b|\busd\b|\bbucks\b|US\$", re.IGNORECASE),
    "GBP": re.compile(r"£|\bgbp\b|\bpounds? sterling\b|\bquid\b", re.IGNORECASE),
    "JPY": re.compile(r"¥|\byen\b|\bjpy\b", re.IGNORECASE),
    "CHF": re.compile(r"\bchf\b|\bfrancs?\b", re.IGNORECASE),
    "INR": re.compile(r"₹|\brupees?\b|\binr\b", re.IGNORECASE),
    "PERCENT": re.compile(r"%|\bper ?cent\b", re.IGNORECASE),
}


def differs(one: str, other: str) -> str | None:
    """Why an answer to one question may be none to the other, or None where they ask the same.

    >>> differs("How do I turn on alerts?", "How do I turn off alerts?")
    'one asks the opposite of the other'
    """
    reason = contradicts(one, other)
    if reason is not None or _alike(one, other):
        return reason
    first, second = Reading.of(one).said, Reading.of(other).said
    return None if first is None or second is None else said_otherwise(first, second)


def contradicts(one: str, other: str) -> str | None:
    """What one text says against the other, be they questions or answers, or None."""
    if _alike(one, other):
        return None
    if max(len(one), len(other)) > MOST_CHARACTERS:
        return "one is too long to be compared"
    first, second = Reading.of(one), Reading.of(other)
    return next((reason for reason, apart in GUARDS if apart(first, second)), None)


def _alike(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


class Reading:
    """What the guards compare of one question; made by `of`, which remembers the latest ones."""

    def __init__(self, text: str) -> None:
        plain = text.replace("’", "'")
        self.language, self.script = language_of(plain), script_of(plain)
        self.addresses = frozenset(found[0].casefold() for found in ADDRESS.finditer(plain))
        rest = ADDRESS.sub(" ", plain)
        self.currencies = frozenset(name for name, sign in CURRENCIES.items() if sign.search(rest))
        self.dates, rest = _dates(rest)
        self.identifiers, rest = _identifiers(rest)
        self.numbers = Counter(_numbers(rest))
        self.words = [found[0].casefold() for found in WORD.finditer(NOT_NEGATING.sub(" ", plain))]
        negated = [
            place
            for place, word in enumerate(self.words)
            if word in NEGATIONS or CONTRACTED.search(word)
        ]
        self.negations = len(negated)
        self.negated = frozenset(filter(None, (_word_after(self.words, at) for at in negated)))
        stems = [stem(word) for word in self.words]
        self.plain_stems = Counter(stems) - Counter(self.negated)
        self.sides = frozenset(_sides(plain))
        bare = NOT_NEGATING.sub(" ", NUMBER_WORDS.sub(" ", rest))
        for sign in CURRENCIES.values():
            bare = sign.sub(" ", bare)
        self.said = Said(bare) if self.language in (None, "en") else None
        self.ways = frozenset(
            (stem(found[1]), stem(found[2]))
            for pattern in DIRECTED
            for found in pattern.finditer(plain.casefold())
        )

    @staticmethod
    @lru_cache(REMEMBERED)
    def of(text: str) -> "Reading":
        """The reading of a text."""
        return Reading(text)


def identifiers_in(text: str) -> frozenset[str]:
    """Order numbers, product codes, addresses and the like that a text names, in small letters."""
    addresses = frozenset(found[0].casefold() for found in ADDRESS.finditer(text))
    _, rest = _dates(ADDRESS.sub(" ", text))
    return addresses | _identifiers(rest)[0]


def dates_in(text: str) -> frozenset[tuple[object, ...]]:
    """Days and months that a text names."""
    return _dates(text)[0]


def numbers_in(text: str) -> frozenset[float]:
    """Numbers that a text names, in digits or in words."""
    _, rest = _dates(ADDRESS.sub(" ", text))
    return frozenset(_numbers(_identifiers(rest)[1]))


def _opposite(one: Reading, other: Reading) -> bool:
    mine = {side for side in one.sides if side not in other.sides}
    theirs = {side for side in other.sides if side not in one.sides}
    return any(axis == against for axis, _ in mine for against, _ in theirs)


def _negated_otherwise(one: Reading, other: Reading) -> bool:
    return (
        one.negations != other.negations
        or any(other.plain_stems[word] > 0 and word not in other.negated for word in one.negated)
        or any(one.plain_stems[word] > 0 and word not in one.negated for word in other.negated)
    )


def _languages_differ(one: Reading, other: Reading) -> bool:
    known = one.language is not None and other.language is not None
    return one.script != other.script or (known and one.language != other.language)


def _ways_differ(one: Reading, other: Reading) -> bool:
    return any((end, start) in other.ways for start, end in one.ways)


GUARDS: tuple[tuple[str, Callable[[Reading, Reading], bool]], ...] = (
    ("they are in different languages", _languages_differ),
    (
        "they name different orders, products or addresses",
        lambda one, other: (one.identifiers, one.addresses) != (other.identifiers, other.addresses),
    ),
    ("they name different dates", lambda one, other: one.dates != other.dates),
    (
        "they name different currencies or units",
        lambda one, other: one.currencies != other.currencies,
    ),
    ("they name different numbers", lambda one, other: one.numbers != other.numbers),
    ("one asks the opposite of the other", _opposite),
    ("one goes the other way round", _ways_differ),
    ("one is negated where the other is not", _negated_otherwise),
)


def _sides(text: str) -> Iterator[tuple[int, int]]:
    for axis, sides in enumerate(AXES):
        for side, pattern in enumerate(sides):
            if pattern.search(text):
                yield axis, side


def _word_after(words: list[str], place: int) -> str | None:
    """The stem of the word that a negation is about."""
    for word in words[place + 1 : place + 6]:
        if word not in SKIPPED_AFTER_NEGATION and word not in NEGATIONS:
            return stem(word)
    return None


def _dates(text: str) -> tuple[frozenset[tuple[object, ...]], str]:
    """The dates of a text and the text without them."""
    found: set[tuple[object, ...]] = set()

    def iso(match: re.Match[str]) -> str:
        found.add((int(match[3]), int(match[2]), int(match[1])))
        return " "

    def numeric(match: re.Match[str]) -> str:
        # Day and month first are not told apart: the same digits are the same date.
        year = int(match[4]) + (2000 if len(match[4]) == 2 else 0)
        found.add((int(match[1]), int(match[3]), year))
        return " "

    def named(match: re.Match[str]) -> str:
        name, day = match[2].casefold(), match[1] or match[3]
        before = text_now[: match.start(2)]
        if name in AMBIGUOUS_MONTHS and not day and not MONTH_BEFORE.search(before):
            return match[0]
        year = int(match[4]) if match[4] else None
        found.add((int(day) if day else None, MONTHS[name], year))
        return " "

    def relative(match: re.Match[str]) -> str:
        found.add((match[0].casefold().removesuffix("s"),))
        return " "

    text_now = NUMERIC_DATE.sub(numeric, ISO_DATE.sub(iso, text))
    text_now = MONTH_NAME.sub(named, text_now)
    rest = RELATIVE.sub(relative, text_now)
    return frozenset(found), rest


def _identifiers(text: str) -> tuple[frozenset[str], str]:
    """The identifiers of a text and the text without them."""
    found: set[str] = set()

    def taken(match: re.Match[str]) -> str:
        word = match[0].lstrip("# ")
        quantity = ORDINAL_DIGITS.match(word) or QUANTITY.match(word)
        if quantity and not match[0].startswith("#"):
            return f" {quantity[1]} "
        found.add(re.sub(r"[-/_]", "", word).casefold())
        return " "

    rest = IDENTIFIER.sub(taken, text)
    return frozenset(found), rest


def _numbers(text: str) -> Iterator[float]:
    for match in NUMBER.finditer(text):
        yield _value_of(match[0])
    yield from _spoken_numbers([found[0].casefold() for found in WORD.finditer(text)])


def _value_of(digits: str) -> float:
    if THOUSANDS.match(digits):
        return float(re.sub(r"[.,]", "", digits))
    whole, _, fraction = digits.replace(",", ".").rpartition(".")
    return float(f"{whole.replace('.', '')}.{fraction}" if whole else fraction)


def _spoken_numbers(words: Iterable[str]) -> Iterator[float]:
    """Numbers in words: "twenty one", "three hundred", "a dozen"; "one" only where it counts."""
    listed = [*words, ""]
    total: float | None = None
    for place, word in enumerate(listed):
        counts = word != "one" or total is not None or COUNTED.match(listed[place + 1])
        if word in UNITS and counts:
            total = (total or 0) + UNITS[word]
        elif word in TENS:
            total = (total or 0) + TENS[word]
        elif word in FACTORS:
            total = (1 if total is None else total) * FACTORS[word]
        elif word == "and" and total is not None and listed[place - 1] in FACTORS:
            continue
        elif total is not None:
            yield float(total)
            total = None
        if word in SPOKEN:
            yield float(SPOKEN[word])
        if word in ORDINALS and word != "second":
            yield float(ORDINALS[word])
