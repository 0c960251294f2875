"""The admin's page: escalations one at a time, with everything needed to answer them right."""

from collections.abc import Callable, Sequence
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from cascade.text import readable
from webapp import remembering, reviews
from webapp.access import signed_in
from webapp.context import database, desk, runs
from webapp.errors import Refused
from webapp.models import Review, Suggestion, User, utc_now
from webapp.panel import candidate_at, history_of, holder_of

WAITING_SHOWN = 6

blueprint = Blueprint("review", __name__)


@blueprint.app_context_processor
def _for_every_page() -> dict[str, Callable[[], int]]:
    return {"open_escalations": _open_escalations}


def _open_escalations() -> int:
    """Return how many escalations wait; templates call it for admins only."""
    with database().read() as rows:
        return reviews.count_open(rows, g.tenant.id)


@blueprint.get("/review")
@signed_in(admin=True)
def queue() -> ResponseReturnValue:
    """Go to the escalation this admin should look at next, or say that none waits."""
    with database().read() as rows:
        following = reviews.next_open(rows, g.tenant.id, g.user)
        if following is not None:
            return redirect(url_for("review.one", escalation_id=following.id), 303)
        return render_template("review_empty.html", waiting=_waiting(rows), now=utc_now())


@blueprint.get("/review/<uuid:escalation_id>")
@signed_in(admin=True)
def one(escalation_id: UUID) -> ResponseReturnValue:
    """Show one escalation; `?from=POSITION` starts the answer from that step's candidate."""
    with database().read() as rows:
        row = _escalation(rows, escalation_id)
        return _show(rows, row, {"final_text": _start_from(row.suggestion)})


@blueprint.get("/review/<uuid:escalation_id>/next")
@signed_in(admin=True)
def skip(escalation_id: UUID) -> ResponseReturnValue:
    """Go to the next escalation that no other admin holds, starting over after the last."""
    with database().read() as rows:
        row = _escalation(rows, escalation_id)
        following = reviews.next_after(rows, row, g.user)
    if following is None:
        flash("No other escalation is free right now.", "note")
    return redirect(url_for("review.one", escalation_id=following or row.id), 303)


@blueprint.post("/review/<uuid:escalation_id>/claim")
@signed_in(admin=True)
def claim(escalation_id: UUID) -> ResponseReturnValue:
    """Reserve the escalation for the admin who asks."""
    return _try(escalation_id, reviews.claim, done=None)


@blueprint.post("/review/<uuid:escalation_id>/release")
@signed_in(admin=True)
def release(escalation_id: UUID) -> ResponseReturnValue:
    """Give the escalation back to the queue."""
    return _try(escalation_id, reviews.release, done="Released. Another admin can take it now.")


def _try(
    escalation_id: UUID, change: Callable[[Session, Review, User], None], *, done: str | None
) -> ResponseReturnValue:
    try:
        with database().write() as rows:
            change(rows, _escalation(rows, escalation_id), g.user)
    except Refused as exc:
        flash(f"That did not work: {exc}.", "problem")
    else:
        if done:
            flash(done, "done")
    return redirect(url_for("review.one", escalation_id=escalation_id), 303)


@blueprint.post("/review/<uuid:escalation_id>/resolve")
@signed_in(admin=True)
def resolve(escalation_id: UUID) -> ResponseReturnValue:
    """Send the corrected answer, close the escalation and go to the next."""
    given = _given()

    def change(rows: Session, row: Review) -> str:
        return reviews.resolve(rows, row, g.user, **given).id

    return _close(
        escalation_id, change, given, done="Resolved: your text is the reply, and kept as feedback."
    )


@blueprint.post("/review/<uuid:escalation_id>/dismiss")
@signed_in(admin=True)
def dismiss(escalation_id: UUID) -> ResponseReturnValue:
    """Close the escalation without an answer and go to the next."""
    given = _given()

    def change(rows: Session, row: Review) -> None:
        reviews.dismiss(rows, row, g.user, note=given["note"])

    return _close(escalation_id, change, given, done="Dismissed without an answer.")


def _close(
    escalation_id: UUID,
    change: Callable[[Session, Review], str | None],
    given: dict[str, str],
    *,
    done: str,
) -> ResponseReturnValue:
    """Make the closing change, and learn from the feedback it gives the id of, if it does.

    Where it is refused, show the page again with what was typed.
    """
    try:
        with database().write() as rows:
            correction = change(rows, _escalation(rows, escalation_id))
    except Refused as exc:
        flash(f"Nothing was closed: {exc}.", "problem")
        with database().read() as rows:
            return _show(rows, _escalation(rows, escalation_id), given), 409
    if correction is not None:
        runs().submit(remembering.learn, database(), desk(), correction)
    flash(done, "done")
    return redirect(url_for("review.queue"), 303)


def _given() -> dict[str, str]:
    names = ("final_text", "root_cause", "note")
    return {name: readable(request.form.get(name, "")).strip() for name in names}


def _show(rows: Session, row: Review, given: dict[str, str]) -> str:
    return render_template(
        "review.html",
        escalation=row,
        suggestion=row.suggestion,
        ticket=row.suggestion.ticket,
        history=history_of(rows, row.suggestion.ticket),
        mine=_is_mine(row),
        holder=holder_of(rows, row.suggestion),
        closer=rows.get(User, row.closed_by) if row.closed_by else None,
        given=given,
        root_causes=reviews.ROOT_CAUSES,
        waiting=_waiting(rows),
        now=utc_now(),
    )


def _is_mine(row: Review) -> bool:
    return row.status == "open" and row.claimed_by == g.user.id


def _start_from(suggestion: Suggestion) -> str:
    """Return the candidate that was asked for, else the best one, to correct; may be empty."""
    position = request.args.get("from", type=int)
    if position is not None:
        return candidate_at(suggestion, position) or ""
    return suggestion.answer or "" if suggestion.score is not None else ""


def _waiting(rows: Session) -> Sequence[Review]:
    """Return the oldest open escalations, whoever holds them."""
    suggestion = joinedload(Review.suggestion)
    return rows.scalars(
        select(Review)
        .where(Review.tenant_id == g.tenant.id, Review.status == "open")
        .options(
            suggestion.joinedload(Suggestion.ticket), suggestion.joinedload(Suggestion.customer)
        )
        .order_by(Review.created_at, Review.id)
        .limit(WAITING_SHOWN)
    ).all()


def _escalation(rows: Session, escalation_id: UUID) -> Review:
    return reviews.find(rows, g.tenant.id, str(escalation_id))
