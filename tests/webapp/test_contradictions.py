"""Verdicts that disagree, and verdicts that are withdrawn."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.webapp.review_shop import ANSWER, BAD, GOOD, QUESTION, ReviewShop, open_review_shop
from webapp import access, contradictions, feedback, followup, models, reviews, schema
from webapp.cli import main
from webapp.db import Database
from webapp.drift import wrongness
from webapp.errors import Refused, Unknown
from webapp.standing import labels_of_answers, labels_on

AGENT, OTHER = "user:agent@t.example", "user:other@t.example"


@pytest.fixture
def shop(database: Database) -> ReviewShop:
    return open_review_shop(database)


def accepted(shop: ReviewShop, ticket: str, *, by: str = AGENT, **told: Any) -> str:
    """Have an answer accepted, and looked into; returns the suggestion's id."""
    return verdict(shop, ticket, "accepted", by=by, **told)


def dismissed(shop: ReviewShop, ticket: str, *, by: str = OTHER, **told: Any) -> str:
    """Have an answer dismissed, and looked into; returns the suggestion's id."""
    return verdict(shop, ticket, "dismissed", by=by, **told)


def verdict(shop: ReviewShop, ticket: str, action: str, *, by: str, **told: Any) -> str:
    made = shop.suggest(ticket, **told)
    contradictions.report(shop.database, shop.give(made, action, by=by))
    return made


def labels(shop: ReviewShop, *made: str) -> list[int | None]:
    with shop.database.read() as session:
        rows = [session.get_one(models.Suggestion, each) for each in made]
        return list(labels_of_answers(session, rows).values())


def test_opposite_verdicts_of_two_people_meet_on_the_queue(shop: ReviewShop) -> None:
    older = accepted(shop, "T-1")
    newer = dismissed(
        shop,
        "T-2",
        customer="gold-2",
        question=f"  {QUESTION.upper()}",
        answer=ANSWER.replace(",", " –"),
    )
    (review,) = shop.open()
    assert (review.kind, review.priority) == ("contradiction", 2)
    assert (review.suggestion_id, review.other_id) == (newer, older)


@pytest.mark.parametrize(
    "told",
    [
        {"customer": "guest-1"},
        {"question": "Must I return it?"},
        {"answer": "Yes, you can return it within forty days."},
        {"by": AGENT},
    ],
)
def test_what_differs_does_not_contradict(shop: ReviewShop, told: dict[str, str]) -> None:
    accepted(shop, "T-1")
    dismissed(shop, "T-2", **told)
    assert shop.open() == []


def test_verdicts_that_agree_or_say_nothing_do_not_contradict(shop: ReviewShop) -> None:
    accepted(shop, "T-1")
    accepted(shop, "T-2", by=OTHER)
    made = shop.suggest("T-3")
    said = shop.give(made, "dismissed", by=OTHER, reason="No reply needed: they say thanks")
    assert contradictions.report(shop.database, said) is None


def test_one_customer_whose_profile_has_changed_is_looked_at(shop: ReviewShop) -> None:
    accepted(shop, "T-1")
    with shop.database.write() as session:
        customer = session.query(models.Customer).filter_by(external_id="gold-1").one()
        customer.features, customer.segment = {"membership": "silver"}, "silver"
    dismissed(shop, "T-2")
    assert len(shop.open("contradiction")) == 1


def test_an_older_draft_may_get_the_later_verdict(shop: ReviewShop) -> None:
    older = shop.suggest("T-1")
    newer = accepted(shop, "T-2")
    contradictions.report(shop.database, shop.give(older, "dismissed", by=OTHER))
    (review,) = shop.open()
    assert (review.suggestion_id, review.other_id) == (newer, older)


def test_settling_says_the_same_of_both_and_brings_up_the_next(shop: ReviewShop) -> None:
    first, second = accepted(shop, "T-1"), accepted(shop, "T-2")
    third = dismissed(shop, "T-3")
    assert labels(shop, first, second, third) == [1, 1, 0]
    (review,) = shop.open()
    given = shop.judge(review.id, "admin", BAD, root_cause="model", text="No.")
    said = [shop.feedback(each)[-1] for each in (third, second)]
    assert [(each.action, each.suits, each.final_text) for each in said] == [
        ("audited", False, "No.")
    ] * 2
    assert [(each.observed, each.actor) for each in said] == [(1.0, "user:admin@t.example")] * 2
    assert labels(shop, first, second, third) == [1, 0, 0]
    assert len(shop.cases()) == 4
    # The finding contradicts the first acceptance; the settled pair is not brought up again.
    for each in given:
        contradictions.report(shop.database, each)
    (following,) = shop.open()
    assert following.other_id == first
    for each in shop.judge(following.id, "admin", BAD, root_cause="model", text="No."):
        contradictions.report(shop.database, each)
    assert shop.open() == []
    assert labels(shop, first, second, third) == [0, 0, 0]


def test_a_settled_draft_stays_dismissed_for_its_agents(shop: ReviewShop) -> None:
    from webapp.panel import state_of

    accepted(shop, "T-1")
    made = dismissed(shop, "T-2")
    shop.judge(shop.open()[0].id, "admin", GOOD)
    with shop.database.read() as session:
        row = session.get_one(models.Suggestion, made)
        assert row.feedback[-1].action == "audited"
        assert state_of(row.ticket, row) == "dismissed"
        assert row.ticket.status == "open"


def test_a_dismissed_pair_is_not_brought_up_again(shop: ReviewShop) -> None:
    made = accepted(shop, "T-1")
    newer = dismissed(shop, "T-2")
    (review,) = shop.open()
    shop.claim(review.id, "admin")
    with shop.database.write() as session:
        row = reviews.find(session, shop.tenant, review.id)
        reviews.dismiss(session, row, shop.user(session, "admin"), note=None)
    assert contradictions.report(shop.database, shop.feedback(newer)[0].id) is None
    assert labels(shop, made, newer) == [1, 0]


def test_nothing_follows_from_a_verdict_that_was_erased_meanwhile(
    shop: ReviewShop, caplog: pytest.LogCaptureFixture
) -> None:
    no_desk: Any = None
    followup.of_verdict(shop.database, no_desk, models.new_id())
    assert caplog.text == ""


# Withdrawn verdicts


def end(shop: ReviewShop, name: str) -> None:
    with shop.database.write() as session:
        access.end_user(session, shop.tenant, f"{name}@t.example")


def withdraw(shop: ReviewShop, actor: str, **told: Any) -> int:
    with shop.database.write() as session:
        return feedback.withdraw(session, shop.tenant, actor_withdrawn=actor, by="cli", **told)


def test_what_is_withdrawn_counts_nowhere_and_can_be_restored(shop: ReviewShop) -> None:
    made = accepted(shop, "T-1")
    end(shop, "agent")
    assert withdraw(shop, AGENT) == 1
    assert withdraw(shop, AGENT) == 0
    (row,) = shop.feedback(made)
    assert (row.withdrawn_by, row.withdrawn_at is None) == ("cli", False)
    dismissed(shop, "T-2")
    assert shop.open() == []
    with shop.database.read() as session:
        assert labels_on(session, session.get_one(models.Suggestion, made)) == ()
        assert wrongness(session, shop.tenant, "p1") == [1.0]
    with shop.database.write() as session:
        restored = feedback.restore(session, shop.tenant, actor_restored=AGENT, by="cli")
        said = {each.action: each for each in session.query(models.AuditEntry)}
    assert restored == 1
    assert labels(shop, made) == [1]
    assert said["feedback.withdrawn"].subject == AGENT
    assert said["feedback.restored"].detail == {"count": 1}


def test_a_withdrawn_verdict_takes_its_contradictions_off_the_queue(shop: ReviewShop) -> None:
    accepted(shop, "T-1")
    dismissed(shop, "T-2")
    (review,) = shop.open()
    end(shop, "other")
    withdraw(shop, OTHER)
    assert shop.open() == []
    with shop.database.read() as session:
        row = reviews.find(session, shop.tenant, review.id)
        assert (row.status, row.note) == ("dismissed", contradictions.WITHDRAWN)


def test_a_part_of_the_verdicts_can_be_withdrawn(shop: ReviewShop) -> None:
    old, new = accepted(shop, "T-1"), accepted(shop, "T-2")
    with shop.database.write() as session:
        session.query(models.Feedback).filter_by(suggestion_id=old).update(
            {"created_at": models.utc_now() - timedelta(days=9)}
        )
    end(shop, "agent")
    assert withdraw(shop, AGENT, since=models.utc_now() - timedelta(days=1)) == 1
    assert labels(shop, old, new) == [1, None]


def test_who_is_active_keeps_their_verdicts(shop: ReviewShop) -> None:
    with shop.database.write() as session:
        access.create_api_key(session, shop.tenant, "desk")
    made = accepted(shop, "T-1", by="key:desk")
    for active in (AGENT, "key:desk"):
        with pytest.raises(Refused, match=f"{active} is still active; first run"):
            withdraw(shop, active)
    for nobody in ("user:nobody@t.example", "key:none"):
        with pytest.raises(Unknown, match="expected user:EMAIL or key:NAME"):
            withdraw(shop, nobody)
    with pytest.raises(Refused, match="the actor is 'cli'; expected user:EMAIL or key:NAME"):
        withdraw(shop, "cli")
    with shop.database.write() as session:
        access.revoke_api_keys(session, shop.tenant, "desk")
    assert withdraw(shop, "key:desk") == 1
    assert labels(shop, made) == [None]


def test_the_command_withdraws_and_restores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/frugaldesk.db"
    monkeypatch.setenv("FRUGALDESK_DATABASE_URL", url)
    monkeypatch.setenv("FRUGALDESK_VAR", str(tmp_path))
    database = Database(url)
    schema.upgrade(database)
    shop = open_review_shop(database)
    accepted(shop, "T-1")

    def run(*arguments: str) -> tuple[int, str]:
        told = ["--tenant", "t", "--actor", AGENT]
        done = CliRunner().invoke(main, ["feedback", *arguments, *told])
        return done.exit_code, done.output.strip()

    code, said = run("withdraw")
    assert code == 2
    assert "still active" in said
    end(shop, "agent")
    assert run("withdraw", "--since", "2999-01-01") == (0, "0 withdrawn")
    assert run("withdraw", "--since", "2020-01-01T00:00") == (0, "1 withdrawn")
    assert run("restore") == (0, "1 restored")
    code, said = run("withdraw", "--since", "yesterday")
    assert code == 2
    assert "--since is 'yesterday'; expected a time such as" in said
    database.close()
