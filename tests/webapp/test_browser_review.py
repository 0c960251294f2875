"""The review queue in a real browser, against the demo served for real."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect
from sqlalchemy import select

from tests.conftest import Service
from tests.webapp.browser import (
    DESKTOP,
    PHONE,
    axe_violations,
    escalate,
    open_details,
    open_ticket,
    sideways_overflow,
    visiting,
)
from tests.webapp.review_shop import ANSWER, ReviewShop
from webapp import contradictions, customers, models, policies, reviews
from webapp.db import Database

NARROW = {"width": 700, "height": 900}


def test_an_admin_claims_and_resolves_and_the_agent_sees_the_reply(
    browser: Browser, live_service: Service, admin: StorageState, page: Page
) -> None:
    escalate(live_service, "Sponsoring, please")
    with visiting(browser, live_service.url, signed_in=admin) as review:
        open_ticket(review, "Sponsoring, please", status="escalated")
        review.get_by_role("link", name="Review it").click()
        expect(review.get_by_text("Why it escalated")).to_be_visible()
        expect(review.get_by_label("Reply to")).to_have_count(0)
        review.get_by_role("button", name="Claim").click()
        expect(review.get_by_text(re.compile("for 20 more minutes"))).to_be_visible()
        open_ticket(page, "Sponsoring, please", status="escalated")
        expect(page.get_by_text("with Ada Admin")).to_be_visible()
        review.get_by_label("Reply to").fill("We sponsor three clubs a year. Please apply in May.")
        review.get_by_label("No macro or policy passage covers it").check()
        review.get_by_label("Note for the team").fill("write a macro")
        review.get_by_role("button", name="Resolve").click()
        expect(review.get_by_text("Resolved: your text is the reply")).to_be_visible()
    page.reload()
    reply = page.get_by_role("region", name="Reply")
    expect(reply).to_contain_text("Please apply in May.")
    expect(reply).to_contain_text("corrected in review")
    expect(reply).to_contain_text("By Ada Admin")


def test_an_admin_starts_from_a_candidate_releases_and_dismisses(
    browser: Browser, live_service: Service, admin: StorageState
) -> None:
    escalate(live_service, "Club evening", "Could your staff give a talk at our club evening?")
    with visiting(browser, live_service.url, signed_in=admin) as review:
        open_ticket(review, "Club evening", status="escalated")
        review.get_by_role("link", name="Review it").click()
        review.get_by_role("button", name="Claim").click()
        review.get_by_role("button", name="Release").click()
        expect(review.get_by_text("Released.")).to_be_visible()
        review.get_by_role("button", name="Claim").click()
        candidate = review.get_by_role("link", name="Start from this candidate")
        if candidate.count():
            review.get_by_label("Reply to").fill("")
            candidate.first.click()
            expect(review.get_by_label("Reply to")).not_to_have_value("")
            review.get_by_label("Reply to").fill("")
        review.get_by_role("button", name="Dismiss without an answer").click()
        expect(review.get_by_text("Dismissed without an answer.")).to_be_visible()


def test_agents_do_not_see_the_review_queue(page: Page) -> None:
    refused = page.goto("/review")
    assert refused is not None
    assert refused.status == 403
    expect(page.get_by_role("link", name="Review")).to_have_count(0)


# Audits, contradictions, alarms


@pytest.fixture
def shop(rows: Database) -> ReviewShop:
    """The demo's own tenant, with one more customer."""
    with rows.write() as session:
        tenant = session.scalars(select(models.Tenant.id).where(models.Tenant.slug == "demo")).one()
        features: dict[str, str | bool] = {"membership": "gold", "region": "EU"}
        customers.put(session, tenant, "browser-2", segment="gold", features=features)
    return ReviewShop(rows, tenant)


def audit_of(shop: ReviewShop, made: str) -> str:
    """Return the id of the open audit of a suggestion."""
    (found,) = [each.id for each in shop.open("audit") if each.suggestion_id == made]
    return found


def test_an_audit_is_judged_by_keyboard_and_its_second_look_is_anothers(
    browser: Browser, live_service: Service, admin: StorageState, shop: ReviewShop
) -> None:
    made = shop.audited(models.new_id(), customer="browser-2")
    audit = audit_of(shop, made)
    with visiting(browser, live_service.url, signed_in=admin) as page:
        page.goto(f"/review/{audit}")
        expect(page.get_by_role("region", name="The answer to judge")).to_contain_text(ANSWER)
        page.keyboard.press("c")
        expect(page.get_by_text(re.compile("for 20 more minutes"))).to_be_visible()
        page.wait_for_load_state()
        page.keyboard.press("1")
        for answer in "nyyn":
            page.keyboard.press(answer)
        correct = page.get_by_role("group", name="Is it correct?")
        expect(correct.get_by_role("radio", name="No")).to_be_checked()
        tone = page.get_by_role("group", name="How is its tone?")
        expect(tone.get_by_role("radio", name="Poor")).to_be_checked()
        page.keyboard.press("2")
        expect(
            page.get_by_role("group", name="Is it complete?").get_by_label("Yes")
        ).to_be_focused()
        page.keyboard.press("Control+Enter")
        expect(page.get_by_text("no root cause was given")).to_be_visible()
        page.wait_for_load_state()
        page.keyboard.press("5")
        page.keyboard.press("Space")
        page.keyboard.press("e")
        expect(page.get_by_label("The right answer")).to_be_focused()
        page.keyboard.press("Control+a")
        page.keyboard.type("No, not any more.")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_text("Judged: your finding is kept as feedback.")).to_be_visible()
        second = second_look(shop, made)
        page.goto(f"/review/{second}")
        expect(page.get_by_text("because you judged this answer first")).to_be_visible()
        expect(page.get_by_role("button", name="Claim")).to_have_count(0)
        page.keyboard.press("c")
        expect(page.get_by_role("region", name="Your finding")).to_have_count(0)
        assert axe_violations(page) == []
    found = shop.feedback(made)[-1]
    assert (found.suits, found.final_text, found.reason) == (
        False,
        "No, not any more.",
        "knowledge",
    )


def second_look(shop: ReviewShop, made: str) -> str:
    """Have the audit judged once more, as every fifth is by chance; return the review's id."""
    for each in shop.open("audit"):
        if each.suggestion_id == made:
            return each.id
    with shop.database.write() as session:
        return reviews.add(
            session, shop.tenant, "audit", reason="A second look.", suggestion_id=made, nth=2
        ).id


@pytest.mark.parametrize(
    ("scheme", "viewport"), [("light", DESKTOP), ("dark", NARROW), ("light", PHONE)]
)
def test_no_review_has_an_access_problem_or_overflows(
    browser: Browser,
    live_service: Service,
    admin: StorageState,
    shop: ReviewShop,
    scheme: str,
    viewport: dict[str, int],
) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport}
    problems: list[str] = []

    def check(page: Page) -> None:
        open_details(page)
        problems.extend(axe_violations(page))
        if wider := sideways_overflow(page):
            problems.append(f"{page.url} is {wider} pixels wider than its window")

    with visiting(browser, live_service.url, signed_in=admin, **options) as page:
        for review_id in one_of_each(shop):
            page.goto(f"/review/{review_id}")
            check(page)
            page.get_by_role("button", name="Claim").click()
            expect(page.get_by_role("button", name="Release")).to_be_visible()
            check(page)
            close(page)
            expect(page.locator(".flash.done")).to_be_visible()
            page.goto(f"/review/{review_id}")
            check(page)
    assert problems == []


def one_of_each(shop: ReviewShop) -> list[str]:
    """Put an alarm, a contradiction and an audit on the queue; return their ids."""
    with shop.database.write() as session:
        live = policies.live_version(session, shop.tenant)
        alarm = reviews.add(session, shop.tenant, "alarm", reason="Too many wrong.", policy=live)
    told = {"customer": "browser-2", "question": f"{models.new_id()}?"}
    made = shop.audited(models.new_id(), **told)
    said = shop.give(shop.suggest(models.new_id(), **told), "dismissed", by="user:other@t.example")
    contradiction = contradictions.report(shop.database, said)
    assert contradiction is not None
    return [alarm.id, contradiction, audit_of(shop, made)]


def close(page: Page) -> None:
    """Resolve the alarm, or find everything good."""
    if page.get_by_role("region", name="What was done").count():
        page.get_by_label("Note for the team").fill("Thresholds are raised.")
        page.get_by_role("button", name="Resolve").click()
        return
    for group in page.locator("[data-criterion]").all():
        group.get_by_role("radio").first.check()
    page.get_by_role("button", name=re.compile("^(Judge|Settle)")).click()
