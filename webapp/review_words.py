"""What the review queue's pages say of each kind of review, and of verdicts that disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from webapp.models import Feedback, Suggestion
from webapp.panel import name_of
from webapp.standing import verdicts_on

KINDS = {
    "alarm": "Certificate alarm",
    "escalation": "Escalation",
    "contradiction": "Contradiction",
    "audit": "Audit",
}
RESOLVED = {
    "alarm": "Resolved: the alarm is closed with your note.",
    "escalation": "Resolved: your text is the reply, and kept as feedback.",
    "contradiction": "Settled: your finding is kept as feedback on both.",
    "audit": "Judged: your finding is kept as feedback.",
}
DISMISSED = {
    "alarm": "Dismissed: the alarm is closed with your note.",
    "escalation": "Dismissed without an answer.",
    "contradiction": "Dismissed: both verdicts stay as they are.",
    "audit": "Dismissed without a finding.",
}
ACTIONS = {
    "accepted": "accepted it",
    "edited": "sent another text",
    "dismissed": "dismissed it",
    "corrected": "answered in its place",
}
SUITS = "found in review that it suits"
SUITS_NOT = "found in review that it does not suit"


@dataclass(frozen=True)
class Said:
    """A verdict in words: who gave it, when, why, and what was sent instead."""

    who: str
    did: str
    at: datetime
    reason: str | None
    final_text: str | None


@dataclass(frozen=True)
class Side:
    """One of two answers whose verdicts disagree, and what differs of its customer."""

    suggestion: Suggestion
    said: Sequence[Said]
    differs: frozenset[str]


def sides(session: Session, one: Suggestion, other: Suggestion) -> list[Side]:
    """Return the two sides of a contradiction, with all verdicts that count."""
    verdicts = verdicts_on(session, (one, other))
    features = one.shown["features"], other.shown["features"]
    names = set().union(*features)
    differs = frozenset(each for each in names if features[0].get(each) != features[1].get(each))
    return [
        Side(each, [_said(session, each, verdict) for verdict in verdicts[each.id]], differs)
        for each in (one, other)
    ]


def _said(session: Session, suggestion: Suggestion, verdict: Feedback) -> Said:
    sent = verdict.final_text
    found = SUITS if verdict.suits else SUITS_NOT
    return Said(
        who=name_of(session, verdict),
        did=ACTIONS.get(verdict.action, found),
        at=verdict.created_at,
        reason=verdict.reason,
        final_text=None if sent == suggestion.answer else sent,
    )
