"""A headless Chromium for tests, a page that remembers all complaints, and ways about the pages."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, StorageState, expect

from tests.conftest import Service

ON_PATH = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 360, "height": 740}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
UNANSWERABLE = "Would you sponsor our climbing club next season?"
MISSED_PAGE = "Failed to load resource: the server responded with a status of 4"


def chromium_path(playwright: Playwright) -> str | None:
    """Return the Chromium on PATH, else Playwright's own, else None."""
    for name in ON_PATH:
        if found := shutil.which(name):
            return found
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


class Complaints(list[str]):
    """What a page wrote to the console as an error, or raised, violations of the CSP included."""

    def watch(self, page: Page) -> None:
        """Remember what this page complains of from now on."""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.append(f"{page.url}: {error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        # A page with status 4xx is what some tests ask for, and they look at it themselves.
        if message.type in ("error", "warning") and not message.text.startswith(MISSED_PAGE):
            self.append(f"{message.page and message.page.url}: {message.text}")


@contextmanager
def visiting(
    browser: Browser, url: str, *, signed_in: StorageState | None = None, **options: Any
) -> Iterator[Page]:
    """Open a page of its own context; complaints fail the test at the end."""
    complaints = Complaints()
    context = browser.new_context(
        base_url=url,
        storage_state=signed_in,
        **{"viewport": DESKTOP, "reduced_motion": "reduce", **options},
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    complaints.watch(page)
    try:
        yield page
    finally:
        context.close()
    assert complaints == []


def axe_violations(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it is, one line for each kind."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    return [
        f"{page.url}: {violation['id']} at {[node['target'] for node in violation['nodes']]}"
        for violation in found["violations"]
    ]


def sideways_overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    root = "document.documentElement"
    wider: int = page.evaluate(f"() => {root}.scrollWidth - {root}.clientWidth")
    return wider


def sign_in(browser: Browser, url: str, email: str, password: str) -> StorageState:
    """Sign a person in and return their cookies."""
    with visiting(browser, url) as page:
        page.goto("/")
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
        return page.context.storage_state()


def escalate(service: Service, subject: str, body: str = UNANSWERABLE) -> None:
    """Have the API answer a ticket that no macro can."""
    with service.client() as api:
        profile = {"segment": "bronze", "features": {"membership": "bronze", "region": "EU"}}
        api.put("/api/v1/customers/browser-1", json=profile).raise_for_status()
        asked = {
            "ticket": {"subject": subject, "body": body},
            "customer": {"external_id": "browser-1"},
        }
        made = api.post("/api/v1/suggestions", json=asked)
    assert made.json()["status"] == "escalated", made.text


def open_ticket(page: Page, subject: str, *, status: str = "open") -> None:
    """Find a ticket by its subject and open it."""
    page.goto(f"/tickets?status={status}")
    page.get_by_role("searchbox").fill(subject)
    expect(page).to_have_url(re.compile("q="))
    page.get_by_role("link", name=subject, exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(subject)


def open_details(page: Page) -> None:
    """Unfold everything on the page."""
    page.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")
