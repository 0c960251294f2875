"""Whether a policy's accepted answers still keep to what was certified: what feedback says."""

import re
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cascade.watch import Watch
from webapp.models import Feedback, Policy, Suggestion

TOO_MUCH_CHANGED = 0.3
"""From which share of changed words on an edited answer counts as wrong."""

NO_REPLY_NEEDED = "No reply needed"
"""The reason for a dismissal that says nothing about the answer."""

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Drift:
    """What feedback says of a certified policy.

    Of `judged` accepted answers `wrong` were wrong. The share is between `lower` and `upper`, with
    the certificate's confidence at every moment; `alarm` says that it has been above `max_error`.
    """

    max_error: float
    confidence: float
    judged: int
    wrong: int
    lower: float
    upper: float
    alarm: bool


def is_about_the_answer(verdict: Feedback) -> bool:
    """Return whether a verdict says anything about the answer: not where no reply was needed.

    What a person adds to a reason stands behind a colon.
    """
    reason = (verdict.reason or "").partition(":")[0]
    return verdict.action != "dismissed" or reason != NO_REPLY_NEEDED


def drift(session: Session, tenant_id: str, policy: Policy) -> Drift | None:
    """Return what feedback says of a stored version, None where nothing was certified of it."""
    watch = _watch(policy)
    if watch is None:
        return None
    values = wrongness(session, tenant_id, policy.version)
    seen = watch.after(values)
    return Drift(
        max_error=watch.max_error,
        confidence=watch.confidence,
        judged=len(values),
        wrong=round(sum(values)),
        lower=float(seen.lower[-1]) if values else 0.0,
        upper=float(seen.upper[-1]) if values else 1.0,
        alarm=seen.alarm,
    )


def alarmed(session: Session, tenant_id: str, policy: Policy) -> bool:
    """Return whether feedback says that a stored version no longer keeps to its certificate."""
    watch = _watch(policy)
    if watch is None:
        return False
    return watch.alarm_at(wrongness(session, tenant_id, policy.version)) is not None


def _watch(policy: Policy) -> Watch | None:
    certificate = (policy.made_from or {}).get("certificate")
    if certificate is None:
        return None
    return Watch(float(certificate["max_error"]), float(certificate["confidence"]))


def wrongness(session: Session, tenant_id: str, policy: str) -> list[float]:
    """Return 0 for each right and 1 for each wrong answer of a policy version, in order of arrival.

    They are counted as `wrongness_where` does.
    """
    return wrongness_where(session, Suggestion.tenant_id == tenant_id, Suggestion.policy == policy)


def wrongness_where(session: Session, *which: ColumnElement[bool]) -> list[float]:
    """Return 0 for each right and 1 for each wrong answer of the suggestions that are meant.

    Counted are answers that the cascade accepted and a person has judged, each by the first
    verdict on it: accepted is right, dismissed is wrong unless no reply was needed, edited is wrong
    where more than `TOO_MUCH_CHANGED` of its words were changed.
    """
    arrived = session.execute(
        select(Suggestion.answer, Feedback)
        .join(
            Feedback,
            (Feedback.tenant_id == Suggestion.tenant_id)
            & (Feedback.suggestion_id == Suggestion.id),
        )
        .where(
            *which,
            Suggestion.status == "suggested",
        )
        .order_by(Feedback.created_at, Feedback.id)
    )
    first: dict[str, float] = {}
    for answer, verdict in arrived:
        if verdict.suggestion_id not in first and is_about_the_answer(verdict):
            final_text = verdict.final_text or ""
            first[verdict.suggestion_id] = _wrong(verdict.action, answer or "", final_text)
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
