"""What reviewers decide: the right answer, what is wrong with one, what was done about an alarm."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cascade.verdicts import CUSTOMER_DATA
from webapp import feedback, regression, remembering, reviews, rubric
from webapp.audit import Caller
from webapp.errors import Refused
from webapp.models import Feedback, Review, Suggestion, User
from webapp.rubric import Rubric

SECOND_LOOKS = 0.2
"""The share of closed audits that another admin judges too."""
SECOND_LOOK = "A second look, drawn at random; the first reviewer's finding is not shown."


@dataclass(frozen=True)
class Finding:
    """What a reviewer found of an answer, by criterion, and the right answer where there is one."""

    rubric: Rubric
    root_cause: str | None = None
    final_text: str | None = None
    note: str | None = None


def resolve(
    session: Session,
    review: Review,
    user: User,
    *,
    final_text: str,
    root_cause: str,
    note: str | None = None,
    found: Rubric | None = None,
) -> Feedback:
    """Answer the ticket with the admin's text, which becomes feedback, and close the escalation.

    `found` is about the best candidate. Raises `Refused` for somebody else's escalation, for a
    missing answer or root cause, and where the ticket has moved on.
    """
    reviews.must_hold(review, user)
    if not final_text.strip():
        raise Refused("the answer is empty; write the reply, or dismiss the escalation")
    reviews.check_root_cause(root_cause)
    suggestion = session.get_one(Suggestion, review.suggestion_id)
    feedback.must_be_current(session, suggestion)
    correction = _correct(session, suggestion, user, final_text, root_cause)
    about_one = found if suggestion.answer is not None else None
    reviews.close(
        session, review, user, "resolved", root_cause=root_cause, found=about_one, note=note
    )
    feedback.send_reply(session, Caller(user.tenant_id, correction.actor), suggestion, final_text)
    return correction


def _correct(
    session: Session, suggestion: Suggestion, user: User, final_text: str, root_cause: str
) -> Feedback:
    """Store an admin's own answer as feedback, with all that follows from it at once."""
    correction = Feedback(
        tenant_id=user.tenant_id,
        suggestion_id=suggestion.id,
        actor=f"user:{user.email}",
        action="corrected",
        final_text=final_text,
        reason=root_cause,
        observed=1.0,
    )
    session.add(correction)
    session.flush()
    remembering.take_back(session, suggestion, correction)
    regression.add(session, suggestion, correction)
    return correction


def judge(
    session: Session,
    review: Review,
    user: User,
    finding: Finding,
    *,
    draw: Callable[[], float] = random.random,
) -> list[Feedback]:
    """Close an audit or a contradiction with a finding, which becomes feedback on its answers.

    No ticket changes. Of audits a share, by `draw` from [0, 1), gets a second look. Raises
    `Refused` for somebody else's review, for a criterion without a finding, and where something is
    wrong without a root cause.
    """
    _hold(session, review, user)
    _check(finding)
    about = [session.get_one(Suggestion, review.suggestion_id)]
    if review.other_id is not None:
        about.append(session.get_one(Suggestion, review.other_id))
    given = [_give(session, review, each, user, finding) for each in about]
    reviews.close(
        session,
        review,
        user,
        "resolved",
        root_cause=finding.root_cause or None,
        found=finding.rubric,
        note=finding.note,
    )
    if _wants_second_look(session, review, user) and draw() < SECOND_LOOKS:
        _second_look(session, review)
    return given


def resolve_alarm(session: Session, review: Review, user: User, *, note: str) -> None:
    """Close an alarm with what was done; raises `Refused` where the note does not say it."""
    _hold(session, review, user)
    if not note.strip():
        raise Refused("the note is empty; say what was done about the alarm")
    reviews.close(session, review, user, "resolved", note=note)


def _hold(session: Session, review: Review, user: User) -> None:
    """Lock the review, so that of two clicks on the same button one closes it."""
    session.refresh(review, with_for_update=True)
    reviews.must_hold(review, user)


def _check(finding: Finding) -> None:
    if missing := rubric.unanswered(finding.rubric):
        raise Refused(f"nothing was found about {', '.join(missing)}; answer every question")
    if rubric.finds_fault(finding.rubric) and not finding.root_cause:
        raise Refused("something is wrong but no root cause was given; choose one")
    if finding.root_cause:
        reviews.check_root_cause(finding.root_cause)


def _give(
    session: Session, review: Review, suggestion: Suggestion, user: User, finding: Finding
) -> Feedback:
    """Store the finding as feedback on one answer, with all that follows from it at once."""
    audited = Feedback(
        tenant_id=review.tenant_id,
        suggestion_id=suggestion.id,
        actor=f"user:{user.email}",
        action="audited",
        suits=rubric.suits(finding.rubric),
        final_text=_corrected(suggestion, finding),
        reason=finding.root_cause or None,
        observed=_drawn_with(session, suggestion) if review.kind == "audit" else 1.0,
    )
    session.add(audited)
    session.flush()
    remembering.take_back(session, suggestion, audited)
    wrong = audited.suits is False and audited.reason != CUSTOMER_DATA
    if wrong and audited.final_text:
        regression.add(session, suggestion, audited)
    return audited


def _corrected(suggestion: Suggestion, finding: Finding) -> str | None:
    """Return the reviewer's own text, None where it is the answer as it stood."""
    text = (finding.final_text or "").strip()
    return None if text.split() == (suggestion.answer or "").split() else text or None


def _drawn_with(session: Session, suggestion: Suggestion) -> float | None:
    """Return the probability with which the answer was drawn for an audit when it was sent."""
    return session.scalar(
        select(Feedback.observed)
        .where(
            Feedback.tenant_id == suggestion.tenant_id,
            Feedback.suggestion_id == suggestion.id,
            Feedback.action.in_(("accepted", "edited")),
        )
        .order_by(Feedback.created_at.desc(), Feedback.id.desc())
        .limit(1)
    )


def _wants_second_look(session: Session, review: Review, user: User) -> bool:
    """Return whether this was a first audit that another admin could judge too."""
    if review.kind != "audit" or review.round != 1:
        return False
    another = exists().where(
        User.tenant_id == user.tenant_id, User.role == "admin", User.active, User.id != user.id
    )
    return bool(session.scalar(select(another)))


def _second_look(session: Session, review: Review) -> None:
    reviews.add(
        session,
        review.tenant_id,
        "audit",
        reason=SECOND_LOOK,
        suggestion_id=review.suggestion_id,
        nth=2,
    )
