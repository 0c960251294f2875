"""The admin's page "Cache": what is kept for whom, what it is worth, and how to erase it."""

from datetime import timedelta

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from cascade.cache import Which
from cascade.errors import BadCache
from cascade.text import readable
from webapp import cache_report
from webapp.access import caller, signed_in
from webapp.cache_stores import DatabaseStore, erase_recorded, pin_recorded
from webapp.context import database, desk
from webapp.errors import NotReady
from webapp.models import utc_now

SHOWN = 50
LONGEST_SEARCH = 200
REPORTED = timedelta(days=30)

blueprint = Blueprint("cache", __name__)


@blueprint.get("/cache")
@signed_in(admin=True)
def show() -> ResponseReturnValue:
    """Show what the cache did in the last days, and the entries that match the search."""
    search = readable(request.args.get("q", ""))[:LONGEST_SEARCH].strip()
    with database().read() as rows:
        done = cache_report.report(rows, g.tenant.id, since=utc_now() - REPORTED)
        found = cache_report.entries(rows, g.tenant.id, search=search, limit=SHOWN + 1)
    return render_template(
        "cache.html",
        search=search,
        report=done,
        days=REPORTED.days,
        counts=DatabaseStore(database()).counts(g.tenant.id),
        entries=found[:SHOWN],
        more=len(found) > SHOWN,
        knowledge=_knowledge(),
        now=utc_now(),
    )


@blueprint.post("/cache/<entry_id>/pin")
@signed_in(admin=True)
def pin(entry_id: str) -> ResponseReturnValue:
    """Pin an entry, or take its pin away."""
    pinned = request.form.get("pinned") == "1"
    if pin_recorded(database(), caller(), entry_id, pinned):
        flash("Pinned: it stays until its knowledge changes." if pinned else "Not pinned.", "done")
    else:
        flash("Nothing was changed: that answer is gone.", "problem")
    return redirect(url_for("cache.show"), 303)


@blueprint.post("/cache/erase")
@signed_in(admin=True)
def erase() -> ResponseReturnValue:
    """Erase by entry, customer or segment, or what earlier knowledge left behind."""
    given = {
        name: readable(request.form.get(name, "")).strip() or None
        for name in ("entry", "customer", "segment")
    }
    if "outdated" in request.form:
        given["other_knowledge"] = _knowledge()
    try:
        which = Which(**given)
    except BadCache as exc:
        flash(f"Nothing was erased: {exc}.", "problem")
        return redirect(url_for("cache.show"), 303)
    with database().write() as rows:
        count = erase_recorded(rows, caller(), which)
    flash("1 answer erased." if count == 1 else f"{count} answers erased.", "done")
    return redirect(url_for("cache.show"), 303)


def _knowledge() -> str | None:
    """Return the version that answers are given under now, None where none can be given."""
    try:
        return desk().setup(g.tenant.id).knowledge.version
    except NotReady:
        return None
