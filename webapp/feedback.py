"""What people did with a suggestion, and what that does to the ticket."""

from sqlalchemy.orm import Session

from webapp import audit
from webapp.audit import Caller
from webapp.errors import Refused
from webapp.models import Feedback, Suggestion, Ticket, utc_now
from webapp.suggestions import close_waiting

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

    Raises `Refused` while the suggestion still runs, for an acceptance of what was not good
    enough, and for an edit without its text.
    """
    if suggestion.status == "running":
        raise Refused("the suggestion is still being made; give feedback once it is there")
    if action == "accepted" and suggestion.status != "suggested":
        raise Refused("no answer was good enough here, so there is none to accept; edit it instead")
    if action == "edited" and not (final_text or "").strip():
        raise Refused("action is 'edited' without final_text; expected the text that was sent")
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
        send_reply(session, suggestion, final_text)
        close_waiting(session, suggestion, "resolved", f"Answered by {caller.actor}.")
    session.flush()
    audit.record(session, suggestion.tenant_id, caller.actor, f"feedback.{action}", suggestion.id)
    return feedback


def send_reply(session: Session, suggestion: Suggestion, text: str) -> None:
    """Mark the suggestion's ticket as answered with this text."""
    ticket = session.get_one(Ticket, suggestion.ticket_id)
    ticket.reply, ticket.replied_at, ticket.status = text, utc_now(), "answered"
