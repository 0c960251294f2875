"""What several tests of the service share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from tests.conftest import Service
from tests.webapp.browser import ARGUMENTS, chromium_path, sign_in, visiting
from tests.webapp.log_files import usual, write
from webapp.db import Database

expect.set_options(timeout=15_000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the commands run in, with a log to choose on and one to measure on."""
    monkeypatch.chdir(tmp_path)
    write("train.jsonl", usual(120, seed=1))
    write("test.jsonl", usual(80, seed=2, prefix="t"))
    return tmp_path


# A browser on the demo, served for real


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = chromium_path(playwright)
        if path is None:
            pytest.skip("no Chromium here: install Debian's package, or run `playwright install`")
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def agent(browser: Browser, live_service: Service) -> StorageState:
    """The cookies of a signed-in agent."""
    return sign_in(browser, live_service.url, live_service.agent_email, live_service.agent_password)


@pytest.fixture(scope="module")
def admin(browser: Browser, live_service: Service) -> StorageState:
    """The cookies of a signed-in admin."""
    return sign_in(browser, live_service.url, live_service.admin_email, live_service.admin_password)


@pytest.fixture(scope="module")
def rows(live_service: Service) -> Iterator[Database]:
    """The service's own database."""
    opened = Database(f"sqlite:///{live_service.var}/frugaldesk.db")
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser, live_service: Service, agent: StorageState) -> Iterator[Page]:
    """A page on which the agent is signed in."""
    with visiting(browser, live_service.url, signed_in=agent) as opened:
        yield opened
