"""What people did with a suggestion, and what that does to the ticket."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit, remembering
from webapp.audit import Caller
from webapp.errors import Refused
from webapp.models import Feedback, Suggestion, Ticket, utc_now
from webapp.suggestions import close_waiting, is_newest, locked_ticket

ACTIONS = ("accepted", "edited", "dismissed")


def give(
    session: Session,
    caller: Caller,
    suggestion: Suggestion,
    *,
    action: str,
    final_text: str | None = None,
    reason: str | None = None,
    rating: int | None = None,
) -> Feedback:
    """Record a verdict. Accepted and edited ones answer the ticket with the final text.

    Raises `Refused` for an unknown action, while the suggestion still runs, for an acceptance of
    what was not good enough, for an edit without its text, where the ticket has moved on, and for
    a second dismissal.
    """
    if action not in ACTIONS:
        raise Refused(f"the action is unknown; expected one of {', '.join(ACTIONS)}")
    if suggestion.status == "running":
        raise Refused("the suggestion is still being made; give feedback once it is there")
    if action == "accepted" and suggestion.status != "suggested":
        raise Refused("no answer was good enough here, so there is none to accept; edit it instead")
    if action == "edited" and not (final_text or "").strip():
        raise Refused("action is 'edited' without final_text; expected the text that was sent")
    must_be_current(session, suggestion)
    if action == "dismissed" and _was_dismissed(session, suggestion):
        raise Refused("this draft has been dismissed already")
    if action == "accepted":
        final_text = suggestion.answer
    feedback = Feedback(
        tenant_id=suggestion.tenant_id,
        suggestion_id=suggestion.id,
        actor=caller.actor,
        action=action,
        final_text=final_text,
        reason=reason,
        rating=rating,
    )
    session.add(feedback)
    if final_text and action != "dismissed":
        send_reply(session, caller, suggestion, final_text)
    session.flush()
    remembering.take_back(session, suggestion, feedback)
    audit.record(session, suggestion.tenant_id, caller.actor, f"feedback.{action}", suggestion.id)
    return feedback


def must_be_current(session: Session, suggestion: Suggestion) -> None:
    """Lock the ticket, or raise `Refused` where it has moved on from this suggestion."""
    if locked_ticket(session, suggestion).status == "answered":
        raise Refused("somebody has answered this ticket in the meantime")
    if not is_newest(session, suggestion):
        raise Refused("there is a newer draft; read that one first")


def send_reply(session: Session, caller: Caller, suggestion: Suggestion, text: str) -> None:
    """Mark the suggestion's ticket as answered with this text, which no admin need look at."""
    ticket = session.get_one(Ticket, suggestion.ticket_id)
    ticket.reply, ticket.replied_at, ticket.status = text, utc_now(), "answered"
    close_waiting(session, suggestion, "resolved", f"Answered by {caller.actor}.")


def _was_dismissed(session: Session, suggestion: Suggestion) -> bool:
    dismissals = select(Feedback.id).where(
        Feedback.suggestion_id == suggestion.id, Feedback.action == "dismissed"
    )
    return session.scalar(dismissals.limit(1)) is not None
