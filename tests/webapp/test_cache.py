"""Answers given before, in the service: who gets them again, who does not, and what ends them."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from cascade import Policy, Tier
from tests.webapp.cache_shop import (
    COST,
    HOURS,
    NO,
    PASSAGE,
    QUESTION,
    YES,
    CacheShop,
    open_shop,
    post,
    publish,
)
from webapp import customers, knowledge, models
from webapp.db import Database

ASK_HOURS = "When are your opening hours?"


@pytest.fixture
def shop(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CacheShop]:
    with open_shop(database, tmp_path, monkeypatch) as opened:
        yield opened


def change_passage(shop: CacheShop, text: str) -> None:
    with shop.database.write() as session:
        knowledge.put_passage(session, shop.tenant, "p-1", title="Cancelling", body=text)


def test_an_answer_goes_to_its_segment_and_nobody_gets_it_after_the_policy_text_changes(
    shop: CacheShop,
) -> None:
    first = shop.ask("gold-1")
    assert (first["source"], first["answer"], first["cost_usd"]) == ("llm", YES, COST)
    assert [step["source"] for step in first["steps"]] == ["cache", "macro", "llm"]
    assert shop.scopes() == {YES: "segment"}

    again = shop.ask("gold-2")
    assert (again["source"], again["model"], again["tier"]) == ("cache", "cache", 0)
    assert (again["answer"], again["score"], again["adapter"]) == (YES, 0.95, "shared@1")
    assert (again["cost_usd"], shop.calls) == ("0", 1)
    assert shop.entries()[0].uses == 1

    other = shop.ask("guest-1")
    assert (other["source"], other["answer"]) == ("llm", NO)
    assert other["steps"][0]["candidates"] == 0
    assert shop.calls == 2
    assert shop.ask("guest-2")["source"] == "cache"

    shop.restart()
    assert shop.ask("gold-3")["source"] == "cache"
    assert shop.calls == 2

    change_passage(shop, PASSAGE.replace("gold and silver", "gold"))
    assert [shop.ask(each)["source"] for each in ("gold-4", "guest-3")] == ["llm", "llm"]
    assert shop.ask("gold-5")["source"] == "cache"


def test_another_process_sees_a_changed_passage_at_once(shop: CacheShop) -> None:
    shop.ask("gold-1")
    older = shop.app
    shop.restart()
    change_passage(shop, "Something else.")
    shop.ask("gold-2")
    shop.app = older
    assert shop.ask("gold-3")["source"] == "cache"
    assert shop.calls == 2


def test_what_is_kept_for_everybody_is_still_scored_for_each(shop: CacheShop) -> None:
    shop.ask("gold-1", ASK_HOURS)
    assert shop.scopes() == {HOURS: "public"}
    assert shop.ask("guest-1", ASK_HOURS)["source"] == "cache"
    with shop.database.write() as session:
        features = {"membership": "guest", "difficult": True}
        customers.put(session, shop.tenant, "guest-2", segment="guest", features=features)
    refused = shop.ask("guest-2", ASK_HOURS)
    assert refused["status"] == "escalated"
    first = refused["steps"][0]
    assert (first["source"], first["answer"], first["score"]) == ("cache", HOURS, 0.1)
    assert not first["accepted"]


def test_a_customers_own_answer_is_theirs_alone(shop: CacheShop) -> None:
    body = f"{QUESTION}, number 4711-0815."
    assert shop.ask("gold-1", body)["source"] == "llm"
    assert shop.scopes() == {YES: "customer"}
    assert shop.ask("gold-1", body)["source"] == "cache"
    assert shop.ask("gold-2", body)["source"] == "llm"


def test_a_refused_question_says_why_in_the_api_and_on_the_page(shop: CacheShop) -> None:
    shop.ask("gold-1", f"{QUESTION}, please, the two of them.")
    made = shop.ask("gold-2", f"{QUESTION}, please, the three of them.")
    assert made["source"] == "llm"
    assert made["steps"][0]["note"] == "1 similar question refused: they name different numbers"
    agent = shop.signed_in("agent")
    with shop.database.read() as session:
        ticket = session.get_one(models.Suggestion, made["id"]).ticket_id
    assert "they name different numbers" in agent.get(f"/tickets/{ticket}").text


def test_the_same_answer_to_the_same_question_is_kept_once(shop: CacheShop) -> None:
    publish(shop, Policy((Tier("model", "llm", 0.5), Tier("cache", "cache", 0.5))))
    shop.ask("gold-1")
    shop.ask("gold-1")
    assert (shop.calls, len(shop.entries())) == (2, 1)


def test_a_policy_that_does_not_name_the_cache_neither_asks_nor_fills_it(shop: CacheShop) -> None:
    publish(shop, Policy((Tier("model", "llm", 0.8),)))
    made = shop.ask("gold-1")
    assert [step["source"] for step in made["steps"]] == ["llm"]
    shop.judge(made, "edited", final_text="Quite another thing.")
    assert shop.entries() == []


def test_a_dismissed_answer_leaves_for_all(shop: CacheShop) -> None:
    shop.ask("gold-1")
    shop.judge(shop.ask("gold-2"), "dismissed", reason="Wrong about the policy")
    assert shop.entries() == []
    assert shop.ask("gold-3")["source"] == "llm"


def test_a_ticket_that_needs_no_reply_says_nothing_of_the_answer(shop: CacheShop) -> None:
    shop.ask("gold-1")
    shop.judge(shop.ask("gold-2"), "dismissed", reason="No reply needed: a duplicate")
    assert shop.scopes() == {YES: "segment"}


def test_an_accepted_answer_stays(shop: CacheShop) -> None:
    shop.ask("gold-1")
    shop.judge(shop.ask("gold-2"), "accepted")
    assert shop.scopes() == {YES: "segment"}


def test_an_edited_answer_takes_the_place_of_the_old_one(shop: CacheShop) -> None:
    shop.ask("gold-1")
    better = YES.replace("cancel it for you", "cancel all of it for you")
    shop.judge(shop.ask("gold-2"), "edited", final_text=better)
    assert shop.scopes() == {better: "segment"}
    assert shop.ask("gold-3")["answer"] == better


def test_an_edit_that_names_the_customer_is_theirs_and_the_old_one_stays(shop: CacheShop) -> None:
    with shop.database.write() as session:
        row = customers.find(session, shop.tenant, "gold-2")
        row.name = "Ann Berg"
    shop.ask("gold-1")
    shop.judge(shop.ask("gold-2"), "edited", final_text=f"{YES} Yours, for Ann Berg")
    assert shop.scopes() == {YES: "segment", f"{YES} Yours, for Ann Berg": "customer"}


def test_a_heavily_edited_answer_leaves_and_the_new_one_is_kept(shop: CacheShop) -> None:
    shop.ask("gold-1")
    own = "Yes, and a voucher is on its way because of the trouble."
    shop.judge(shop.ask("gold-2"), "edited", final_text=own)
    assert list(shop.scopes()) == [own]


def test_an_admins_correction_is_kept_and_takes_nothing_from_others(shop: CacheShop) -> None:
    shop.ask("gold-1", ASK_HOURS)
    with shop.database.write() as session:
        features = {"membership": "guest", "difficult": True}
        customers.put(session, shop.tenant, "guest-2", segment="guest", features=features)
    made = shop.ask("guest-2", ASK_HOURS)
    with shop.database.read() as session:
        escalation = session.scalars(
            select(models.Escalation.id).where(models.Escalation.suggestion_id == made["id"])
        ).one()
    admin, here = shop.signed_in("admin"), f"/review/{escalation}"
    post(admin, f"{here}/claim", page=here)
    own = "Please ring us at any time."
    done = post(admin, f"{here}/resolve", page=here, final_text=own, root_cause="model")
    assert done.status_code == 200
    shop.settle()
    assert shop.scopes() == {HOURS: "public", own: "public"}


def test_erasing_a_customer_erases_what_was_made_for_them(shop: CacheShop) -> None:
    shop.ask("gold-1")
    with shop.database.write() as session:
        mine = models.Customer.tenant_id == shop.tenant
        session.execute(
            delete(models.Customer).where(mine, models.Customer.external_id == "gold-1")
        )
    assert shop.entries() == []
    assert shop.ask("gold-2")["source"] == "llm"


def test_what_cannot_be_remembered_is_logged_and_loses_nothing(
    shop: CacheShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(QUESTION)

    monkeypatch.setattr("webapp.remembering.place", fail)
    with caplog.at_level(logging.ERROR):
        assert shop.ask("gold-1")["answer"] == YES
    assert shop.entries() == []
    assert "RuntimeError" in caplog.text
    assert QUESTION not in caplog.text


def test_many_who_ask_the_same_at_once_are_one_call(shop: CacheShop) -> None:
    def slowly(handler: object) -> None:
        import time

        from tests.webapp.cache_shop import completion

        time.sleep(0.7)
        completion(handler, shop.upstream.received[-1].body)  # type: ignore[arg-type]

    shop.upstream.script[:] = [slowly]
    with ThreadPoolExecutor(4) as many:
        made = list(many.map(shop.ask, ["gold-1"] * 4))
    assert shop.calls == 1
    assert {each["answer"] for each in made} == {YES}
    assert sum(Decimal(each["cost_usd"]) for each in made) == Decimal(COST)
    notes = sorted(str(each["steps"][2]["note"]) for each in made)
    assert notes == ["None", *["the answer of the same request, made at the same time"] * 3]
    assert len(shop.entries()) == 1
