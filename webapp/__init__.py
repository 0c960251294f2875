"""Who may ask, see and decide? The Flask app around the cascade and the scorer.

>>> app = create_app(Settings.from_env())
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from apiflask import APIFlask

from webapp.settings import Settings

if TYPE_CHECKING:
    from webapp.db import Database
    from webapp.desk import Desk

__all__ = ["Settings", "create_app"]

log = logging.getLogger(__name__)

LARGEST_REQUEST = 256 * 1024
"""Bytes a request body may have; a longer one is refused with 413."""

RETRY_S = 5.0
"""Seconds until the desk is opened again after something stood in the way."""

SETTLE_S = 30.0
"""Seconds between two looks for runs that were cut off."""


def create_app(settings: Settings, *, open_desk: bool = True) -> APIFlask:
    """Build the app. The desk opens in the background; `/readyz` says when it has, or why not yet.

    With `open_desk=False` the caller opens it: `app.extensions["frugaldesk.desk"].open()`.
    Raises `BadSettings` and `cascade.errors.MissingPrice` before anything is served.
    """
    from webapp import (
        access,
        api,
        cache_page,
        learning_api,
        learning_page,
        pages,
        panel,
        policy_page,
        problems,
        review,
    )
    from webapp.db import Database
    from webapp.desk import Desk
    from webapp.feedback import Audits
    from webapp.jobs import Jobs

    app = APIFlask(
        "webapp",
        title="frugaldesk",
        version="1",
        spec_path="/openapi.json",
        docs_path=None,
        json_errors=False,
    )
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=LARGEST_REQUEST,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.cookie_secure,
        WTF_CSRF_TIME_LIMIT=None,
        AUTO_PROMOTE=settings.auto_promote,
    )
    database = Database(settings.database_url)
    desk = Desk(settings, database)
    app.extensions["frugaldesk.database"] = database
    app.extensions["frugaldesk.desk"] = desk
    app.extensions["frugaldesk.jobs"] = Jobs(settings)
    app.extensions["frugaldesk.audits"] = Audits(settings.audit_share)
    app.extensions["frugaldesk.runs"] = ThreadPoolExecutor(8, thread_name_prefix="cascade")
    problems.install(app)
    # Before access, which reads the form, and with it the file, to check its token.
    app.before_request(policy_page.allow_files)
    access.install(app)
    api.install(app, learning_api.blueprint)
    for blueprint in (
        pages.blueprint,
        panel.blueprint,
        review.blueprint,
        policy_page.blueprint,
        cache_page.blueprint,
        learning_page.blueprint,
    ):
        app.register_blueprint(blueprint, enable_openapi=False)
    if open_desk:
        threading.Thread(target=_look_after, args=(desk, database), daemon=True).start()
    return app


def _look_after(desk: "Desk", database: "Database") -> None:
    """Open the desk, however many tries it takes, and settle cut-off runs for as long as we live.

    What stands in the way is logged once, and `/readyz` goes on saying it.
    """
    from webapp.errors import places
    from webapp.suggestions import settle_cut_off

    told = None
    while True:
        try:
            desk.open()
        except Exception:
            if desk.problem != told:
                log.exception("the service cannot answer tickets")
            told = desk.problem
        try:
            settle_cut_off(database)
        except Exception as exc:
            # While the desk is closed, its own problem says enough: the tables may not be there.
            if desk.problem is None:
                log.error("cut-off runs cannot be settled\n%s", places(exc))
        time.sleep(RETRY_S if desk.problem else SETTLE_S)
