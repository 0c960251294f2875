"""What a person's verdict on an answer teaches the cache."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from cascade.guards import contradicts
from cascade.scopes import Scope

Action = Literal["accepted", "edited", "dismissed", "corrected"]

HEAVY_EDIT = 0.75
"""Below this likeness to what was offered an edited answer is another answer."""

WIDTH: dict[Scope, int] = {"customer": 0, "segment": 1, "public": 2}


@dataclass(frozen=True)
class Lesson:
    """What becomes of the entry an answer came from, and which text is to be stored, if any.

    The text is placed anew: what an agent wrote may hold personal data that the old one did not.
    """

    leaves: bool
    stores: str | None


def lesson(action: Action, offered: str, final: str | None) -> Lesson:
    """The lesson of a verdict on an offered answer; `final` is what was sent instead.

    >>> lesson("dismissed", "Yes, you can.", None)
    Lesson(leaves=True, stores=None)
    """
    if action == "dismissed":
        return Lesson(leaves=True, stores=None)
    if final is None or final.split() == offered.split():
        # An answer that a person has sent as it stands is worth offering again.
        return Lesson(leaves=False, stores=offered)
    return Lesson(leaves=action == "corrected" or is_heavy_edit(offered, final), stores=final)


def is_heavy_edit(offered: str, final: str) -> bool:
    """Whether little of an offered answer, or not its meaning, is left in the edited one."""
    likeness = SequenceMatcher(None, offered.split(), final.split(), autojunk=False).ratio()
    return likeness < HEAVY_EDIT or contradicts(offered, final) is not None


def takes_place(old: Scope, new: Scope) -> bool:
    """Whether a lightly edited answer replaces the old one: not where fewer could see it."""
    return WIDTH[new] >= WIDTH[old]
