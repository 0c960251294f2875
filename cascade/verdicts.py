"""What people's verdicts on an answer teach the scorer: one pure rule, versioned.

Verdicts are looks that were not drawn evenly. Who edits, dismisses or corrects has read; who
accepts may have read; and an audit reads a few of the accepted, drawn at random. So each verdict
carries the probability with which its answer was to be read with care, and the rule weighs by it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cascade.guards import contradicts

RULE = "1"
"""Changes whenever the same verdicts give other labels or weights; runs name it."""

Action = Literal["accepted", "edited", "dismissed", "corrected", "audited"]

NO_REPLY_NEEDED = "No reply needed"
"""The reason for a dismissal that says nothing about the answer."""
TONE = "Tone or wording"
"""The reason for a dismissal of an answer that may well be right."""
CUSTOMER_DATA = "customer_data"
"""The root cause of a correction where what is known of the customer was wrong."""

TOO_MUCH_CHANGED = 0.3
"""From which share of changed words on an edited answer is another one."""

SILENT = 0.3
"""What an acceptance without a second look counts where some are drawn for one."""
MOST_WEIGHT = 20.0
"""What one audited answer may stand for at most."""

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Verdict:
    """What one person did with an answer.

    `final` is the text sent instead, `suits` an audit's finding, `reason` a dismissal's reason or a
    correction's root cause, `observed` the probability in [0, 1] that the answer was to be read
    with care; None or 0 where nobody was to.
    """

    action: Action
    final: str | None = None
    reason: str | None = None
    suits: bool | None = None
    observed: float | None = None


@dataclass(frozen=True)
class Label:
    """A text that does (1) or does not (0) suit the customer, and what that counts."""

    text: str
    label: int
    weight: float = 1.0


def is_about_the_answer(verdict: Verdict) -> bool:
    """Whether a verdict says anything about the answer: not where no reply was needed.

    What a person adds to a reason stands behind a colon.
    """
    return not (verdict.action == "dismissed" and _reason(verdict) == NO_REPLY_NEEDED)


def labels_of(offered: str | None, verdicts: Sequence[Verdict]) -> tuple[Label, ...]:
    """The labels that all verdicts on one suggestion give; `offered` is what was suggested, if any.

    The most careful look decides: audits, else corrections, else the last of the others. Audits
    that contradict each other give nothing.

    >>> labels_of("Yes.", [Verdict("dismissed")])
    (Label(text='Yes.', label=0, weight=1.0),)
    """
    audits = [each for each in verdicts if each.action == "audited" and each.suits is not None]
    if any(_reason(each) == CUSTOMER_DATA for each in audits):
        return ()
    if audits:
        return _audited(offered, audits)
    corrected = [each for each in verdicts if each.action == "corrected"]
    others = corrected or [each for each in verdicts if each.action != "audited"]
    return _labels(offered, others[-1]) if others else ()


def is_heavy_edit(offered: str, final: str) -> bool:
    """Whether little of an offered answer, or not its meaning, is left in the text sent."""
    changed = changed_share(offered, final) > TOO_MUCH_CHANGED
    return changed or contradicts(offered, final) is not None


def changed_share(draft: str, sent: str) -> float:
    """How much of a draft was changed, in [0, 1]: 0 for the same words, 1 for all others.

    It is the Levenshtein distance in words, divided by the number of words of the longer text.
    Case, punctuation and spaces do not count.
    """
    old, new = WORD.findall(draft.casefold()), WORD.findall(sent.casefold())
    longer = max(len(old), len(new))
    return _distance(old, new) / longer if longer else 0.0


def _labels(offered: str | None, verdict: Verdict) -> tuple[Label, ...]:
    if verdict.action == "accepted":
        return _positive(offered, SILENT if _is_silent(verdict) else 1.0)
    if verdict.action == "dismissed":
        silent = not is_about_the_answer(verdict) or _reason(verdict) == TONE
        return () if silent or offered is None else (Label(offered, 0),)
    if verdict.action == "corrected" and verdict.reason == CUSTOMER_DATA:
        return ()
    if verdict.action == "edited" and _is_silent(verdict):
        return tuple(replace(each, weight=SILENT) for each in _replaced(offered, verdict.final))
    return _replaced(offered, verdict.final)


def _is_silent(verdict: Verdict) -> bool:
    """Whether no careful look was meant here, though others of its kind are drawn for one."""
    return verdict.observed is not None and 0 < verdict.observed < 1


def _audited(offered: str | None, audits: Sequence[Verdict]) -> tuple[Label, ...]:
    if len({each.suits for each in audits}) > 1:
        return ()
    last = audits[-1]
    # Of the accepted answers a share p is audited. Weighed so, these and the silent ones count in
    # the mean as many as there are, and the silent ones less than they say.
    p = last.observed or 1.0
    weight = min(MOST_WEIGHT, (1 - SILENT) / p + SILENT)
    if last.suits:
        return _positive(offered, weight)
    return tuple(
        Label(each.text, each.label, weight if each.text == offered else each.weight)
        for each in _replaced(offered, last.final, heavily=True)
    )


def _replaced(
    offered: str | None, final: str | None, *, heavily: bool = False
) -> tuple[Label, ...]:
    """The labels of a draft and of what was sent instead of it."""
    sent = _positive(final, 1.0)
    if offered is None or (final is not None and offered.split() == final.split()):
        return sent
    heavy = heavily or final is None or is_heavy_edit(offered, final)
    return (Label(offered, 0 if heavy else 1), *sent)


def _positive(text: str | None, weight: float) -> tuple[Label, ...]:
    return (Label(text, 1, weight),) if text and text.strip() else ()


def _reason(verdict: Verdict) -> str:
    return (verdict.reason or "").partition(":")[0]


def _distance(old: list[str], new: list[str]) -> int:
    """Return the least number of words to insert, delete or replace, one row at a time.

    Insertions run along a row, so each cell is the least of all cells before it plus the steps
    from there: a running minimum once the steps are taken out.
    """
    numbers = {word: number for number, word in enumerate({*old, *new})}
    target = np.array([numbers[word] for word in new], dtype=np.intp)  # (new,)
    steps = np.arange(len(new) + 1)
    row = steps.copy()  # (new + 1,)
    for place, word in enumerate(old, start=1):
        kept = row[:-1] + (target != numbers[word])
        best = np.concatenate([[place], np.minimum(kept, row[1:] + 1)])
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])
