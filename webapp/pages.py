"""Pages that need no sign-in: health, readiness, and the API's reference."""

from typing import cast

from apiflask import APIFlask
from flask import Blueprint, current_app, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from webapp import schema
from webapp.context import database, desk

blueprint = Blueprint("pages", __name__)


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Say whether tickets can be answered: database, migrations and scorer; 503 with why not."""
    problem = desk().problem
    if problem is None and not schema.is_current(database()):
        problem = "the database is not up to date; run `frugaldesk db upgrade`"
    if problem:
        return {"status": "not ready", "problem": problem}, 503
    return {"status": "ready"}


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Go to the inbox."""
    return redirect(url_for("panel.inbox"))


@blueprint.get("/docs")
def api_reference() -> str:
    """Show the API's reference, rendered from the same document as `/openapi.json`."""
    app = cast(APIFlask, current_app)
    return render_template("api_reference.html", document=app.spec)
