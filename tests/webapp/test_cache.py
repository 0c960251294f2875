"""Answers given before, in the service: who gets them again, who does not, and what ends them."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner
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
    completion,
    open_shop,
    post,
    publish,
    put_customer,
)
from webapp import customers, knowledge, models
from webapp.cli import main
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
        put_customer(session, shop.tenant, "guest-2", "guest", difficult=True)
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
        put_customer(session, shop.tenant, "guest-2", "guest", difficult=True)
    made = shop.ask("guest-2", ASK_HOURS)
    with shop.database.read() as session:
        escalation = session.scalars(
            select(models.Review.id).where(models.Review.suggestion_id == made["id"])
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
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.7)
        completion(handler, shop.upstream.received[-1].body)

    shop.upstream.script[:] = [slowly]
    with ThreadPoolExecutor(4) as many:
        made = list(many.map(shop.ask, ["gold-1"] * 4))
    assert shop.calls == 1
    assert {each["answer"] for each in made} == {YES}
    assert sum(Decimal(each["cost_usd"]) for each in made) == Decimal(COST)
    notes = sorted(str(each["steps"][2]["note"]) for each in made)
    assert notes == ["None", *["the answer of the same request, made at the same time"] * 3]
    assert len(shop.entries()) == 1


def test_settings_say_for_how_long_and_how_many(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"FRUGALDESK_CACHE_ENTRIES": "1", "FRUGALDESK_CACHE_DAYS": "0.5"}
    with open_shop(database, tmp_path, monkeypatch, **limits) as shop:
        shop.ask("gold-1")
        shop.ask("guest-1")
        (left,) = shop.entries()
    assert left.answer == NO
    assert left.expires_at - left.created_at == timedelta(hours=12)


def test_without_the_cache_nothing_is_kept(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_shop(database, tmp_path, monkeypatch, FRUGALDESK_CACHE="0") as shop:
        made = shop.ask("gold-1")
        assert [step["source"] for step in made["steps"]] == ["macro", "llm"]
        shop.judge(made, "edited", final_text="Quite another thing.")
        assert shop.entries() == []


def test_erasing_by_hand_is_for_admins_and_leaves_its_trace(shop: CacheShop) -> None:
    shop.ask("gold-1")
    shop.ask("guest-1")
    shop.ask("gold-2", ASK_HOURS)
    admin = shop.signed_in("admin")
    assert "3 answers kept" in admin.get("/cache").text
    (found,) = [each for each in shop.entries() if each.answer == YES]
    post(admin, f"/cache/{found.name}/pin", page="/cache", pinned="1")
    assert [each.answer for each in shop.entries() if each.pinned] == [YES]
    post(admin, f"/cache/{found.name}/pin", page="/cache", pinned="0")
    assert not any(each.pinned for each in shop.entries())
    assert "gone" in post(admin, "/cache/nothing/pin", page="/cache", pinned="1").text
    assert "1 answer erased" in post(admin, "/cache/erase", page="/cache", entry=found.name).text
    assert sorted(shop.scopes()) == [NO, HOURS]
    post(admin, "/cache/erase", page="/cache", segment="guest")
    assert list(shop.scopes()) == [HOURS]
    assert "Nothing was erased" in post(admin, "/cache/erase", page="/cache").text
    change_passage(shop, "Something else.")
    kept = shop.ask("gold-3", ASK_HOURS)
    assert "of earlier knowledge" in admin.get("/cache").text
    post(admin, "/cache/erase", page="/cache", outdated="1")
    assert [each.name for each in shop.entries()] == [kept["id"]]
    with shop.database.read() as session:
        audited = select(models.AuditEntry).where(models.AuditEntry.action == "cache.erased")
        rows = session.scalars(audited.order_by(models.AuditEntry.created_at)).all()
    assert [row.detail["by"] for row in rows] == ["entry", "segment", "other_knowledge"]
    assert {row.actor for row in rows} == {"user:admin@t.example"}


def test_the_page_is_closed_to_agents_and_forms_need_their_token(shop: CacheShop) -> None:
    shop.ask("gold-1")
    agent, admin = shop.signed_in("agent"), shop.signed_in("admin")
    assert agent.get("/cache").status_code == 403
    assert post(agent, "/cache/erase", page="/tickets", customer="gold-1").status_code == 403
    assert admin.post("/cache/erase", data={"customer": "gold-1"}).status_code == 400
    assert len(shop.entries()) == 1


def test_the_page_says_what_the_cache_is_worth(shop: CacheShop) -> None:
    shop.ask("gold-1")
    hits = [shop.ask(f"gold-{number}") for number in (2, 3, 4)]
    shop.judge(hits[0], "accepted")
    shop.judge(hits[1], "accepted")
    shop.judge(hits[2], "dismissed", reason="Wrong for this customer")
    shop.ask("gold-5", "Do you give money back? <b>100% of it</b>")
    page = shop.signed_in("admin").get("/cache").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "60 % (3 of 5 drafts)" in page
    assert "1 of 3 judged" in page
    assert "0.8 % to 90.5 %" in page
    assert "$0.0096" in page
    assert "&lt;b&gt;100% of it" in page
    admin = shop.signed_in("admin")
    assert "100% of it" in admin.get("/cache?q=100%25+of").text
    assert "Nothing here has that text" in admin.get("/cache?q=100_").text


def test_the_command_lists_pins_and_erases(
    shop: CacheShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = shop.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("FRUGALDESK_DATABASE_URL", url)
    shop.ask("gold-1")
    shop.ask("guest-1")
    shop.ask("gold-2", ASK_HOURS)
    name = next(each.name for each in shop.entries() if each.answer == YES)
    listed = run("list", "--search", "call the parcel")
    assert name in listed
    assert "segment   gold-1 (gold)  0" in listed
    assert len(run("list").splitlines()) == 3
    assert run("pin", name) == f"{name} is pinned\n"
    assert run("pin", name, "--off") == f"{name} is no longer pinned\n"
    assert "no entry 'x' here" in run("pin", "x", code=2)
    assert "nothing says which" in run("delete", code=2)
    assert run("delete", "--customer", "guest-1") == "1 erased\n"
    assert run("delete", "--version", "other") == "0 erased\n"
    assert run("delete", "--segment", "gold", "--entry", name) == "1 erased\n"
    assert list(shop.scopes()) == [HOURS]
    version = shop.entries()[0].knowledge
    assert run("delete", "--version", version) == "1 erased\n"
    assert run("list") == "nothing is kept here\n"


def run(command: str, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["cache", command, "--tenant", "t", *arguments])
    assert done.exit_code == code, done.output
    return done.output
