"""Who may ask, see and decide? The Flask app around the cascade and the scorer.

>>> app = create_app(Settings.from_env())
"""

import logging
import threading
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


def create_app(settings: Settings, *, open_desk: bool = True) -> APIFlask:
    """Build the app. The desk opens in the background; `/readyz` says when it has.

    With `open_desk=False` the caller opens it: `app.extensions["frugaldesk.desk"].open()`.
    Raises `BadSettings` and `cascade.errors.MissingPrice` before anything is served.
    """
    from webapp import access, api, pages, panel, problems, review
    from webapp.db import Database
    from webapp.desk import Desk

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
    )
    database = Database(settings.database_url)
    desk = Desk(settings, database)
    app.extensions["frugaldesk.database"] = database
    app.extensions["frugaldesk.desk"] = desk
    app.extensions["frugaldesk.runs"] = ThreadPoolExecutor(8, thread_name_prefix="cascade")
    problems.install(app)
    access.install(app)
    api.install(app)
    for blueprint in (pages.blueprint, panel.blueprint, review.blueprint):
        app.register_blueprint(blueprint, enable_openapi=False)
    if open_desk:
        threading.Thread(target=_open, args=(desk, database), name="open desk", daemon=True).start()
    return app


def _open(desk: "Desk", database: "Database") -> None:
    from webapp.suggestions import settle_cut_off

    try:
        desk.open()
        settle_cut_off(database)
    except Exception:
        # `/readyz` goes on saying why, so the operator finds it there and in the log.
        log.exception("the service cannot answer tickets")
