"""What verdicts teach the scorer: labels, and what they weigh."""

import numpy as np
import pytest

from cascade.verdicts import (
    CUSTOMER_DATA,
    MOST_WEIGHT,
    NO_REPLY_NEEDED,
    SILENT,
    TONE,
    Label,
    Verdict,
    changed_share,
    labels_of,
)

DRAFT = "Yes, you can still return the jacket within thirty days."
SENT = "Sorry, the return window closed last week."


@pytest.mark.parametrize(
    ("sent", "share"),
    [
        (DRAFT, 0.0),
        ("yes you can still  return the jacket, within thirty days!", 0.0),
        ("Yes, you can still return the coat within thirty days.", 0.1),
        ("Yes, you can still return the jacket.", 0.3),
        ("No.", 1.0),
        ("", 1.0),
    ],
)
def test_changed_words_are_counted(sent: str, share: float) -> None:
    assert changed_share(DRAFT, sent) == pytest.approx(share)
    assert changed_share(sent, DRAFT) == pytest.approx(share)


def test_nothing_is_not_changed() -> None:
    assert changed_share("", "...") == 0.0


def test_long_texts_are_compared_in_time() -> None:
    assert changed_share("a b " * 2000, "b a " * 2000) == pytest.approx(2 / 4000)


def signs(offered: str | None, *verdicts: Verdict) -> list[tuple[str, int]]:
    return [(each.text, each.label) for each in labels_of(offered, verdicts)]


def test_what_was_accepted_suits() -> None:
    assert labels_of(DRAFT, [Verdict("accepted")]) == (Label(DRAFT, 1, 1.0),)


def test_an_acceptance_counts_less_where_some_are_audited() -> None:
    assert labels_of(DRAFT, [Verdict("accepted", observed=0.1)]) == (Label(DRAFT, 1, SILENT),)


def test_so_does_a_light_edit() -> None:
    labels = labels_of(DRAFT, [Verdict("edited", f"Hello! {DRAFT}", observed=0.1)])
    assert [each.weight for each in labels] == [SILENT, SILENT]


def test_a_light_edit_makes_two_that_suit() -> None:
    sent = f"Hello! {DRAFT}"
    assert signs(DRAFT, Verdict("edited", sent)) == [(DRAFT, 1), (sent, 1)]


@pytest.mark.parametrize("action", ["edited", "corrected"])
def test_what_was_replaced_does_not_suit_and_what_was_sent_does(action: str) -> None:
    said = Verdict("edited", SENT) if action == "edited" else Verdict("corrected", SENT)
    assert signs(DRAFT, said) == [(DRAFT, 0), (SENT, 1)]


def test_a_word_that_turns_the_meaning_is_a_replacement() -> None:
    sent = DRAFT.replace("can", "cannot")
    assert signs(DRAFT, Verdict("edited", sent)) == [(DRAFT, 0), (sent, 1)]


def test_an_admin_who_sends_the_draft_says_that_it_suited() -> None:
    assert signs(DRAFT, Verdict("corrected", f"{DRAFT}\n")) == [(f"{DRAFT}\n", 1)]


def test_dismissals_speak_of_the_answer_or_not_at_all() -> None:
    assert signs(DRAFT, Verdict("dismissed", reason="Wrong for this customer")) == [(DRAFT, 0)]
    for reason in (NO_REPLY_NEEDED, f"{NO_REPLY_NEEDED}: thanks", TONE):
        assert signs(DRAFT, Verdict("dismissed", reason=reason)) == []


def test_nothing_is_learnt_of_a_customer_who_was_not_known_rightly() -> None:
    assert signs(DRAFT, Verdict("corrected", SENT, CUSTOMER_DATA)) == []
    assert signs(DRAFT, Verdict("audited", SENT, CUSTOMER_DATA, suits=False)) == []


def test_where_nothing_was_offered_only_what_was_sent_counts() -> None:
    assert signs(None, Verdict("corrected", SENT)) == [(SENT, 1)]
    assert signs(None, Verdict("dismissed")) == []
    assert signs(None) == []


def test_a_correction_outweighs_a_dismissal_and_an_audit_both() -> None:
    dismissed, corrected = Verdict("dismissed"), Verdict("corrected", SENT)
    assert signs(DRAFT, dismissed, corrected) == [(DRAFT, 0), (SENT, 1)]
    audited = Verdict("audited", suits=True, observed=0.5)
    assert signs(DRAFT, audited, Verdict("accepted")) == [(DRAFT, 1)]


def test_the_last_of_several_looks_of_the_same_care_counts() -> None:
    assert signs(DRAFT, Verdict("dismissed"), Verdict("edited", SENT)) == [(DRAFT, 0), (SENT, 1)]


def test_reviewers_who_contradict_each_other_teach_nothing() -> None:
    yes, no = Verdict("audited", suits=True), Verdict("audited", suits=False)
    assert signs(DRAFT, yes, no) == []


def test_an_audit_without_a_better_text_is_a_negative() -> None:
    assert signs(DRAFT, Verdict("audited", suits=False, observed=1.0)) == [(DRAFT, 0)]


def test_a_better_text_does_not_stand_for_others() -> None:
    labels = labels_of(DRAFT, [Verdict("audited", SENT, suits=False, observed=0.1)])
    assert [(each.text, each.label) for each in labels] == [(DRAFT, 0), (SENT, 1)]
    assert labels[0].weight > labels[1].weight == 1.0


def test_one_audit_never_stands_for_too_many() -> None:
    (label,) = labels_of(DRAFT, [Verdict("audited", suits=False, observed=1e-6)])
    assert label.weight == MOST_WEIGHT


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_weights_add_up_to_as_many_answers_as_were_accepted(share: float) -> None:
    count = 20_000
    random = np.random.default_rng(0)
    audited = random.random(count) < share
    total = sum(
        labels_of(
            DRAFT,
            [Verdict("audited", suits=True, observed=share)]
            if drawn
            else [Verdict("accepted", observed=share)],
        )[0].weight
        for drawn in audited
    )
    assert total == pytest.approx(count, rel=0.05)
