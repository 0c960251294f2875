"""What a person's verdict on an answer teaches the cache."""

from dataclasses import dataclass

from cascade.scopes import Scope
from cascade.verdicts import Verdict, is_heavy_edit

WIDTH: dict[Scope, int] = {"customer": 0, "segment": 1, "public": 2}


@dataclass(frozen=True)
class Lesson:
    """What becomes of the entry an answer came from, and which text is to be stored, if any.

    The text is placed anew: what an agent wrote may hold personal data that the old one did not.
    """

    leaves: bool
    stores: str | None


def lesson(verdict: Verdict, offered: str) -> Lesson:
    """The lesson of a verdict on an offered answer.

    >>> lesson(Verdict("dismissed"), "Yes, you can.")
    Lesson(leaves=True, stores=None)
    """
    final = verdict.final
    if verdict.action == "dismissed" or (verdict.suits is False and final is None):
        return Lesson(leaves=True, stores=None)
    if final is None or final.split() == offered.split():
        # An answer that a person has sent as it stands is worth offering again.
        return Lesson(leaves=False, stores=offered)
    replaced = verdict.action == "corrected" or verdict.suits is False
    return Lesson(leaves=replaced or is_heavy_edit(offered, final), stores=final)


def takes_place(old: Scope, new: Scope) -> bool:
    """Whether a lightly edited answer replaces the old one: not where fewer could see it."""
    return WIDTH[new] >= WIDTH[old]
