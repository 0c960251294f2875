"""The admin's pages of the review queue: one review at a time, with what is needed to judge it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from cascade.text import readable
from webapp import followup, judging, policies, policy_words, review_words, reviews, rubric
from webapp.access import signed_in
from webapp.agreement import agreement
from webapp.context import database, desk, runs
from webapp.drift import drift
from webapp.errors import Refused
from webapp.judging import Finding
from webapp.models import Feedback, Review, Suggestion, User, utc_now
from webapp.panel import candidate_at, history_of

WAITING_SHOWN = 6
FIELDS = ("final_text", "root_cause", "note")
"""What every form may send besides the criteria."""

Given = Mapping[str, str]

blueprint = Blueprint("review", __name__)


@blueprint.app_context_processor
def _for_every_page() -> dict[str, Any]:
    return {"open_reviews": _open_reviews, "REVIEW_KINDS": review_words.KINDS}


def _open_reviews() -> int:
    """Return how many reviews wait for this admin; templates call it for admins only."""
    with database().read() as rows:
        return reviews.count_open(rows, g.tenant.id, g.user)


@blueprint.get("/review")
@signed_in(admin=True)
def queue() -> ResponseReturnValue:
    """Go to the review this admin should look at next, or say that none waits."""
    with database().read() as rows:
        following = reviews.next_open(rows, g.tenant.id, g.user)
        if following is not None:
            return redirect(url_for("review.one", review_id=following.id), 303)
        return render_template("review/empty.html", **_beside(rows))


@blueprint.get("/review/<uuid:review_id>")
@signed_in(admin=True)
def one(review_id: UUID) -> ResponseReturnValue:
    """Show one review; `?from=POSITION` starts the answer from that step's candidate."""
    with database().read() as rows:
        row = _review(rows, review_id)
        return _show(rows, row, {"final_text": _start_from(row)})


@blueprint.get("/review/<uuid:review_id>/next")
@signed_in(admin=True)
def skip(review_id: UUID) -> ResponseReturnValue:
    """Go to the next review that no other admin holds, starting over after the last."""
    with database().read() as rows:
        row = _review(rows, review_id)
        following = reviews.next_after(rows, row, g.user)
    if following is None:
        flash("Nothing else is free in the queue right now.", "note")
    return redirect(url_for("review.one", review_id=following or row.id), 303)


@blueprint.post("/review/<uuid:review_id>/claim")
@signed_in(admin=True)
def claim(review_id: UUID) -> ResponseReturnValue:
    """Reserve the review for the admin who asks."""
    return _try(review_id, reviews.claim, done=None)


@blueprint.post("/review/<uuid:review_id>/release")
@signed_in(admin=True)
def release(review_id: UUID) -> ResponseReturnValue:
    """Give the review back to the queue."""
    return _try(review_id, reviews.release, done="Released. Another admin can take it now.")


def _try(
    review_id: UUID, change: Callable[[Session, Review, User], None], *, done: str | None
) -> ResponseReturnValue:
    try:
        with database().write() as rows:
            change(rows, _review(rows, review_id), g.user)
    except Refused as exc:
        flash(f"That did not work: {exc}.", "problem")
    else:
        if done:
            flash(done, "done")
    return redirect(url_for("review.one", review_id=review_id), 303)


@blueprint.post("/review/<uuid:review_id>/resolve")
@signed_in(admin=True)
def resolve(review_id: UUID) -> ResponseReturnValue:
    """Close the review with what its kind asks for, and go to the next."""
    given = _given()

    def change(rows: Session, row: Review) -> Sequence[Feedback]:
        return DECISIONS[row.kind](rows, row, given)

    return _close(review_id, change, given, done=review_words.RESOLVED)


@blueprint.post("/review/<uuid:review_id>/dismiss")
@signed_in(admin=True)
def dismiss(review_id: UUID) -> ResponseReturnValue:
    """Close the review without a finding and go to the next."""
    given = _given()

    def change(rows: Session, row: Review) -> Sequence[Feedback]:
        reviews.dismiss(rows, row, g.user, note=given["note"])
        return ()

    return _close(review_id, change, given, done=review_words.DISMISSED)


def _resolve_escalation(rows: Session, row: Review, given: Given) -> Sequence[Feedback]:
    correction = judging.resolve(
        rows,
        row,
        g.user,
        final_text=given["final_text"],
        root_cause=given["root_cause"],
        note=given["note"],
        found=rubric.read(given),
    )
    return (correction,)


def _judge(rows: Session, row: Review, given: Given) -> Sequence[Feedback]:
    found = Finding(rubric.read(given), given["root_cause"], given["final_text"], given["note"])
    return judging.judge(rows, row, g.user, found)


def _resolve_alarm(rows: Session, row: Review, given: Given) -> Sequence[Feedback]:
    judging.resolve_alarm(rows, row, g.user, note=given["note"])
    return ()


DECISIONS: dict[str, Callable[[Session, Review, Given], Sequence[Feedback]]] = {
    "alarm": _resolve_alarm,
    "escalation": _resolve_escalation,
    "contradiction": _judge,
    "audit": _judge,
}


def _close(
    review_id: UUID,
    change: Callable[[Session, Review], Sequence[Feedback]],
    given: Given,
    *,
    done: Mapping[str, str],
) -> ResponseReturnValue:
    """Make the closing change, and have followed up what feedback it gives.

    Where it is refused, show the page again with what was typed.
    """
    try:
        with database().write() as rows:
            row = _review(rows, review_id)
            verdicts = change(rows, row)
    except Refused as exc:
        flash(f"Nothing was closed: {exc}.", "problem")
        with database().read() as rows:
            return _show(rows, _review(rows, review_id), given), 409
    for verdict in verdicts:
        runs().submit(followup.of_verdict, database(), desk(), verdict.id)
    flash(done[row.kind], "done")
    return redirect(url_for("review.queue"), 303)


def _given() -> Given:
    names = (*FIELDS, *(each.name for each in rubric.CRITERIA))
    return {name: readable(request.form.get(name, "")).strip() for name in names}


# What the pages show


def _show(rows: Session, row: Review, given: Given) -> str:
    return render_template(
        f"review/{row.kind}.html",
        review=row,
        mine=row.status == "open" and row.claimed_by == g.user.id,
        holder=reviews.holder(rows, row),
        closer=rows.get(User, row.closed_by) if row.closed_by else None,
        not_mine=_judged_first(rows, row),
        given=given,
        root_causes=reviews.ROOT_CAUSES,
        **_subject(rows, row),
        **_beside(rows),
    )


def _beside(rows: Session) -> dict[str, Any]:
    """Return what stands beside every review, and alone where none waits."""
    return {
        "waiting": reviews.waiting(rows, g.tenant.id, g.user, limit=WAITING_SHOWN),
        "agreement": agreement(rows, g.tenant.id),
        "criteria": rubric.CRITERIA,
        "second_looks": judging.SECOND_LOOKS,
        "now": utc_now(),
    }


def _subject(rows: Session, row: Review) -> dict[str, Any]:
    """Return what the review is about, as its kind's template reads it."""
    if row.kind == "alarm":
        policy = policies.find(rows, g.tenant.id, row.policy or "")
        return {"policy": policy, "drift": drift(rows, g.tenant.id, policy), "words": policy_words}
    about = {
        "suggestion": row.suggestion,
        "ticket": row.suggestion.ticket,
        "history": history_of(rows, row.suggestion.ticket),
    }
    if row.other is not None:
        return about | {"sides": review_words.sides(rows, row.other, row.suggestion)}
    return about | {"hidden": _is_hidden(rows, row)}


def _judged_first(rows: Session, row: Review) -> bool:
    """Return whether this is a second look at what the admin who is signed in judged first."""
    first = reviews.first_look(rows, row)
    return first is not None and first.closed_by == g.user.id


def _is_hidden(rows: Session, row: Review) -> bool:
    """Return whether a first finding must not be read yet, because a second one is to come."""
    return row.closed_by != g.user.id and reviews.awaits_second_look(rows, row)


def _start_from(row: Review) -> str:
    """Return the candidate that was asked for, else the best one, to correct; may be empty."""
    if row.suggestion is None:
        return ""
    position = request.args.get("from", type=int)
    if position is not None:
        return candidate_at(row.suggestion, position) or ""
    return _best(row.suggestion)


def _best(suggestion: Suggestion) -> str:
    return suggestion.answer or "" if suggestion.score is not None else ""


def _review(rows: Session, review_id: UUID) -> Review:
    return reviews.find(rows, g.tenant.id, str(review_id))
