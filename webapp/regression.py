"""The frozen set that candidates are judged on: it grows from what admins corrected."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from scoring.examples import Example, Pair, as_row
from webapp import customers
from webapp.models import Feedback, RegressionCase, Suggestion
from webapp.standing import labels_on


def add(session: Session, suggestion: Suggestion, correction: Feedback) -> int:
    """Add what an admin's correction says of a suggestion; returns how many cases are new.

    The draft is one with label 0 and the admin's text one with label 1, as far as the verdicts
    give these labels. What is there stays as it is.
    """
    labels = {(each.text, each.label) for each in labels_on(session, suggestion)}
    meant = ((suggestion.answer, 0), (correction.final_text, 1))
    return sum(
        _add(session, suggestion, text, label)
        for text, label in meant
        if text is not None and (text, label) in labels
    )


def _add(session: Session, suggestion: Suggestion, text: str, label: int) -> bool:
    # The customer's day is the suggestion's, so that its example reads as the scorer was shown it.
    pair = Pair(suggestion.question, text, customers.as_scored(suggestion.shown))
    try:
        with session.begin_nested():
            session.add(
                RegressionCase(
                    tenant_id=suggestion.tenant_id,
                    customer=pair.customer.id,
                    segment=suggestion.segment,
                    suggestion_id=suggestion.id,
                    label=label,
                    row=as_row(Example(pair, label, suggestion.created_at)),
                )
            )
    except IntegrityError:
        # An earlier correction gave this case already.
        return False
    return True
