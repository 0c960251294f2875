"""What an English question says, in which words and order, who does it, and what is done already.

Opposites cannot be listed to the end, words that mean the same can: two questions that each say
something in words that the other lacks, and that are not known to mean the same, are different.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise

from cascade.opposites import OPPOSITES
from cascade.text import stem

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
BETWEEN = r"\s+(?P<kept>(?:[\w'-]+\s+){0,3}?)"
"""Up to three words may stand inside a phrase, as in "send my tent back"; they are kept."""

PHRASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), said)
    for pattern, said in (
        (
            r"(?:cancel|stop|halt|undo|revoke|reverse|withdraw)\w*\s+(?:the|my|this|that)\s+"
            r"(?:cancel\w*|return\w*|refund\w*|exchange\w*|repairs?|change\w*|redemption)",
            "undo",
        ),
        (
            rf"(?:pay|pays|paid|paying|give|get|have|want|receive){BETWEEN}(?:money|cash) back",
            "refund",
        ),
        (r"(?:the|my|your|all)\s+money back|money back", "refund"),
        (r"(?:pay|pays|paid|paying)\s+(?:me|us|it|back)\s*(?:back)?", "refund"),
        (
            rf"(?:send|sends|sent|sending|bring|bringing|brought|hand|ship|mail|give|take){BETWEEN}"
            r"back|(?:send|sent|sending|bring|give|take)\s+back",
            "return",
        ),
        (rf"(?:get|getting|got){BETWEEN}back|(?:get|getting|got)\s+back", "reclaim"),
        (rf"(?:pick|picks|picked|picking){BETWEEN}up|(?:pick|picked|picking)\s+up", "collect"),
        (rf"(?:call|calls|called|calling){BETWEEN}off|call off", "cancel"),
        (r"free of (?:charge|cost)|at no cost|for nothing", "free"),
        (
            r"(?:costs?|is|sold|sells?|get|bought|found)\s+(?:it\s+)?(?:for\s+)?less|lower price",
            "cheap",
        ),
        (
            r"(?:in|at|from|by)?\s*(?:another|an other|a different|some other)\s+"
            r"(?:shop|store|retailer|place|seller)|somewhere else",
            "elsewhere",
        ),
        (r"make\w*\s+(?:the|a|my)\s+payment", "pay"),
        (r"(?:use|used|using|run|runs)\s+(?:\w+\s+)?(?:up|out)", "exhausted"),
        (r"(?:i|we|i'd|we'd)(?:\s+\w+){0,3}?\s+(?:be|get)\s+paid", "earn"),
        (r"rather than", "instead"),
        (
            r"good (?:morning|afternoon|evening|day)|greetings|"
            r"(?:dear|hello|hi) (?:team|all|sir|madam)",
            "",
        ),
        (
            r"(?:kind|best|warm) (?:regards|wishes)|many thanks|thanks in advance|(?:very|so) much",
            "",
        ),
        (r"give\s+(?:me|us)", ""),
        (
            r"(?:that |which )?(?:i|we)(?:'ve| have| had)?(?: just| already)? "
            r"(?:bought|ordered|purchased|placed|got|received)(?: (?:from you|here|with you))?",
            "",
        ),
    )
)
"""Several words that say what one does, or nothing, the longer phrases first."""

SAME: tuple[str, ...] = (
    "return returnable",
    "refund reimburse reimbursement repay repayment",
    "cancel cancellation annul scrap",
    "collect collection pickup fetch",
    "deliver delivery arrive ship shipping dispatch send sent post mail postage",
    "change alter amend modify edit update adjust",
    "correct rectify",
    "parcel package packet shipment",
    "order purchase buy bought",
    "repair mend fix",
    "broken broke break defective faulty damaged defect",
    "cheap cheaper",
    "match meet",
    "competitor rival",
    "find found see saw seen spot",
    "voucher coupon",
    "discount rebate",
    "compensation compensate",
    "redeem redemption spend use used",
    "enough sufficient",
    "ready available",
    "invoice bill",
    "pay paid payment settle",
    "trouble hassle inconvenience",
    "unhappy dissatisfied disappointed",
    "courier driver carrier",
    "home house",
    "offer provide grant",
    "pass over",
    "subscription plan",
    "turn switch",
    "wrong incorrect mistaken",
    "keep kept retain",
    "give gave given",
    "take took taken",
    "why reason",
)
"""Words that mean the same to a customer, a row for each meaning."""

TELLING = frozenset(
    "why who where long much many often undo reclaim back out away instead again new old few lose "
    "lost stop start speed wait exchange replace earn close open right own different free late "
    "early whole half part avoid must choose make made exhausted".split()
)
"""Words that change what is asked, even where the other question has nothing in their place."""

SMALL = frozenset(
    "a an the this that these those my mine our ours your yours his her its their i you we they "
    "he she it me us him them one ones myself yourself ourselves u be am is are was were been "
    "being have has had having do does did doing done can could may might will would shall should "
    "must need want like wish know tell wonder wondering ask say let please pls kindly hi hello "
    "hey dear thanks thank and or but so because since as if whether when once while then there "
    "here also too still yet already just now even really actually only ever currently any some "
    "something anything someone somebody of for at by on in to into from with up off about "
    "than longer anymore more what which how get got getting go goes going gone went come comes "
    "coming came possible possibly able allow allowed okay ok fine sure due all that's it's i'm "
    "i'd i've i'll you're you'd you'll there's what's let's asap quickly soon".split()
)
"""Words that say nothing by themselves; what they say together, other guards compare."""

ONE_FOR_ALL: Mapping[str, str] = {
    stem(word): row.split()[0] for row in SAME for word in row.split()
}


TURNING = re.compile("|".join(f"(?:{side})" for row in OPPOSITES for side in row), re.IGNORECASE)
"""What has an opposite changes what is asked too."""

EITHER = frozenset(
    stem(word)
    for word in (
        "cancel change alter amend modify edit update correct exchange stop redeem use".split()
    )
)
"""Acts of which it is one whether "I" or "you" can do them; in others it matters who does them."""

DETERMINERS = frozenset("a an the my our your his her its their of any some".split())

PARTIES: Mapping[str, str] = {
    **dict.fromkeys(("i", "we", "me", "us", "i'd", "i've", "i'll"), "customer"),
    **dict.fromkeys(("you", "you'd", "you've", "you'll"), "shop"),
}
MOVES = re.compile(r"\b(i|we|you)\s+(?:(?:still|also|just|please)\s+)*(do|come|go)\b")
MOVES_TO = re.compile(r"\b(come|comes|go|goes) to (me|us|my|our|you|your)\b")
OWNERS = {"my": "customer", "our": "customer", "your": "shop"}
BETWEEN_SUBJECT_AND_VERB = frozenset(
    "can could may might will would shall should must do does did have has had need want like to "
    "not also still just already please now even be able".split()
)
OF_ANOTHER = re.compile(r"\b([a-z]+) of (?:an?|another) [a-z]")
OTHER_END = {"from": "to", "to": "from"}
BY = re.compile(r"\b(?:by|because of|due to|about|over|despite)((?:\s+[\w'-]+){1,3})")
END = re.compile(r"\b(from|to|into|for|towards)(?=((?:\s+[\w'-]+){1,3}))")
ASKED_FOR = re.compile(
    r"\b(?:can|could|may|might|will|would|shall|should|must|please|"
    r"(?:want|like|need|have|wish|expect|choose|try|prefer|how|able|allowed|possible|okay|late|"
    r"early|time) to)\s+"
    r"(?:(?:i|we|you|be|not|still|also|now|just|please|able|to|have|like|want)\s+)*([a-z]+)"
)
PARTICIPLE = re.compile(r"\b([a-z]+ed|sent|paid|kept|taken)\b")
DONE = re.compile(
    r"\b(?:i|we|you)(?:'ve|'d)?\s+(?:(?:have|had|already|just)\s+)*([a-z]+ed|gave|sent|paid|kept)\b"
    r"|\bdid\s+(?:i|we|you)\s+([a-z]+)|\bthe\s+([a-z]+ed)\s+[a-z]"
)


class Said:
    """What one question says; its numbers, dates and negations are left out before.

    `content` has each thing that is said, and whether it changes what is asked where the other
    question has nothing in its place. `roles` say who does an act, to whom, and whose a thing is.
    """

    def __init__(self, text: str) -> None:
        plain = text.casefold().replace("’", "'")
        words = WORD.findall(plain)
        short = _shortened(plain)
        self.content = dict(_content(short))
        self.acts = frozenset(_acts(short))
        self.roles = {role: frozenset(of) for role, of in _roles(words, plain).items()}
        self.ends = frozenset(_ends(plain))
        self.means = frozenset(
            _meaning(word) for found in BY.finditer(short) for word in found[1].split()
        )
        self.asked_for = frozenset(stem(found[1]) for found in ASKED_FOR.finditer(plain))
        self.done = frozenset(
            stem(next(filter(None, found.groups()))) for found in DONE.finditer(plain)
        )


def said_otherwise(one: Said, other: Said) -> str | None:
    """What one question says that the other doesn't, or None where both say the same."""
    if _roles_differ(one, other):
        return "other people do it"
    if _ends_differ(one, other) or _ends_differ(other, one):
        return "one goes the other way round"
    if _asks_for_what_is_done(one, other) or _asks_for_what_is_done(other, one):
        return "one asks for what is done in the other"
    if _in_another_order(one, other) or _by_something_else(one, other):
        return "one goes the other way round"
    return "they say what is not known to mean the same" if _content_differs(one, other) else None


def _in_another_order(one: Said, other: Said) -> bool:
    """Whether what both say stands in another order: what is for what, who is before whom.

    Acts and things are looked at apart, so that "stop my order" is "I want my order stopped".
    """
    both = one.content.keys() & other.content.keys()
    acts = both & (one.acts | other.acts)
    return any(
        [word for word in one.content if word in kind] != [w for w in other.content if w in kind]
        for kind in (acts, both - acts)
    )


def _content_differs(one: Said, other: Said) -> bool:
    mine = one.content.keys() - other.content.keys()
    theirs = other.content.keys() - one.content.keys()
    tells = (one.content.get(word) or other.content.get(word) for word in mine | theirs)
    return bool(mine and theirs) or any(tells)


def _roles_differ(one: Said, other: Said) -> bool:
    """Whether what one party does in the one, only another party does in the other."""
    return any(not one.roles[role] & other.roles[role] for role in one.roles.keys() & other.roles)


def _ends_differ(one: Said, other: Said) -> bool:
    return any(
        (OTHER_END[way], end) in other.ends and (way, end) not in other.ends
        for way, end in one.ends
    )


def _by_something_else(one: Said, other: Said) -> bool:
    """Whether what both name is a means or reason in the one alone: paid by it, angry about it."""
    both = one.content.keys() & other.content.keys()
    return bool((one.means ^ other.means) & both)


def _asks_for_what_is_done(one: Said, other: Said) -> bool:
    return bool((one.asked_for & other.done) - other.asked_for)


def _shortened(plain: str) -> str:
    for pattern, said in PHRASES:
        plain = pattern.sub(partial(_put, said), plain)
    return plain


def _put(said: str, found: re.Match[str]) -> str:
    return f" {said} {found.groupdict().get('kept') or ''} "


def _acts(short: str) -> Iterator[str]:
    """What is asked to be done, and what is told as done."""
    for found in (*ASKED_FOR.finditer(short), *PARTICIPLE.finditer(short)):
        yield _meaning(found[1])


def _meaning(word: str) -> str:
    bare = stem(word)
    return ONE_FOR_ALL.get(bare, bare)


def _content(short: str) -> Iterator[tuple[str, bool]]:
    words = WORD.findall(short)
    for place, word in enumerate(words):
        if word in SMALL or word.endswith("n't"):
            continue
        # A thing more is a detail, as in "the password of my account"; an act more is not.
        thing = not DETERMINERS.isdisjoint(words[max(0, place - 2) : place])
        known = stem(word) in ONE_FOR_ALL or word in TELLING or TURNING.fullmatch(word)
        yield _meaning(word), bool(known) or not thing


def _roles(words: list[str], plain: str) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for place, word in enumerate(words):
        act = stem(word)
        if word not in SMALL and act not in EITHER:
            before = [each for each in words[:place] if each not in BETWEEN_SUBJECT_AND_VERB]
            by, to = before[-1:], words[place + 1 : place + 2]
            for role, names in ((f"{act} by", by), (f"{act} to", to)):
                found.setdefault(role, set()).update(PARTIES[n] for n in names if n in PARTIES)
    for move in MOVES.finditer(plain):
        found.setdefault(f"{move[2]} by", set()).add(PARTIES[move[1]])
    for move in MOVES_TO.finditer(plain):
        who = PARTIES.get(move[2]) or OWNERS[move[2]]
        found.setdefault(f"{stem(move[1])} to", set()).add(who)
    for owner, thing in pairwise(words):
        if owner in OWNERS or owner.endswith("'s"):
            found.setdefault(f"{stem(thing)} of", set()).add(OWNERS.get(owner, "another"))
    for of_another in OF_ANOTHER.finditer(plain):
        found.setdefault(f"{stem(of_another[1])} of", set()).add("another")
    return {role: who for role, who in found.items() if who}


def _ends(plain: str) -> Iterator[tuple[str, str]]:
    """What things come from and what they go to: "from" or "to", and a word's stem."""
    for found in END.finditer(plain):
        for word in found[2].split():
            if word not in SMALL:
                yield ("from" if found[1] == "from" else "to"), stem(word)
