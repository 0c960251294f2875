"""Whether a policy's accepted answers still keep to what was certified: what feedback says."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import ColumnElement, Select, and_, select
from sqlalchemy.orm import Session

from cascade.verdicts import Action, Verdict, is_about_the_answer, is_heavy_edit
from cascade.watch import Watch
from webapp.models import Feedback, Policy, Review, Suggestion


@dataclass(frozen=True)
class Drift:
    """What feedback says of a certified policy.

    Of `judged` accepted answers `wrong` were wrong. The share is between `lower` and `upper`, with
    the certificate's confidence at every moment; `alarm` says that it has been above `max_error`.
    Those are verdicts at their face value. Of them `audited` were looked at a second time, drawn at
    random, and `corrected` is the share wrong that these let expect, None without any.
    """

    max_error: float
    confidence: float
    judged: int
    wrong: int
    lower: float
    upper: float
    audited: int
    corrected: float | None
    alarm: bool


def drift(session: Session, tenant_id: str, policy: Policy) -> Drift | None:
    """Return what feedback says of a stored version, None where nothing was certified of it."""
    watch = _watch(policy)
    if watch is None:
        return None
    values = wrongness(session, tenant_id, policy.version)
    looks = second_looks(session, tenant_id, policy.version)
    seen = watch.after(values)
    return Drift(
        max_error=watch.max_error,
        confidence=watch.confidence,
        judged=len(values),
        wrong=round(sum(values)),
        lower=float(seen.lower[-1]) if values else 0.0,
        upper=float(seen.upper[-1]) if values else 1.0,
        audited=looks.audited,
        corrected=looks.share,
        alarm=_is_alarm(watch, values, looks),
    )


def alarmed(session: Session, tenant_id: str, policy: Policy) -> bool:
    """Return whether feedback says that a stored version no longer keeps to its certificate."""
    watch = _watch(policy)
    if watch is None:
        return False
    values = wrongness(session, tenant_id, policy.version)
    return _is_alarm(watch, values, second_looks(session, tenant_id, policy.version))


@dataclass(frozen=True)
class SecondLooks:
    """Accepted answers, each wrong one standing for as many as it was likely to be looked at for.

    An answer that a person found wrong at once counts 1, one that an audit found wrong 1 / p where
    audits are drawn with probability p, all others 0: in the mean that is the share wrong, however
    many wrong ones were accepted unread. `values` are these times the smallest p, in [0, 1].
    Source: Horvitz and Thompson, JASA 1952.
    """

    values: list[float]
    smallest: float
    audited: int

    @property
    def share(self) -> float | None:
        """The share of wrong answers that is to be expected, None without audits."""
        if not self.audited:
            return None
        return min(1.0, sum(self.values) / self.smallest / len(self.values))


def second_looks(session: Session, tenant_id: str, policy: str) -> SecondLooks:
    """Return the accepted answers of a policy version in the order their worth became known.

    What is drawn for an audit counts once that is closed.
    """
    audit = and_(
        Review.tenant_id == Suggestion.tenant_id,
        Review.suggestion_id == Suggestion.id,
        Review.kind == "audit",
        Review.round == 1,
    )
    rows = session.execute(
        _verdicts(Suggestion.tenant_id == tenant_id, Suggestion.policy == policy)
        .add_columns(Review.status, Review.suits, Review.closed_at)
        .outerjoin(Review, audit)
        .where(Feedback.action != "audited")
    )
    seen: set[str] = set()
    found: list[tuple[datetime, float, float, bool]] = []
    for answer, verdict, status, suits, closed_at in rows:
        said = as_verdict(verdict)
        if verdict.suggestion_id in seen or not is_about_the_answer(said):
            continue
        seen.add(verdict.suggestion_id)
        if status is None:
            found.append((verdict.created_at, _wrong(answer or "", said), 1.0, False))
        elif status == "resolved" and closed_at is not None:
            found.append((closed_at, float(suits is False), said.observed or 1.0, True))
    smallest = min((p for *_, p, audited in found if audited), default=1.0)
    values = [wrong * smallest / p for _, wrong, p, _ in sorted(found, key=lambda each: each[0])]
    return SecondLooks(values, smallest, sum(audited for *_, audited in found))


def _is_alarm(watch: Watch, values: list[float], looks: SecondLooks) -> bool:
    """Return whether verdicts alone, or audits, refute the certificate; both share its chance."""
    if not looks.audited:
        return watch.alarm_at(values) is not None
    each = (1 + watch.confidence) / 2
    alone = Watch(watch.max_error, each).alarm_at(values)
    audited = Watch(watch.max_error * looks.smallest, each).alarm_at(looks.values)
    return alone is not None or audited is not None


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
    arrived = session.execute(_verdicts(*which))
    first: dict[str, float] = {}
    for answer, verdict in arrived:
        said = as_verdict(verdict)
        if verdict.suggestion_id not in first and is_about_the_answer(said):
            first[verdict.suggestion_id] = _wrong(answer or "", said)
    return list(first.values())


def _verdicts(*which: ColumnElement[bool]) -> Select[str | None, Feedback]:
    """Return the verdicts on accepted answers, with the answer, in order of arrival."""
    return (
        select(Suggestion.answer, Feedback)
        .join(
            Feedback,
            (Feedback.tenant_id == Suggestion.tenant_id)
            & (Feedback.suggestion_id == Suggestion.id),
        )
        .where(*which, Suggestion.status == "suggested", Feedback.withdrawn_at.is_(None))
        .order_by(Feedback.created_at, Feedback.id)
    )


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
