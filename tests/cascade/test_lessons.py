"""What a verdict does to the entry an answer came from."""

from cascade.lessons import Lesson, lesson, takes_place
from cascade.verdicts import Verdict

OFFERED = "Yes, you can return it within thirty days; we send you a label for the parcel."


def test_an_accepted_answer_stays_and_is_worth_storing() -> None:
    assert lesson(Verdict("accepted"), OFFERED) == Lesson(leaves=False, stores=OFFERED)
    as_it_stood = Verdict("edited", f" {OFFERED}\n")
    assert lesson(as_it_stood, OFFERED) == Lesson(leaves=False, stores=OFFERED)


def test_a_dismissed_answer_leaves() -> None:
    assert lesson(Verdict("dismissed"), OFFERED) == Lesson(leaves=True, stores=None)


def test_a_heavily_edited_answer_leaves_and_what_was_sent_is_stored() -> None:
    sent = "Sorry, our policy has changed."
    assert lesson(Verdict("edited", sent), OFFERED) == Lesson(leaves=True, stores=sent)


def test_a_small_edit_of_the_meaning_is_a_heavy_one() -> None:
    for sent in (OFFERED.replace("thirty", "sixty"), OFFERED.replace("can", "cannot")):
        assert lesson(Verdict("edited", sent), OFFERED).leaves


def test_a_light_edit_keeps_the_entry_until_the_new_text_is_placed() -> None:
    sent = f"Hello! {OFFERED}"
    assert lesson(Verdict("edited", sent), OFFERED) == Lesson(leaves=False, stores=sent)
    assert takes_place("segment", "public")
    assert not takes_place("public", "customer")


def test_what_an_admin_corrected_leaves() -> None:
    assert lesson(Verdict("corrected", f"Hello! {OFFERED}"), OFFERED).leaves


def test_an_audited_answer_leaves_where_it_does_not_suit() -> None:
    assert lesson(Verdict("audited", suits=False), OFFERED) == Lesson(leaves=True, stores=None)
    sent = f"Hello! {OFFERED}"
    instead = lesson(Verdict("audited", sent, suits=False), OFFERED)
    assert instead == Lesson(leaves=True, stores=sent)
    assert not lesson(Verdict("audited", suits=True), OFFERED).leaves
