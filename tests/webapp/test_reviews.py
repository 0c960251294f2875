"""The review queue: its order, audits, second looks, alarms and what resolving teaches."""

from functools import partial
from typing import Any

import pytest

from cascade import Policy, Tier
from scoring.examples import asked_by
from tests.webapp.review_shop import (
    ALL,
    ANSWER,
    BAD,
    GOOD,
    QUESTION,
    ReviewShop,
    always,
    open_review_shop,
)
from webapp import followup, judging, models, policies, reviews
from webapp.agreement import agreement
from webapp.db import Database
from webapp.drift import drift
from webapp.errors import Refused
from webapp.feedback import Audits
from webapp.standing import labels_on

LIGHTLY = ANSWER.replace("thirty", "30")


@pytest.fixture
def shop(database: Database) -> ReviewShop:
    return open_review_shop(database)


def test_the_queue_goes_by_kind_and_then_by_age(shop: ReviewShop) -> None:
    first, second = shop.audited("T-1"), shop.audited("T-2")
    escalated = shop.suggest("T-3", status="escalated")
    with shop.database.write() as session:
        reviews.add(session, shop.tenant, "alarm", reason="Wrong.", policy="p1")
        reviews.add(
            session,
            shop.tenant,
            "contradiction",
            reason="Not both.",
            suggestion_id=second,
            other_id=first,
        )
    in_order = shop.open()
    kinds = [each.kind for each in in_order]
    assert kinds == ["alarm", "escalation", "contradiction", "audit", "audit"]
    assert [each.suggestion_id for each in in_order] == [None, escalated, second, first, second]
    with shop.database.write() as session:
        ann, bob = shop.user(session, "admin"), shop.user(session, "second")
        rows = [reviews.find(session, shop.tenant, each.id) for each in in_order]
        seen = [rows[0].id]
        for _ in rows:
            following = reviews.next_after(
                session, reviews.find(session, shop.tenant, seen[-1]), ann
            )
            assert following is not None
            seen.append(following)
        assert seen == [*(each.id for each in rows), rows[0].id]
        assert reviews.next_open(session, shop.tenant, ann) is rows[0]
        reviews.claim(session, rows[0], bob)
        assert reviews.next_open(session, shop.tenant, ann) is rows[1]
        reviews.claim(session, rows[3], ann)
        assert reviews.next_open(session, shop.tenant, ann) is rows[3]
        assert reviews.count_open(session, shop.tenant, ann) == 5


# Audits


@pytest.mark.parametrize(
    ("action", "text", "observed", "audits"),
    [
        ("accepted", None, 0.25, 1),
        ("edited", LIGHTLY, 0.25, 1),
        ("edited", "No, it is too late for that.", 1.0, 0),
        ("dismissed", None, 1.0, 0),
    ],
)
def test_what_is_sent_much_as_offered_may_be_audited(
    shop: ReviewShop, action: str, text: str | None, observed: float, audits: int
) -> None:
    made = shop.suggest("T-1")
    shop.give(made, action, text, audits=Audits(0.25, draw=lambda: 0.2))
    (given,) = shop.feedback(made)
    assert given.observed == observed
    assert [(each.kind, each.suggestion_id, each.round) for each in shop.open()] == [
        ("audit", made, 1)
    ] * audits


def test_what_is_not_drawn_is_not_audited(shop: ReviewShop) -> None:
    for share in (0.25, 0.0):
        made = shop.suggest(f"T-{share}")
        shop.give(made, "accepted", audits=Audits(share, draw=partial(float, share)))
        assert shop.feedback(made)[0].observed == share
    assert shop.open() == []


def test_an_agents_own_reply_to_an_escalation_is_no_audit(shop: ReviewShop) -> None:
    made = shop.suggest("T-1", status="escalated")
    shop.give(made, "edited", ANSWER, audits=ALL)
    assert shop.open("audit") == []
    assert shop.feedback(made)[0].observed == 1.0


def test_an_audit_becomes_feedback_and_changes_no_ticket(shop: ReviewShop) -> None:
    made = shop.suggest("T-1")
    shop.give(made, "accepted", audits=Audits(0.2, draw=lambda: 0.1))
    (audit,) = shop.open()
    right = "No, the thirty days are over."
    shop.judge(audit.id, "admin", BAD, root_cause="model", text=right)
    _, audited = shop.feedback(made)
    assert (audited.action, audited.suits, audited.final_text) == ("audited", False, right)
    assert (audited.actor, audited.observed) == ("user:admin@t.example", 0.2)
    ticket = shop.ticket("T-1")
    assert (ticket.status, ticket.reply) == ("answered", ANSWER)
    with shop.database.read() as session:
        row = reviews.find(session, shop.tenant, audit.id)
        assert (row.status, row.suits, row.rubric, row.root_cause) == (
            "resolved",
            False,
            BAD,
            "model",
        )
        # One in five is read: it stands for itself and for four silent ones.
        labels = labels_on(session, session.get_one(models.Suggestion, made))
    assert [(each.text, each.label) for each in labels] == [(ANSWER, 0), (right, 1)]
    assert [each.weight for each in labels] == pytest.approx([0.7 / 0.2 + 0.3, 1.0])


def test_an_answer_left_as_it_stood_is_no_correction(shop: ReviewShop) -> None:
    made = shop.audited("T-1")
    shop.judge(shop.open()[0].id, "admin", GOOD, text=f" {ANSWER}\n")
    audited = shop.feedback(made)[-1]
    assert (audited.suits, audited.final_text) == (True, None)
    assert shop.cases() == []


@pytest.mark.parametrize(
    ("found", "root_cause", "said"),
    [
        ({"correct": True}, None, "nothing was found about complete"),
        (BAD, None, "no root cause"),
        (GOOD | {"tone": False}, "", "no root cause"),
        (BAD, "mood", "root cause is 'mood'"),
    ],
)
def test_a_finding_is_whole_or_refused(
    shop: ReviewShop, found: dict[str, bool], root_cause: str | None, said: str
) -> None:
    made = shop.audited("T-1")
    with pytest.raises(Refused, match=said):
        shop.judge(shop.open()[0].id, "admin", found, root_cause=root_cause)
    assert len(shop.feedback(made)) == 1
    assert len(shop.open()) == 1


def test_a_reply_and_a_newer_draft_leave_audits_on_the_queue(shop: ReviewShop) -> None:
    made = shop.audited("T-1")
    with shop.database.write() as session:
        row = session.get_one(models.Suggestion, made)
        from webapp.suggestions import close_waiting

        close_waiting(session, row, "dismissed", "A later suggestion took its place.")
        assert row.escalation is None
    assert [each.kind for each in shop.open()] == ["audit"]


def test_an_audit_is_judged_once(shop: ReviewShop) -> None:
    made = shop.audited("T-1")
    (audit,) = shop.open()
    shop.judge(audit.id, "admin", GOOD)
    with pytest.raises(Refused, match="closed already"):
        shop.judge(audit.id, "admin", GOOD)
    assert len(shop.feedback(made)) == 2


# Second looks


def test_a_second_look_is_another_admins(shop: ReviewShop) -> None:
    shop.audited("T-1")
    shop.judge(shop.open()[0].id, "admin", GOOD, draw=always)
    (second,) = shop.open()
    assert (second.kind, second.round, second.priority) == ("audit", 2, 3)
    with shop.database.read() as session:
        ann, bob = shop.user(session, "admin"), shop.user(session, "second")
        assert reviews.next_open(session, shop.tenant, ann) is None
        assert reviews.count_open(session, shop.tenant, ann) == 0
        assert reviews.waiting(session, shop.tenant, ann, limit=9) == []
        following = reviews.next_open(session, shop.tenant, bob)
        assert following is not None
        assert following.id == second.id
    with pytest.raises(Refused, match="you judged this answer first"):
        shop.claim(second.id, "admin")
    shop.judge(second.id, "second", GOOD, draw=always)
    assert shop.open() == []


def test_without_another_admin_there_is_no_second_look(shop: ReviewShop) -> None:
    with shop.database.write() as session:
        shop.user(session, "second").active = False
    shop.audited("T-1")
    shop.judge(shop.open()[0].id, "admin", GOOD, draw=always)
    assert shop.open() == []


def test_agreement_counts_what_was_judged_twice(shop: ReviewShop) -> None:
    twice = [(GOOD, GOOD), (BAD, BAD), (GOOD, BAD), (GOOD | {"tone": False}, GOOD)]
    for number, (first, second) in enumerate(twice):
        shop.audited(f"T-{number}")
        cause = "model"
        shop.judge(shop.open()[0].id, "admin", first, root_cause=cause, draw=always)
        shop.judge(shop.open()[0].id, "second", second, root_cause=cause)
    shop.audited("T-9")
    shop.judge(shop.open()[0].id, "admin", GOOD)
    with shop.database.read() as session:
        found = agreement(session, shop.tenant)
        elsewhere = agreement(session, "another-tenant")
    assert (found.twice, found.suits.agree, found.suits.share) == (4, 3, 0.75)
    assert found.suits.kappa == pytest.approx(0.5)
    agreed = {name: each.agree for name, each in found.criteria.items()}
    assert agreed == {"correct": 3, "complete": 4, "right_for_customer": 4, "tone": 3}
    assert elsewhere.twice == 0


# What corrections leave in the regression set


def resolve(shop: ReviewShop, text: str, **told: Any) -> None:
    """Have the admin resolve the first open escalation."""
    (review,) = shop.open("escalation")
    shop.claim(review.id, "admin")
    with shop.database.write() as session:
        row = reviews.find(session, shop.tenant, review.id)
        judging.resolve(session, row, shop.user(session, "admin"), final_text=text, **told)


def test_an_escalations_correction_becomes_regression_cases(shop: ReviewShop) -> None:
    made = shop.suggest("T-1", status="escalated")
    resolve(shop, "No, it is too late.", root_cause="model", found=BAD)
    rejected, right = shop.cases()
    assert (rejected.label, rejected.row["answer"]) == (0, ANSWER)
    assert (right.label, right.row["answer"]) == (1, "No, it is too late.")
    assert {(each.customer, each.segment, each.suggestion_id) for each in (rejected, right)} == {
        ("gold-1", "gold", made)
    }
    customer, at = asked_by(right.row)
    assert (customer.id, customer.features) == ("gold-1", {"membership": "gold"})
    assert right.row["question"] == QUESTION
    assert at is not None
    assert customer.day == at.date() == models.utc_now().date()
    (given,) = shop.feedback(made)
    assert (given.action, given.observed) == ("corrected", 1.0)
    with shop.database.read() as session:
        row = session.get_one(models.Suggestion, made).escalation
        assert row is not None
        assert (row.rubric, row.suits) == (BAD, False)


@pytest.mark.parametrize(
    ("told", "labels"),
    [
        ({"root_cause": "customer_data"}, []),
        ({"root_cause": "scorer", "text": ANSWER}, [1]),
        ({"root_cause": "scorer", "text": LIGHTLY}, [1]),
    ],
)
def test_only_what_the_verdicts_say_becomes_a_case(
    shop: ReviewShop, told: dict[str, str], labels: list[int]
) -> None:
    shop.suggest("T-1", status="escalated")
    resolve(shop, told.get("text", "No."), root_cause=told["root_cause"])
    assert [each.label for each in shop.cases()] == labels


def test_a_wrong_answers_correction_is_kept_and_never_altered(shop: ReviewShop) -> None:
    shop.audited("T-1")
    wrong: dict[str, Any] = {"root_cause": "model", "draw": always}
    shop.judge(shop.open()[0].id, "admin", BAD, text="No, not any more.", **wrong)
    before = [(each.label, each.row) for each in shop.cases()]
    assert [label for label, _ in before] == [0, 1]
    shop.judge(shop.open()[0].id, "second", BAD, text="No. It is too late.", **wrong)
    assert [(each.label, each.row) for each in shop.cases()] == before


def test_a_wrong_answer_without_a_right_one_is_no_case(shop: ReviewShop) -> None:
    shop.audited("T-1")
    shop.judge(shop.open()[0].id, "admin", BAD, root_cause="model")
    assert shop.cases() == []


# Alarms

CERTIFICATE = {"max_error": 0.05, "confidence": 0.95, "log": "l", "rows": 9, "tiers": "t"}


@pytest.fixture
def certified(shop: ReviewShop) -> str:
    """The version of a live policy with a certificate."""
    policy = Policy((Tier("macros", "macro", 0.7),))
    publish(shop, policy, {"certificate": CERTIFICATE})
    return policy.version


def publish(shop: ReviewShop, policy: Policy, made_from: dict[str, Any] | None = None) -> None:
    with shop.database.write() as session:
        policies.publish(
            session, shop.tenant, policy, origin="test", actor="cli", made_from=made_from
        )


def dismiss_many(shop: ReviewShop, policy: str, count: int = 12) -> None:
    for number in range(count):
        shop.give(shop.suggest(f"W-{policy[:4]}-{number}", policy=policy), "dismissed")


def test_an_alarm_is_raised_once_and_closed_with_a_note(shop: ReviewShop, certified: str) -> None:
    assert followup.raise_alarm(shop.database, shop.tenant) is None
    dismiss_many(shop, certified)
    raised = followup.raise_alarm(shop.database, shop.tenant)
    assert followup.raise_alarm(shop.database, shop.tenant) is None
    (alarm,) = shop.open()
    assert (alarm.id, alarm.kind, alarm.priority, alarm.policy) == (raised, "alarm", 0, certified)
    shop.claim(alarm.id, "admin")
    with shop.database.write() as session:
        row, ann = reviews.find(session, shop.tenant, alarm.id), shop.user(session, "admin")
        with pytest.raises(Refused, match="note is empty"):
            judging.resolve_alarm(session, row, ann, note=" ")
        with pytest.raises(Refused, match="note is empty"):
            reviews.dismiss(session, row, ann, note=None)
        judging.resolve_alarm(session, row, ann, note="Thresholds are raised tomorrow.")
    # What feedback has said once it goes on saying; an admin knows.
    assert followup.raise_alarm(shop.database, shop.tenant) is None
    with shop.database.read() as session:
        found = drift(session, shop.tenant, policies.find(session, shop.tenant, certified))
        assert found is not None
        assert found.alarm


def test_a_policy_that_goes_live_again_is_alarmed_again(shop: ReviewShop, certified: str) -> None:
    dismiss_many(shop, certified)
    followup.raise_alarm(shop.database, shop.tenant)
    (alarm,) = shop.open()
    shop.claim(alarm.id, "admin")
    with shop.database.write() as session:
        row, ann = reviews.find(session, shop.tenant, alarm.id), shop.user(session, "admin")
        reviews.dismiss(session, row, ann, note="Another policy is live now.")
    other = Policy((Tier("macros", "macro", 0.9),))
    publish(shop, other)
    assert followup.raise_alarm(shop.database, shop.tenant) is None
    with shop.database.write() as session:
        policies.make_live(session, shop.tenant, certified, actor="cli")
    assert followup.raise_alarm(shop.database, shop.tenant) is not None
