"""The agent's and the admin's pages in a real browser, against the demo served for real."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect
from sqlalchemy import select

from cascade import Policy, Tier
from tests.conftest import Service
from tests.webapp.browser import (
    DESKTOP,
    PHONE,
    UNANSWERABLE,
    axe_violations,
    escalate,
    open_details,
    open_ticket,
    sideways_overflow,
    visiting,
)
from webapp import customers, models, policies, suggestions
from webapp.audit import Caller
from webapp.db import Database
from webapp.desk import Setup


def draft_a_good_answer(page: Page, rows: Database) -> None:
    """Have drafts made for the oldest open tickets until one is good enough."""
    with rows.read() as session:
        drafted = select(models.Suggestion.ticket_id)
        waiting = session.scalars(
            select(models.Ticket.id)
            .where(models.Ticket.status == "open", models.Ticket.id.not_in(drafted))
            .order_by(models.Ticket.created_at)
        ).all()
    for ticket_id in waiting[:40]:
        page.goto(f"/tickets/{ticket_id}")
        page.get_by_role("button", name="Draft an answer").click()
        page.wait_for_selector(".draft.suggested, .draft.escalated, meta[http-equiv=refresh]")
        while page.locator(".draft.running").count():
            page.reload()
        if page.locator(".draft.suggested").count():
            return
    pytest.fail(f"of {len(waiting)} open tickets none got an answer that was good enough")


# An agent's day


def test_an_agent_drafts_edits_and_sees_the_reply(page: Page, rows: Database) -> None:
    draft_a_good_answer(page, rows)
    draft = page.get_by_role("region", name="Draft", exact=True)
    expect(draft.get_by_text(re.compile(r"^Score \d+(\.\d)?\s%$")).first).to_be_visible()
    expect(draft.get_by_text("needs 80 %").first).to_be_visible()
    draft.get_by_text("How this was decided").click()
    expect(draft.get_by_role("listitem").filter(has_text="macros")).to_contain_text("Good enough")
    page.get_by_role("link", name="Edit").click()
    field = page.get_by_label("Your reply")
    expect(field).to_be_focused()
    field.fill("Yes, you can.\nAnd <b>thank you</b>.")
    page.get_by_role("button", name="Save as the reply").click()
    reply = page.get_by_role("region", name="Reply")
    expect(reply).to_contain_text("And <b>thank you</b>.")
    expect(reply).to_contain_text("By Gil Agent")
    expect(page.get_by_role("status")).to_contain_text("Saved: your version is the reply")
    with rows.read() as session:
        (stored,) = session.scalars(
            select(models.Feedback).where(models.Feedback.final_text.contains("thank you"))
        )
        assert (stored.action, stored.final_text) == (
            "edited",
            "Yes, you can.\nAnd <b>thank you</b>.",
        )


def test_a_question_no_macro_answers_escalates_and_says_what_is_missing(page: Page) -> None:
    open_ticket(page, "Sleeping bag for -10 °C?")
    page.get_by_role("button", name="Draft an answer").click()
    draft = page.get_by_role("region", name="No answer was good enough")
    expect(draft).to_contain_text("What is missing")
    expect(draft).to_contain_text("waiting for an admin")
    expect(draft.get_by_role("button", name="Accept")).to_have_count(0)
    expect(draft.get_by_role("link", name="Write the reply")).to_be_visible()


def test_a_dismissed_draft_keeps_its_reason(page: Page, rows: Database) -> None:
    draft_a_good_answer(page, rows)
    page.get_by_role("link", name="Dismiss").click()
    page.get_by_label("Wrong for this customer").check()
    page.get_by_label("In your words").fill("the order was a gift")
    page.get_by_role("button", name="Dismiss the draft").click()
    dismissed = page.get_by_role("region", name="Draft dismissed")
    expect(dismissed).to_contain_text("Wrong for this customer: the order was a gift")
    expect(dismissed.get_by_role("button", name="Draft again")).to_be_visible()


def test_steps_appear_while_the_draft_is_made_and_the_outcome_replaces_them(
    page: Page, rows: Database
) -> None:
    with rows.write() as session:
        tenant = session.scalars(select(models.Tenant).where(models.Tenant.slug == "demo")).one()
        customer = session.scalars(select(models.Customer).limit(1)).one()
        ticket = suggestions.put_ticket(
            session, customer, external_id="T-live", subject="Live", body="Is anybody there?"
        )
        session.flush()
        setup = Setup(tenant.id, policies.live(session, tenant.id), {}, None)  # type: ignore[arg-type]
        begun = suggestions.begin(session, Caller(tenant.id, "test"), ticket, setup)
    page.goto(f"/tickets/{ticket.id}")
    drafting = page.get_by_role("region", name="Drafting")
    expect(drafting.get_by_role("listitem").first).to_contain_text("asking…")
    page.evaluate("() => { window.notReloaded = true; }")
    with rows.write() as session:
        session.add(step_of(begun, "Never shown while the draft is made."))
    expect(drafting.get_by_role("listitem").first).to_contain_text("Not good enough")
    expect(drafting).not_to_contain_text("Never shown")
    expect(page.get_by_role("status")).to_have_text(re.compile("macros: 41\\s%, not good enough"))
    suggestions.settle_cut_off(rows, now=models.utc_now() + timedelta(hours=1))
    outcome = page.get_by_role("region", name="No answer was good enough")
    expect(outcome).to_contain_text("The run was cut off before it finished")
    assert page.evaluate("window.notReloaded")


def step_of(begun: suggestions.Begun, answer: str) -> models.SuggestionStep:
    return models.SuggestionStep(
        tenant_id=begun.tenant_id,
        suggestion_id=begun.suggestion_id,
        position=0,
        tier=0,
        model="macros",
        source="macro",
        answer=answer,
        candidates=1,
        score=0.41,
        threshold=0.8,
        adapter="gold@3f9c21ab77de",
        accepted=False,
        cost=Decimal(0),
        cost_estimated=False,
        latency_ms=9,
    )


def test_the_whole_way_goes_by_keyboard(page: Page) -> None:
    page.goto("/tickets")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("return deadline")
    expect(page.get_by_role("listitem")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("return deadline")
    page.wait_for_load_state()
    page.keyboard.press("d")
    expect(page.get_by_role("heading", name=re.compile("^Draft$|No answer"))).to_be_focused()
    page.keyboard.press("e")
    expect(page.get_by_label("Your reply")).to_be_focused()
    page.keyboard.press("Control+End")
    page.keyboard.type(" Typed.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("region", name="Reply")).to_contain_text("Typed.")
    page.keyboard.press("u")
    expect(page).to_have_url(re.compile("q=return"))


def test_what_was_typed_is_not_lost_by_escape(page: Page) -> None:
    open_ticket(page, "Invoice")
    page.get_by_role("button", name="Draft an answer").click()
    page.get_by_role("link", name=re.compile("^Edit|^Write the reply")).click()
    page.get_by_label("Your reply").fill("Half a")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.keyboard.press("Escape")
    expect(page.get_by_label("Your reply")).to_have_value("Half a")
    page.once("dialog", lambda dialog: dialog.accept())
    page.keyboard.press("Escape")
    expect(page.get_by_label("Your reply")).to_have_count(0)


def test_an_edit_that_comes_too_late_is_refused_and_shown_again(
    browser: Browser, live_service: Service, agent: StorageState, page: Page, rows: Database
) -> None:
    draft_a_good_answer(page, rows)
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Your reply").fill("Written at the same time.")
    with visiting(browser, live_service.url, signed_in=agent) as colleague:
        colleague.goto(page.url)
        colleague.get_by_role("button", name="Accept").click()
        expect(colleague.get_by_role("region", name="Reply")).to_contain_text("draft accepted")
    page.get_by_role("button", name="Save as the reply").click()
    expect(page.get_by_role("status")).to_contain_text("somebody has answered this ticket")
    unsaved = page.get_by_role("region", name="Your text, which was not stored")
    expect(unsaved).to_contain_text("Written at the same time.")


def test_the_inbox_pages_and_searches(page: Page) -> None:
    page.goto("/tickets?status=answered")
    expect(page.get_by_role("listitem")).to_have_count(30)
    first = page.get_by_role("listitem").first.inner_text()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    assert page.get_by_role("listitem").first.inner_text() != first
    page.goto("/tickets?q=%25nothing-holds-this%25")
    expect(page.get_by_text("No open ticket holds")).to_be_visible()


def test_markup_in_a_ticket_is_shown_and_does_not_run(
    browser: Browser, live_service: Service, admin: StorageState
) -> None:
    attack = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
    escalate(live_service, f"Markup {attack}", f"{attack} {UNANSWERABLE}")
    with visiting(browser, live_service.url, signed_in=admin) as page:
        page.goto("/tickets?status=escalated&q=Markup")
        page.get_by_role("link", name="Markup").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Markup {attack}")
        expect(page.get_by_role("article")).to_contain_text(f"{attack} {UNANSWERABLE}")
        page.goto("/review")
        assert page.evaluate("window.pwned") is None


def test_an_ended_session_leads_to_the_sign_in(page: Page) -> None:
    open_ticket(page, "Cancel please")
    page.context.clear_cookies()
    page.get_by_role("button", name="Draft an answer").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_every_form_works_without_a_script(
    browser: Browser, live_service: Service, agent: StorageState, rows: Database
) -> None:
    without: dict[str, Any] = {"java_script_enabled": False}
    with visiting(browser, live_service.url, signed_in=agent, **without) as page:
        draft_a_good_answer(page, rows)
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("Your reply").fill("Without a script.")
        page.get_by_role("button", name="Save as the reply").click()
        expect(page.get_by_role("region", name="Reply")).to_contain_text("Without a script.")


# Admins


def test_an_admin_stores_a_policy_makes_it_live_and_goes_back(
    browser: Browser, live_service: Service, admin: StorageState, tmp_path: Path
) -> None:
    strict = Policy((Tier("macros", "macro", 0.995, {"gold": 0.99}),))
    estimates = {"log": "o.jsonl", "rows": 9, "test": {"cost": 0, "quality": 0.9}}
    path = tmp_path / "P.json"
    path.write_text(json.dumps({**json.loads(strict.to_json()), "made_from": estimates}))
    with visiting(browser, live_service.url, signed_in=admin) as page:
        page.goto("/")
        page.get_by_role("link", name="Policy").click()
        page.get_by_label("Policy file").set_input_files(path)
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_text("Nothing changes until you make it live").first).to_be_visible()
        page.get_by_text("What it would change").first.click()
        expect(page.get_by_text("80 % → 99.5 %, gold 99 %")).to_be_visible()
        problems = axe_violations(page)
        try:
            page.get_by_role("button", name="Make live").first.click()
            live = page.get_by_role("region", name="Live:")
            expect(live).to_contain_text("gold needs 99 %")
            expect(live).to_contain_text("o.jsonl, 9 rows")
            expect(page.get_by_role("region", name="What changed against")).to_be_visible()
            problems += axe_violations(page)
        finally:
            page.goto("/policy")
            page.get_by_role("button", name="Make live").first.click()
        expect(page.get_by_role("region", name="Live:")).to_contain_text("built-in")
    assert problems == []


def test_another_tenants_rows_are_not_there(
    page: Page, admin: StorageState, rows: Database
) -> None:
    with rows.write() as session:
        tenant = models.Tenant(slug="elsewhere", name="Elsewhere")
        session.add(tenant)
        session.flush()
        customer, _ = customers.put(session, tenant.id, "c-1", segment=None, features={})
        session.flush()
        ticket = suggestions.put_ticket(session, customer, external_id="1", subject="", body="x")
        session.flush()
        suggestion = models.Suggestion(
            tenant_id=tenant.id,
            ticket_id=ticket.id,
            customer_id=customer.id,
            question="x",
            shown={},
            policy="p",
            deadline_at=models.utc_now(),
        )
        session.add(suggestion)
    here = f"/tickets/{ticket.id}"
    for address in (here, f"{here}/next", f"{here}/suggestions/{suggestion.id}/events"):
        assert page.request.get(address).status == 404
    assert page.request.get(f"/tickets/{suggestion.id}").status == 404


# Looks and access


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)],
)
def test_no_page_has_an_access_problem_or_overflows(
    browser: Browser,
    live_service: Service,
    admin: StorageState,
    scheme: str,
    viewport: dict[str, int],
) -> None:
    subject = f"Sponsoring in {scheme} {viewport['width']}"
    escalate(live_service, subject)
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": viewport}
    problems: list[str] = []

    def check(page: Page) -> None:
        problems.extend(axe_violations(page))
        if wider := sideways_overflow(page):
            problems.append(f"{page.url} is {wider} pixels wider than its window")

    with visiting(browser, live_service.url, **options) as page:
        page.goto("/login")
        check(page)
    with visiting(browser, live_service.url, signed_in=admin, **options) as page:
        for address in (
            "/docs",
            "/policy",
            "/cache",
            "/tickets",
            "/tickets?q=zzz",
            "/tickets/none",
        ):
            page.goto(address)
            open_details(page)
            check(page)
        open_ticket(page, "Broken zip")
        check(page)
        page.goto("/tickets?status=answered")
        page.get_by_role("listitem").get_by_role("link").first.click()
        check(page)
        open_ticket(page, subject, status="escalated")
        open_details(page)
        check(page)
        page.goto(f"{page.url}?do=edit")
        check(page)
        page.get_by_role("link", name="Cancel").click()
        page.get_by_role("link", name="Review it").click()
        check(page)
        page.get_by_role("button", name="Claim").click()
        expect(page.get_by_label("Reply to")).to_be_visible()
        check(page)
        page.get_by_label("Reply to").fill("No, sorry.")
        page.get_by_label("Outside what support can answer").check()
        page.get_by_role("button", name="Resolve").click()
    assert problems == []


def test_a_draft_has_no_access_problem_in_any_state(page: Page) -> None:
    open_ticket(page, "Very disappointed")
    page.get_by_role("button", name="Draft an answer").click()
    expect(page.get_by_role("region", name=re.compile("^Draft$|No answer"))).to_be_visible()
    open_details(page)
    problems = axe_violations(page)
    for do in ("edit", "dismiss"):
        page.goto(f"{page.url.partition('?')[0]}?do={do}")
        problems += axe_violations(page)
    assert problems == []
