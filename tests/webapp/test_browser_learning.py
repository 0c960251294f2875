"""From wrong answers to a better adapter and back, in a real browser; and the page by itself."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, StorageState, expect
from werkzeug.serving import make_server

from tests.conftest import serve_and_work
from tests.returns import Trained
from tests.webapp.browser import (
    DESKTOP,
    PHONE,
    axe_violations,
    open_details,
    sideways_overflow,
    sign_in,
    visiting,
)
from tests.webapp.judged_shop import (
    AFTER,
    GOLD_1,
    GOLD_2,
    GOLD_3,
    WORSE,
    JudgedShop,
    open_judged_shop,
)
from tests.webapp.learning_shop import (
    QUESTION,
    SECRET,
    YES,
    LearningShop,
    open_learning_shop,
    refusals,
)
from tests.webapp.people import PASSWORD
from webapp import Settings, adapters, create_app, promotion, schema
from webapp.db import Database

NARROW = {"width": 700, "height": 900}
ADMIN = "admin@t.example"
SERVED_WITHIN_S = 5.0
TRAINED_WITHIN_MS = 300_000
POLLED_TWICE_MS = 5_000


# The journey, with a service of two web workers and a training worker


@dataclass
class Served:
    """The learning shop behind a real service."""

    shop: LearningShop
    url: str
    admin: StorageState

    def client(self) -> httpx.Client:
        """A client with the tenant's key; each request takes a connection of its own.

        So that each may meet another of the web workers.
        """
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.shop.key}", "Connection": "close"},
            timeout=60,
        )


@pytest.fixture(scope="module")
def served(
    browser: Browser, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    var = tmp_path_factory.mktemp("learning")
    database = Database(f"sqlite:///{var}/frugaldesk.db")
    shop = open_learning_shop(database, var, trained, FRUGALDESK_SECRET_KEY=SECRET)
    environment = {
        "FRUGALDESK_VAR": str(var),
        "FRUGALDESK_SECRET_KEY": SECRET,
        "FRUGALDESK_THRESHOLD": "0.6",
        "FRUGALDESK_CACHE": "0",
        "FRUGALDESK_WORKERS": "2",
    }
    with serve_and_work(var, **environment) as url:
        yield Served(shop, url, sign_in(browser, url, ADMIN, PASSWORD))
    database.close()


def ask(api: httpx.Client, customer: str, question: str = QUESTION) -> dict[str, Any]:
    """Have a ticket answered."""
    asked = {
        "ticket": {"subject": "Return", "body": question},
        "customer": {"external_id": customer},
    }
    made = api.post("/api/v1/suggestions", json=asked)
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


def scores_of(api: httpx.Client, people: list[str]) -> list[float]:
    return [ask(api, each)["score"] for each in people]


def wait_for_adapter(api: httpx.Client, customer: str, version: str) -> None:
    """Check that from five seconds after a move every answer is scored by this version."""
    time.sleep(SERVED_WITHIN_S)
    # So many at once that both web workers answer some.
    with ThreadPoolExecutor(8) as crowd:
        said = list(crowd.map(lambda _: ask(api, customer)["adapter"], range(24)))
    assert set(said) == {version}


def test_thirty_verdicts_a_click_and_a_promotion(served: Served, browser: Browser) -> None:
    people = served.shop.those_between()
    late = next(each.external_id for each in people if each.features["days_since_purchase"] > 40)
    guests = [each.external_id for each in served.shop.people("guest")[:6]]
    with served.client() as api, visiting(browser, served.url, signed_in=served.admin) as page:
        before = ask(api, late)
        assert (before["status"], before["answer"]) == ("suggested", YES)
        others = scores_of(api, guests)
        for number, (question, refusal) in enumerate(refusals(30)):
            made = ask(api, people[number % len(people)].external_id, question)
            said = {"action": "edited", "final_text": refusal}
            given = api.post(f"/api/v1/suggestions/{made['id']}/feedback", json=said)
            assert given.status_code == 201, given.text

        page.goto("/adapters")
        expect(page.get_by_text("30 new verdicts since its last run")).to_be_visible()
        page.get_by_role("button", name="Retrain gold").click()
        expect(page.get_by_text("A run for gold is queued.")).to_be_visible()
        page.evaluate("() => { window.notReloaded = true; }")
        run = page.locator("#runs li").first
        expect(run.get_by_text("Running")).to_be_visible(timeout=60_000)
        better = run.get_by_text("Better than the champion", exact=True)
        expect(better).to_be_visible(timeout=TRAINED_WITHIN_MS)
        expect(page.get_by_role("status")).to_contain_text("The run for gold is over: better than")
        expect(run.get_by_role("button", name="Cancel")).to_have_count(0)
        assert page.evaluate("window.notReloaded")
        (made_run,) = api.get("/api/v1/runs").json()["data"]
        expect(run).to_contain_text(f"gold: scored by {made_run['adapter']}")

        run.get_by_role("button", name="Promote").click()
        expect(page.get_by_text(f"{made_run['adapter']} scores every ticket")).to_be_visible()
        wait_for_adapter(api, late, made_run["adapter"])
        after = ask(api, late)
        assert (after["status"], after["adapter"]) == ("escalated", made_run["adapter"])
        assert after["score"] < after["threshold"]
        assert scores_of(api, guests) == others

        page.get_by_role("button", name="Roll back gold").click()
        expect(page.get_by_text(f"gold is scored by {before['adapter']} again.")).to_be_visible()
        wait_for_adapter(api, late, before["adapter"])
        restored = ask(api, late)
        assert (restored["status"], restored["score"]) == ("suggested", before["score"])
        assert scores_of(api, guests) == others


# The page by itself, over rows alone


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[JudgedShop]:
    database = Database(f"sqlite:///{tmp_path}/frugaldesk.db")
    schema.upgrade(database)
    yield open_judged_shop(database)
    database.close()


@pytest.fixture
def url(shop: JudgedShop, tmp_path: Path) -> Iterator[str]:
    """The shop's pages, served by a thread."""
    environment = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_DATABASE_URL": shop.database.url}
    app = create_app(Settings.from_env(environment), open_desk=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["frugaldesk.database"].close()


@pytest.fixture
def admin_of(browser: Browser, url: str) -> StorageState:
    """The cookies of the shop's admin."""
    return sign_in(browser, url, ADMIN, PASSWORD)


def item(page: Page, run_id: str) -> Locator:
    """The list's item of a run."""
    return page.locator(f"#run-{run_id}")


def test_polling_leaves_alone_what_is_open_and_focused(
    browser: Browser, shop: JudgedShop, url: str, admin_of: StorageState
) -> None:
    shop.candidate(GOLD_2)
    shop.run("gold", "done", version=GOLD_2, log=["10:00:00 learnt"])
    going = shop.run("guest", "running", stage="training guest", done=1, total=9, log=["a line"])
    with visiting(browser, url, signed_in=admin_of) as page:
        page.goto("/adapters")
        open_details(page)
        cancel = item(page, going).get_by_role("button", name="Cancel the run for guest")
        cancel.focus()
        shop.tell(going, stage="judging the candidate", done=8, log=["a line", "another line"])
        expect(item(page, going)).to_contain_text("step 8 of 9")
        expect(item(page, going).locator("pre")).to_contain_text("another line")
        page.wait_for_timeout(POLLED_TWICE_MS)
        expect(cancel).to_be_focused()
        assert page.locator("#runs details:not([open])").count() == 0
        shop.tell(going, status="failed", stage="failed", error="out of memory")
        expect(item(page, going)).to_contain_text("Failed: out of memory")
        expect(page.get_by_role("status")).to_have_text("The run for guest is over: failed")
        expect(cancel).to_have_count(0)
        assert page.locator("#runs details:not([open])").count() == 0
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(POLLED_TWICE_MS)
        assert asked == []


def test_the_page_is_worked_by_keyboard(
    browser: Browser, shop: JudgedShop, url: str, admin_of: StorageState
) -> None:
    shop.candidate(GOLD_2)
    shop.run("gold", "done", version=GOLD_2)
    with visiting(browser, url, signed_in=admin_of) as page:
        page.goto("/adapters")
        page.get_by_text("Figures").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("group", name="Figures")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("group", name="Figures")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=f"Promote {GOLD_2}")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_text(re.compile("scores every ticket of its segment"))).to_be_visible()
    assert shop.champions["gold"] == GOLD_2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, NARROW, PHONE])
def test_the_page_is_accessible_and_fits(
    browser: Browser,
    shop: JudgedShop,
    url: str,
    admin_of: StorageState,
    viewport: dict[str, int],
    scheme: str,
) -> None:
    fill(shop)
    options: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme}
    with visiting(browser, url, signed_in=admin_of, **options) as page:
        page.goto("/adapters")
        open_details(page)
        assert axe_violations(page) == []
        assert sideways_overflow(page) == 0


def fill(shop: JudgedShop) -> None:
    """Give the shop a run of each kind, a challenger that has scored, and a marked adapter."""
    with shop.database.write() as session:
        promotion.find(session, shop.tenant, GOLD_1).marked_because = adapters.LEARNT
    kept = {"segment": "gold", "accepted": 38, "wrong": 1, "bound": 0.081, "holds": True}
    shop.candidate(GOLD_2, certificate=[kept])
    shop.run("gold", "done", version=GOLD_2, log=["10:00:00 learnt"], ago_s=600)
    shop.promote(GOLD_2)
    shop.candidate(GOLD_3, against=GOLD_2, under=AFTER, to=None)
    shop.run("gold", "done", version=GOLD_3, ago_s=500)
    worse = shop.candidate("gold@00000000b004", WORSE)
    shop.run("gold", "done", version=worse, ago_s=400)
    shop.challenge(GOLD_3)
    for said in (0.9, 0.2):
        made = shop.suggest("gold-1", adapter=GOLD_2)
        shop.shadow(made, GOLD_3, said)
        shop.say(made, "accepted")
    shop.run("guest", "failed", error="its worker was lost 3 times; start it again", ago_s=300)
    shop.run("guest", "cancelled", ago_s=200)
    shop.run("guest", "queued", ago_s=100)
    shop.run("shared", "running", stage="training shared", done=120, total=400, log=["a line"])
