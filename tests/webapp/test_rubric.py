"""What the findings about an answer say of it, and how far two reviewers agree."""

import pytest

from webapp import rubric
from webapp.agreement import alike, kappa
from webapp.errors import Refused

GOOD = {"correct": True, "complete": True, "right_for_customer": True, "tone": True}


@pytest.mark.parametrize("critical", ["correct", "right_for_customer"])
def test_a_critical_no_decides_alone(critical: str) -> None:
    assert rubric.suits(GOOD) is True
    assert rubric.suits(GOOD | {critical: False}) is False
    assert rubric.suits({critical: False}) is False
    assert rubric.suits({critical: True}) is None


@pytest.mark.parametrize("name", ["complete", "tone"])
def test_what_is_not_critical_is_a_fault_and_suits(name: str) -> None:
    found = GOOD | {name: False}
    assert rubric.suits(found) is True
    assert rubric.finds_fault(found)
    assert not rubric.finds_fault(GOOD)


def test_a_form_is_read_and_says_what_it_leaves_out() -> None:
    found = rubric.read({"correct": "yes", "tone": "no", "complete": "", "note": "x"})
    assert found == {"correct": True, "tone": False}
    assert rubric.unanswered(found) == ["complete", "right_for_customer"]
    with pytest.raises(Refused, match="tone is 'maybe'; expected yes or no"):
        rubric.read({"tone": "maybe"})


def test_agreement_of_nothing_is_unknown() -> None:
    nothing = alike([])
    assert (nothing.judged, nothing.lower, nothing.upper, nothing.kappa) == (0, 0.0, 1.0, None)


def test_agreement_has_the_exact_interval() -> None:
    # 8 of 10: Clopper and Pearson's 95 % interval, as their tables have it.
    found = alike([(True, True)] * 6 + [(False, False)] * 2 + [(True, False), (False, True)])
    assert (found.judged, found.agree, found.share) == (10, 8, 0.8)
    assert found.lower == pytest.approx(0.4439, abs=1e-4)
    assert found.upper == pytest.approx(0.9748, abs=1e-4)


def test_kappa_is_the_agreement_beyond_chance() -> None:
    # Cohen's own way: 0.7 seen, 0.5 * 0.6 + 0.5 * 0.4 by chance.
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa([(True, False), (False, True)]) == pytest.approx(-1)
    assert kappa([(True, True), (True, True)]) is None
    assert kappa([]) is None
