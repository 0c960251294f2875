"""The agent's pages: the inbox, and one ticket with its draft and its customer beside it.

Every form works without JavaScript: it posts, is redirected, and the page says what happened.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from uuid import UUID

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    stream_with_context,
    url_for,
)
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade.policy import Policy, Tier
from cascade.text import readable
from cascade.verdicts import NO_REPLY_NEEDED, TONE
from webapp import (
    customers,
    display,
    feedback,
    followup,
    models,
    reviews,
    suggestions,
    ticket_lists,
)
from webapp.access import caller, signed_in
from webapp.context import audits, database, desk, runs
from webapp.errors import NotReady, Refused, places
from webapp.models import Feedback, Suggestion, Ticket, User, utc_now
from webapp.suggestions import GRACE

log = logging.getLogger(__name__)

TABS = {"open": "Open", "escalated": "Escalated", "answered": "Answered"}
LONGEST_SEARCH = 200
LONGEST_HISTORY = 60
LIST_SEEN = "list_seen"
"""The session's key for the list that an agent came from and goes back to."""
POLL_S = 0.15
HEARTBEAT_S = 10.0
DISMISSALS = (
    "Wrong for this customer",
    "Wrong about the policy",
    "Does not answer the question",
    TONE,
    NO_REPLY_NEEDED,
)

blueprint = Blueprint("panel", __name__)


@blueprint.record_once
def _install(state: BlueprintSetupState) -> None:
    assert isinstance(state.app, Flask)  # noqa: S101
    display.install(state.app)
    state.app.add_template_global(LONGEST_HISTORY, "LONGEST_HISTORY")  # type: ignore[arg-type]


# The inbox


@blueprint.get("/tickets")
@signed_in()
def inbox() -> ResponseReturnValue:
    """List the tickets of one status, newest first, those that match the search."""
    status = request.args.get("status", "open")
    if status not in TABS:
        abort(404, f"There is no list {status!r}; expected one of {', '.join(TABS)}.")
    search = readable(request.args.get("q", ""))[:LONGEST_SEARCH].strip()
    session[LIST_SEEN] = {"status": status, "q": search or None}
    with database().read() as rows:
        matching = ticket_lists.matching(g.tenant.id, search)
        before = request.args.get("before", type=UUID)
        tickets, more = ticket_lists.page(
            rows,
            [*matching, Ticket.status == status],
            before=_ticket(rows, str(before)) if before else None,
        )
        return render_template(
            "inbox.html",
            tabs=TABS,
            status=status,
            search=search,
            counts=ticket_lists.counts(rows, matching),
            tickets=tickets,
            older=tickets[-1].id if more else None,
            latest=ticket_lists.latest_drafts(rows, tickets),
        )


@blueprint.get("/tickets/<uuid:ticket_id>/next")
@signed_in()
def following(ticket_id: UUID) -> ResponseReturnValue:
    """Go to the next older ticket of the list the agent came from, or back to that list."""
    seen = session.get(LIST_SEEN, {})
    with database().read() as rows:
        conditions = ticket_lists.matching(g.tenant.id, seen.get("q") or "")
        conditions.append(Ticket.status == seen.get("status", "open"))
        here = _ticket(rows, str(ticket_id))
        older, _ = ticket_lists.page(rows, conditions, before=here, limit=1)
    if not older:
        flash("That was the last ticket of this list.", "note")
        return redirect(url_for("panel.inbox", **seen), 303)
    return redirect(url_for("panel.ticket", ticket_id=older[0].id), 303)


# A ticket


@dataclass(frozen=True)
class Sent:
    """The reply a customer got: what was done to the draft and by whom, where that is known."""

    text: str
    action: str | None
    by: str | None


@blueprint.get("/tickets/<uuid:ticket_id>")
@signed_in()
def ticket(ticket_id: UUID) -> ResponseReturnValue:
    """Show a ticket; `?do=edit` and `?do=dismiss` open the form in the draft's place."""
    with database().read() as rows:
        found = _ticket(rows, str(ticket_id))
        return _show(rows, found, do=request.args.get("do"), text=_candidate_asked_for(found))


def _show(rows: Session, row: Ticket, *, do: str | None, text: str | None) -> str:
    return render_template("ticket.html", do=do, text=text, **_contents(rows, row))


def _contents(rows: Session, row: Ticket) -> dict[str, object]:
    """Return what the ticket's template reads."""
    newest = _newest(row)
    return {
        "ticket": row,
        "history": history_of(rows, row),
        "suggestion": newest,
        "state": state_of(row, newest),
        "tiers": tiers_of(rows, newest),
        "sent": _sent(rows, row),
        "holder": holder_of(rows, newest),
        "dismissals": DISMISSALS,
        "back": url_for("panel.inbox", **session.get(LIST_SEEN, {})),
    }


def state_of(row: Ticket, newest: Suggestion | None) -> str:
    """Return which draft area to show; each has a template of that name under `draft/`."""
    if newest is not None and newest.status == "running":
        return "running"
    if row.status == "answered":
        return "answered"
    if newest is None:
        return "none"
    verdict = display.verdict_shown(newest)
    return "dismissed" if verdict and verdict.action == "dismissed" else newest.status


def history_of(rows: Session, row: Ticket) -> Sequence[models.HistoryEntry]:
    """Return the history to show beside a ticket, newest first, and one line more if there is."""
    return customers.newest_history(rows, row.customer, LONGEST_HISTORY + 1)


def tiers_of(rows: Session, suggestion: Suggestion | None) -> tuple[Tier, ...]:
    """Return the tiers that a running suggestion's ticket meets, asked or not."""
    if suggestion is None or suggestion.status != "running":
        return ()
    document = rows.scalar(
        select(models.Policy.document).where(
            models.Policy.tenant_id == suggestion.tenant_id,
            models.Policy.version == suggestion.policy,
        )
    )
    if document is None:
        return ()
    return Policy.from_json(document).for_ticket(suggestion.ticket.external_id).tiers


def holder_of(rows: Session, suggestion: Suggestion | None) -> str | None:
    """Return the name of the admin who holds the suggestion's escalation right now."""
    return reviews.holder(rows, suggestion.escalation if suggestion else None)


def _sent(rows: Session, row: Ticket) -> Sent | None:
    if row.reply is None:
        return None
    verdict = rows.scalar(
        select(Feedback)
        .join(Suggestion, Suggestion.id == Feedback.suggestion_id)
        .where(
            Feedback.tenant_id == row.tenant_id,
            Suggestion.ticket_id == row.id,
            Feedback.action.in_(("accepted", "edited", "corrected")),
        )
        .order_by(Feedback.created_at.desc())
        .limit(1)
    )
    if verdict is None:
        return Sent(row.reply, None, None)
    return Sent(row.reply, verdict.action, name_of(rows, verdict))


def name_of(rows: Session, verdict: Feedback) -> str:
    """Return who gave a verdict, as people know them."""
    kind, _, name = verdict.actor.partition(":")
    if kind != "user":
        return f"{name} (API)"
    person = select(User.name).where(User.tenant_id == verdict.tenant_id, User.email == name)
    return rows.scalar(person) or name


def _candidate_asked_for(row: Ticket) -> str | None:
    """Return the scored candidate that `?from=POSITION` names, to start a reply from."""
    newest, position = _newest(row), request.args.get("from", type=int)
    return candidate_at(newest, position) if newest and position is not None else None


def candidate_at(suggestion: Suggestion, position: int) -> str | None:
    """Return the candidate of that step where it was scored; an unscored one is never shown."""
    for step in suggestion.steps:
        if step.position == position and step.score is not None:
            return step.answer
    return None


# Drafting


@blueprint.post("/tickets/<uuid:ticket_id>/draft")
@signed_in()
def draft(ticket_id: UUID) -> ResponseReturnValue:
    """Begin a draft, unless one is being made or the ticket is answered, and show the ticket."""
    try:
        setup = desk().setup(g.tenant.id)
    except NotReady as exc:
        flash(f"No draft can be made yet: {exc}.", "problem")
        return _to_ticket(ticket_id)
    with database().write() as rows:
        found = _ticket(rows, str(ticket_id), lock=True)
        begun = suggestions.begin(rows, caller(), found, setup) if _wants_draft(found) else None
    if begun:
        runs().submit(followup.make, database(), desk(), begun).add_done_callback(_log_failure)
    return _to_ticket(ticket_id)


def _log_failure(run: Future[None]) -> None:
    """Log what stopped a run that nobody waits for; its suggestion is settled as cut off."""
    if not run.cancelled() and (failure := run.exception()):
        log.error("a draft could not be stored\n%s", places(failure))


@blueprint.get("/tickets/<uuid:ticket_id>/suggestions/<uuid:suggestion_id>/events")
@signed_in()
def events(ticket_id: UUID, suggestion_id: UUID) -> ResponseReturnValue:
    """Stream the steps of a running draft as server-sent events, then its outcome."""
    with database().read() as rows:
        _suggestion(rows, str(ticket_id), str(suggestion_id))
    stream = stream_with_context(_events(str(ticket_id), str(suggestion_id)))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(stream, content_type="text/event-stream", headers=headers)


def _events(ticket_id: str, suggestion_id: str) -> Iterator[str]:
    """Yield `steps` whenever there is one more, `outcome` at the end, a comment in long pauses.

    No transaction is open while the client takes an event in or while nothing happens.
    """
    shown, heard = -1, time.monotonic()
    while True:
        with database().read() as rows:
            row = _suggestion_or_none(rows, ticket_id, suggestion_id)
            # Erased with its customer; the page, asked again, says that there is none.
            if row is None:
                return
            steps, running = len(row.steps), row.status == "running"
            page = _live(rows, row) if not running or steps > shown else None
        if page is not None:
            yield _event("steps" if running else "outcome", page)
            shown, heard = steps, time.monotonic()
        if not running:
            return
        if time.monotonic() - heard > HEARTBEAT_S:
            yield ": still asking\n\n"
            heard = time.monotonic()
        time.sleep(POLL_S)


def _live(rows: Session, row: Suggestion) -> str:
    if row.status == "running":
        return render_template("draft/tiers.html", suggestion=row, tiers=tiers_of(rows, row))
    return render_template("ticket_body.html", do=None, text=None, **_contents(rows, row.ticket))


def _event(name: str, page: str) -> str:
    lines = "".join(f"data: {line}\n" for line in page.splitlines())
    return f"event: {name}\n{lines}\n"


# What the agent did with it


@blueprint.post("/tickets/<uuid:ticket_id>/suggestions/<uuid:suggestion_id>/feedback")
@signed_in()
def give_feedback(ticket_id: UUID, suggestion_id: UUID) -> ResponseReturnValue:
    """Accept, edit or dismiss a draft; a refused edit is shown again with its text."""
    action, text = request.form.get("action", ""), readable(request.form.get("final_text", ""))
    try:
        with database().write() as rows:
            row = _suggestion(rows, str(ticket_id), str(suggestion_id))
            given = feedback.give(
                rows,
                caller(),
                row,
                action=action,
                final_text=text or None,
                reason=_reason(),
                audits=audits(),
            )
    except Refused as exc:
        flash(f"Nothing was stored: {exc}.", "problem")
        with database().read() as rows:
            do = "refused" if text else None
            return _show(rows, _ticket(rows, str(ticket_id)), do=do, text=text), 409
    runs().submit(followup.of_verdict, database(), desk(), given.id)
    flash(SAID[action], "done")
    return _to_ticket(ticket_id)


SAID = {
    "accepted": "Accepted: the draft is the reply.",
    "edited": "Saved: your version is the reply, and kept as feedback.",
    "dismissed": "Dismissed. Why is kept as feedback.",
}


def _reason() -> str | None:
    reason = request.form.get("reason", "")
    if reason and reason not in DISMISSALS:
        raise Refused("the reason is unknown; expected one of those on the page")
    parts = (reason, readable(request.form.get("detail", "")).strip())
    return ": ".join(part for part in parts if part) or None


# Rows of this tenant, or 404


def _ticket(rows: Session, ticket_id: str, *, lock: bool = False) -> Ticket:
    query = select(Ticket).where(Ticket.tenant_id == g.tenant.id, Ticket.id == ticket_id)
    row = rows.scalar(query.with_for_update() if lock else query)
    if row is None:
        abort(404, "There is no such ticket here.")
    return row


def _suggestion(rows: Session, ticket_id: str, suggestion_id: str) -> Suggestion:
    row = _suggestion_or_none(rows, ticket_id, suggestion_id)
    if row is None:
        abort(404, "There is no such draft here.")
    return row


def _suggestion_or_none(rows: Session, ticket_id: str, suggestion_id: str) -> Suggestion | None:
    return rows.scalar(
        select(Suggestion).where(
            Suggestion.tenant_id == g.tenant.id,
            Suggestion.ticket_id == ticket_id,
            Suggestion.id == suggestion_id,
        )
    )


def _newest(row: Ticket) -> Suggestion | None:
    return row.suggestions[0] if row.suggestions else None


def _wants_draft(row: Ticket) -> bool:
    newest = _newest(row)
    being_made = newest is not None and newest.status == "running" and not _overdue(newest)
    return row.status != "answered" and not being_made


def _overdue(row: Suggestion | None) -> bool:
    return row is not None and row.status == "running" and row.deadline_at + GRACE < utc_now()


def _to_ticket(ticket_id: UUID) -> ResponseReturnValue:
    return redirect(url_for("panel.ticket", ticket_id=ticket_id), 303)
