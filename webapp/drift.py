"""Whether a policy's accepted answers go wrong more often than they did: what feedback says.

A watch reads the values in the order in which they arrived. This module only collects them.
"""

import re

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Feedback, Suggestion

TOO_MUCH_CHANGED = 0.3
"""From which share of changed words on an edited answer counts as wrong."""

WORD = re.compile(r"\w+")


def wrongness(session: Session, tenant_id: str, policy: str) -> list[float]:
    """Return 0 for each right and 1 for each wrong answer of a policy version, in order of arrival.

    Counted are answers that the cascade accepted and a person has judged, each by the first
    verdict on it: accepted is right, dismissed is wrong, edited is wrong where more than
    `TOO_MUCH_CHANGED` of its words were changed.
    """
    arrived = session.execute(
        select(Suggestion.id, Feedback.action, Suggestion.answer, Feedback.final_text)
        .join(
            Feedback,
            (Feedback.tenant_id == Suggestion.tenant_id)
            & (Feedback.suggestion_id == Suggestion.id),
        )
        .where(
            Suggestion.tenant_id == tenant_id,
            Suggestion.policy == policy,
            Suggestion.status == "suggested",
        )
        .order_by(Feedback.created_at, Feedback.id)
    )
    first: dict[str, float] = {}
    for suggestion_id, action, answer, final_text in arrived:
        if suggestion_id not in first:
            first[suggestion_id] = _wrong(action, answer or "", final_text or "")
    return list(first.values())


def changed_share(draft: str, sent: str) -> float:
    """Return how much of a draft was changed, in [0, 1]: 0 for the same words, 1 for all others.

    It is the Levenshtein distance in words, divided by the number of words of the longer text.
    Case, punctuation and spaces do not count.
    """
    old, new = WORD.findall(draft.casefold()), WORD.findall(sent.casefold())
    longer = max(len(old), len(new))
    return _distance(old, new) / longer if longer else 0.0


def _wrong(action: str, answer: str, final_text: str) -> float:
    if action == "edited":
        return float(changed_share(answer, final_text) > TOO_MUCH_CHANGED)
    return float(action != "accepted")


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
