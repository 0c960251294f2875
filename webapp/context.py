"""What a request reaches from the app it runs in."""

from concurrent.futures import Executor

from flask import current_app

from webapp.db import Database
from webapp.desk import Desk
from webapp.feedback import Audits
from webapp.jobs import Jobs


def database() -> Database:
    """Return the app's database."""
    found: Database = current_app.extensions["frugaldesk.database"]
    return found


def desk() -> Desk:
    """Return the app's desk: scorer, providers, prices."""
    found: Desk = current_app.extensions["frugaldesk.desk"]
    return found


def runs() -> Executor:
    """Return the threads in which drafts started from a page are made."""
    found: Executor = current_app.extensions["frugaldesk.runs"]
    return found


def audits() -> Audits:
    """Return how many of the sent answers are read again."""
    found: Audits = current_app.extensions["frugaldesk.audits"]
    return found


def secret() -> str:
    """Return the service's secret, with which it signs and hashes."""
    found: str = current_app.config["SECRET_KEY"]
    return found


def jobs() -> Jobs:
    """Return the app's queue of background jobs."""
    found: Jobs = current_app.extensions["frugaldesk.jobs"]
    return found
