"""What a reviewer is asked about an answer, and what the findings say of it as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass

from webapp.errors import Refused

Rubric = Mapping[str, bool]
"""What was found, by the criterion's name; a criterion without a finding is missing."""

VALUES = {"yes": True, "no": False}


@dataclass(frozen=True)
class Criterion:
    """One question about an answer; `yes` and `no` are how its findings are called."""

    name: str
    question: str
    yes: str = "Yes"
    no: str = "No"
    critical: bool = False


CRITERIA = (
    Criterion("correct", "Is it correct?", critical=True),
    Criterion("complete", "Is it complete?"),
    Criterion("right_for_customer", "Is it right for this customer?", critical=True),
    Criterion("tone", "How is its tone?", yes="Good", no="Poor"),
)


def read(given: Mapping[str, str]) -> dict[str, bool]:
    """Return the findings of a form, "yes" or "no" by criterion; what is empty is left out.

    Raises `Refused` for any other value.
    """
    found: dict[str, bool] = {}
    for criterion in CRITERIA:
        value = given.get(criterion.name, "")
        if value and value not in VALUES:
            raise Refused(f"{criterion.name} is {value!r}; expected yes or no")
        if value:
            found[criterion.name] = VALUES[value]
    return found


def unanswered(rubric: Rubric) -> list[str]:
    """Return the names of the criteria that nothing was found about."""
    return [each.name for each in CRITERIA if each.name not in rubric]


def suits(rubric: Rubric) -> bool | None:
    """Return whether the answer may be given: not where a critical criterion is a no.

    None where none of them is a no and one was not judged. What is incomplete, or poor in tone,
    may still be given.

    >>> suits({"correct": True, "complete": True, "right_for_customer": False, "tone": True})
    False
    """
    critical = [rubric.get(each.name) for each in CRITERIA if each.critical]
    if False in critical:
        return False
    return None if None in critical else True


def finds_fault(rubric: Rubric) -> bool:
    """Return whether anything is wrong, critical or not."""
    return False in rubric.values()
