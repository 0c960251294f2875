"""What the verdicts that stand on a suggestion teach; what was withdrawn teaches nothing."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade.verdicts import Label, labels_of
from webapp.drift import as_verdict
from webapp.models import Feedback, Suggestion


def verdicts_on(session: Session, suggestions: Sequence[Suggestion]) -> dict[str, list[Feedback]]:
    """Return the verdicts that still count, by their suggestion's id, in the order they came."""
    found: dict[str, list[Feedback]] = {each.id: [] for each in suggestions}
    rows = session.scalars(
        select(Feedback)
        .where(
            Feedback.tenant_id.in_({each.tenant_id for each in suggestions}),
            Feedback.suggestion_id.in_(found),
            Feedback.withdrawn_at.is_(None),
        )
        .order_by(Feedback.created_at, Feedback.id)
    )
    for row in rows:
        found[row.suggestion_id].append(row)
    return found


def labels_on(session: Session, suggestion: Suggestion) -> tuple[Label, ...]:
    """Return the labels that the verdicts on a suggestion give, by `cascade.verdicts`."""
    return _labels(suggestion, verdicts_on(session, [suggestion])[suggestion.id])


def labels_of_answers(session: Session, suggestions: Sequence[Suggestion]) -> dict[str, int | None]:
    """Return the labels of the answers as suggested, by id; None where the verdicts give none."""
    said = verdicts_on(session, suggestions)
    return {each.id: _label_of_answer(each, said[each.id]) for each in suggestions}


def _label_of_answer(suggestion: Suggestion, verdicts: Sequence[Feedback]) -> int | None:
    labels = _labels(suggestion, verdicts)
    return next((each.label for each in labels if each.text == suggestion.answer), None)


def _labels(suggestion: Suggestion, verdicts: Sequence[Feedback]) -> tuple[Label, ...]:
    return labels_of(suggestion.answer, [as_verdict(each) for each in verdicts])
