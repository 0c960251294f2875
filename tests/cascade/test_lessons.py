"""What a verdict does to the entry an answer came from."""

from cascade.lessons import Lesson, lesson, takes_place

OFFERED = "Yes, you can return it within thirty days; we send you a label for the parcel."


def test_an_accepted_answer_stays_and_is_worth_storing() -> None:
    assert lesson("accepted", OFFERED, None) == Lesson(leaves=False, stores=OFFERED)
    assert lesson("edited", OFFERED, f" {OFFERED}\n") == Lesson(leaves=False, stores=OFFERED)


def test_a_dismissed_answer_leaves() -> None:
    assert lesson("dismissed", OFFERED, None) == Lesson(leaves=True, stores=None)


def test_a_heavily_edited_answer_leaves_and_what_was_sent_is_stored() -> None:
    sent = "Sorry, our policy has changed."
    assert lesson("edited", OFFERED, sent) == Lesson(leaves=True, stores=sent)


def test_a_small_edit_of_the_meaning_is_a_heavy_one() -> None:
    for sent in (OFFERED.replace("thirty", "sixty"), OFFERED.replace("can", "cannot")):
        assert lesson("edited", OFFERED, sent).leaves


def test_a_light_edit_keeps_the_entry_until_the_new_text_is_placed() -> None:
    sent = f"Hello! {OFFERED}"
    assert lesson("edited", OFFERED, sent) == Lesson(leaves=False, stores=sent)
    assert takes_place("segment", "public")
    assert not takes_place("public", "customer")


def test_what_an_admin_corrected_leaves() -> None:
    assert lesson("corrected", OFFERED, f"Hello! {OFFERED}").leaves
