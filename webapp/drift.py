"""Whether a policy's accepted answers still keep to what was certified: what feedback says."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cascade.verdicts import Action, Verdict, is_about_the_answer, is_heavy_edit
from cascade.watch import Watch
from webapp.models import Feedback, Policy, Suggestion


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
    where little or another meaning is left. What was withdrawn does not count.
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
            Feedback.withdrawn_at.is_(None),
        )
        .order_by(Feedback.created_at, Feedback.id)
    )
    first: dict[str, float] = {}
    for answer, verdict in arrived:
        said = as_verdict(verdict)
        if verdict.suggestion_id not in first and is_about_the_answer(said):
            first[verdict.suggestion_id] = _wrong(answer or "", said)
    return list(first.values())


def as_verdict(row: Feedback) -> Verdict:
    """Return what a person said, as the rules of `cascade.verdicts` read it."""
    action = cast("Action", row.action)
    return Verdict(action, row.final_text, row.reason, row.suits, row.observed)


def _wrong(answer: str, said: Verdict) -> float:
    if said.action == "edited":
        return float(is_heavy_edit(answer, said.final or ""))
    if said.action == "audited":
        return float(not said.suits)
    return float(said.action != "accepted")
