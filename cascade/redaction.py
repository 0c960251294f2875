"""Which personal data is kept from a provider: placeholders go instead and are put back.

Found are e-mail addresses, phone, card and account numbers and IBANs, by their patterns, and the
names given to the redactor. A name or street address that nobody told it stays in the text.
"""

import re
import string
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from scoring.customer import Feature

MASK = "\0"
"""Stands for text that is hidden already while the other kinds are looked for."""

PLACEHOLDER = re.compile(r"\[(?:EMAIL|PHONE|CARD|IBAN|ACCOUNT|NAME|TEXT)_[0-9]+\]")

LOCAL_RUN = re.compile(r"""[^\s@<>()\[\]\\,;:"\0]+""")
DOMAIN = re.compile(r"@[\w-]++(?:\.[\w-]++)+")

GAP = r"[ \t\u00a0\u2007\u202f.\u2010-\u2015-]{0,3}"
"""What people type between the groups of a card number."""

NAME_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*[^\W\d_]")
"""A part of a person's name; a lone letter would be found in too many places."""

DIGITS = re.compile(r"\d+")
DIGIT_RUN = re.compile(rf"\d(?:{GAP}\d){{12,}}")
CARD_LENGTHS = range(13, 20)

IBAN = re.compile(
    r"(?<![^\W_])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,8}(?![^\W_])",
    re.IGNORECASE | re.ASCII,
)
IBAN_LENGTHS = range(15, 35)
IBAN_NUMBERS = {ord(letter): str(int(letter, 36)) for letter in string.ascii_uppercase}
IBAN_PREFIX = 4
"""Country and check digits; the search goes on behind them where the checksum does not hold."""

# Every repetition of white space is bounded: two unbounded ones side by side take quadratic time.
ACCOUNT = re.compile(
    r"\b(?:account|acct|a/c|konto(?:nummer)?|compte|cuenta|sort\s{1,3}code|routing|blz|ssn|"
    r"social\s{1,3}security)"
    r"(?:\s{1,3}(?:no|nr|num|number|code))?[.]?(?:\s{1,3}is)?\s{0,3}[:=#-]?\s{0,3}"
    r"(?P<value>\d(?:[ -]?\d){5,17})(?!\d)",
    re.IGNORECASE,
)

PHONE_WITH_WORD = re.compile(
    r"\b(?:phone|telephone|tel|mobile|cell|fax|whatsapp|(?:call|text|reach)(?:\s{1,3}me)?)\b"
    r"[^\d\n+]{0,15}(?P<value>\+?\d(?:[ ./()-]{0,3}\d){6,14})(?!\d)",
    re.IGNORECASE,
)
PHONE_ALONE = re.compile(
    r"(?<![\w+.,/-])(?:"
    r"(?:\+|00)[ ]?[1-9](?:[ ./()-]{0,3}\d){7,14}"  # +49 170 1234567
    r"|\(?0[1-9]\d{0,4}\)?(?:[ ./-]{1,3}\d{2,}){1,5}"  # (030) 1234567, 06 12 34 56 78
    r"|0[1-9]\d{8,10}"  # 01701234567
    r"|(?:\(\d{3}\)[ ]?|\d{3}[ .-])\d{3}[ .-]\d{4}"  # (555) 123-4567
    r")(?!\d)",
)
PHONE_LENGTHS = range(9, 16)
DATE = re.compile(
    r"\d{1,2}([./-])\d{1,2}\1(?:19|20)?\d{2}(?![./-]?\d)|(?:19|20)\d{2}-[01]\d-[0-3]\d"
)
ORDER_BEFORE = re.compile(
    r"(?:#|\b(?:order|invoice|ticket|case|tracking|parcel|shipment|item|article|sku|ref|reference)"
    r"(?:\s{1,3}(?:no|nr|num|number|id|code))?[.]?(?:\s{1,3}is)?\s{0,3}[:=#-]?)\s{0,3}$",
    re.IGNORECASE,
)
ORDER_WORD_REACH = 40
"""How many characters before a number are searched for the word that makes it an order number."""


class Span(NamedTuple):
    """A piece of personal data in a text, from `start` up to `end`."""

    start: int
    end: int


class Redactor:
    """Replaces personal data by placeholders and remembers how to put it back.

    `names` are the customer's own; each of their words is hidden where it is spelled the same.

    One redactor serves one ticket: the same value gets the same placeholder in every text, and
    `reveal(hide(text)) == text` always holds.

    >>> redactor = Redactor()
    >>> redactor.hide("Write to ann@example.com")
    'Write to [EMAIL_1]'
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._named = _finder_of(names)
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def hide(self, text: str) -> str:
        """The text with its e-mails, phone, card and account numbers, IBANs and names replaced."""
        found: list[tuple[Span, str]] = []
        open_text = text
        for kind, finder in (*FINDERS, ("NAME", self._named)):
            spans = list(finder(open_text))
            found += [(span, kind) for span in spans]
            open_text = _masked(open_text, spans)
        pieces, end = [], 0
        for span, kind in sorted(found):
            pieces += [text[end : span.start], self._placeholder(kind, text[span.start : span.end])]
            end = span.end
        return "".join([*pieces, text[end:]])

    def hide_value(self, value: Feature) -> Feature:
        """A profile feature with personal data replaced; what holds none keeps its type."""
        if isinstance(value, bool):
            return value
        shown = str(value)
        hidden = self.hide(shown)
        return value if hidden == shown else hidden

    def reveal(self, text: str) -> str:
        """The text with this redactor's placeholders replaced by what they stand for."""
        return PLACEHOLDER.sub(lambda found: self._values.get(found[0], found[0]), text)

    def _placeholder(self, kind: str, value: str) -> str:
        known = self._placeholders.get(value)
        if known is not None:
            return known
        self._counts[kind] = self._counts.get(kind, 0) + 1
        placeholder = f"[{kind}_{self._counts[kind]}]"
        self._placeholders[value] = placeholder
        self._values[placeholder] = value
        return placeholder


def redact(text: str) -> str:
    """The text with personal data replaced for good, for logs and reports."""
    return Redactor().hide(text)


def _finder_of(names: Iterable[str]) -> Callable[[str], Iterable[Span]]:
    words = {word for name in names for word in NAME_WORD.findall(name)}
    if not words:
        return lambda text: ()
    either = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    named = re.compile(rf"(?<!\w)(?:{either})(?:[ ]{{1,3}}(?:{either}))*(?!\w)")
    return lambda text: (Span(*found.span()) for found in named.finditer(text))


def _masked(text: str, spans: Iterable[Span]) -> str:
    pieces, end = [], 0
    for span in spans:
        pieces += [text[end : span.start], MASK * (span.end - span.start)]
        end = span.end
    return "".join([*pieces, text[end:]])


def _literal_placeholders(text: str) -> Iterator[Span]:
    # What a customer typed must come back as typed, even where it looks like one of ours.
    return (Span(*found.span()) for found in PLACEHOLDER.finditer(text))


def _emails(text: str) -> Iterator[Span]:
    # Run by run, because a pattern that seeks its "@" from every letter takes quadratic time.
    taken = 0
    for run in LOCAL_RUN.finditer(text):
        domain = DOMAIN.match(text, run.end())
        start = max(run.start(), taken)
        if domain is not None and start < run.end():
            yield Span(start, domain.end())
            taken = domain.end()


def _ibans(text: str) -> Iterator[Span]:
    found = IBAN.search(text)
    while found is not None:
        end = _iban_end(found)
        if end is not None:
            yield Span(found.start(), end)
        found = IBAN.search(text, end or found.start() + IBAN_PREFIX)


def _iban_end(found: re.Match[str]) -> int | None:
    """Where the IBAN ends; the words after one look like its groups, so the checksum decides."""
    ends = [group.end() for group in re.finditer(r"[A-Za-z0-9]+", found[0])]
    return next(
        (found.start() + end for end in reversed(ends) if _is_iban(found[0][:end])),
        None,
    )


def _is_iban(text: str) -> bool:
    letters = text.replace(" ", "").replace("-", "").upper()
    if len(letters) not in IBAN_LENGTHS:
        return False
    return int((letters[4:] + letters[:4]).translate(IBAN_NUMBERS)) % 97 == 1


def _cards(text: str) -> Iterator[Span]:
    for run in DIGIT_RUN.finditer(text):
        groups = [Span(*group.span()) for group in DIGITS.finditer(text, *run.span())]
        first = 0
        while first < len(groups):
            last = _last_card_group(text, groups, first)
            if last is None:
                first += 1
                continue
            yield Span(groups[first].start, groups[last].end)
            first = last + 1


def _last_card_group(text: str, groups: list[Span], first: int) -> int | None:
    """The last of the groups that make the longest card number beginning at `first`, if any."""
    # Payment cards begin with 2 to 6; other long numbers are more often orders and parcels.
    if int(text[groups[first].start]) not in range(2, 7):
        return None
    digits, longest = "", None
    for place in range(first, len(groups)):
        digits += text[groups[place].start : groups[place].end]
        if len(digits) >= CARD_LENGTHS.stop:
            break
        if len(digits) in CARD_LENGTHS and _is_card(digits):
            longest = place
    return longest


def _is_card(digits: str) -> bool:
    numbers = [int(digit) for digit in digits]
    doubled = [sum(divmod(2 * number, 10)) for number in numbers[-2::-2]]
    return (sum(doubled) + sum(numbers[::-2])) % 10 == 0


def _accounts(text: str) -> Iterator[Span]:
    return (Span(*found.span("value")) for found in ACCOUNT.finditer(text))


def _phones_with_word(text: str) -> Iterator[Span]:
    for found in PHONE_WITH_WORD.finditer(text):
        if not _is_date_or_order(text, found.start("value")):
            yield Span(*found.span("value"))


def _phones(text: str) -> Iterator[Span]:
    for found in PHONE_ALONE.finditer(text):
        long_enough = sum(letter.isdigit() for letter in found[0]) in PHONE_LENGTHS
        if long_enough and not _is_date_or_order(text, found.start()):
            yield Span(*found.span())


def _is_date_or_order(text: str, start: int) -> bool:
    before = text[max(0, start - ORDER_WORD_REACH) : start]
    return bool(DATE.match(text, start) or ORDER_BEFORE.search(before))


FINDERS: tuple[tuple[str, Callable[[str], Iterable[Span]]], ...] = (
    ("TEXT", _literal_placeholders),
    ("EMAIL", _emails),
    ("IBAN", _ibans),
    ("CARD", _cards),
    ("ACCOUNT", _accounts),
    ("PHONE", _phones_with_word),
    ("PHONE", _phones),
)
"""The order matters: what an earlier kind claims, a later one no longer sees."""
