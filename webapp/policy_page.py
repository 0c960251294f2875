"""The admin's page "Policy": what tickets meet, where it comes from, and every stored version."""

from dataclasses import dataclass

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from cascade import Policy
from cascade.errors import BadPolicy
from webapp import models, policies, policy_files, policy_words
from webapp.access import caller, signed_in
from webapp.context import database, desk
from webapp.drift import alarmed, drift
from webapp.errors import Refused, Unknown

LARGEST_FILE = 8 * 1024 * 1024
"""Bytes a policy file may have: `made_from` names every row of the log by its hash."""
VERSIONS_SHOWN = 50

blueprint = Blueprint("policy", __name__)


@dataclass(frozen=True)
class Version:
    """A stored version, what making it live would change, and why it cannot be, where it can't."""

    row: models.Policy
    policy: Policy
    changes: list[str]
    problem: str | None


def allow_files() -> None:
    """Let an uploaded policy file be larger than what any other request may hold."""
    if request.endpoint == "policy.upload":
        request.max_content_length = LARGEST_FILE


@blueprint.app_template_filter("estimates")
def _estimates(row: models.Policy) -> dict[str, str]:
    return policy_words.estimates(row.made_from)


@blueprint.app_template_global("drift_alarm")
def _drift_alarm() -> bool:
    """Whether feedback says that the live policy no longer keeps to its certificate."""
    with database().read() as rows:
        if policies.live_version(rows, g.tenant.id) is None:
            return False
        return alarmed(rows, g.tenant.id, policies.live_row(rows, g.tenant.id).policy)


@blueprint.get("/policy")
@signed_in(admin=True)
def show() -> ResponseReturnValue:
    """Show the live policy, what the last change changed, and the stored versions."""
    with database().read() as rows:
        return _show(rows)


@blueprint.post("/policy/live")
@signed_in(admin=True)
def make_live() -> ResponseReturnValue:
    """Make a stored version live, unless another became live since the page was loaded."""
    version, seen = request.form.get("version", ""), request.form.get("instead_of", "")
    try:
        with database().write() as rows:
            row = policies.find(rows, g.tenant.id, version)
            policy_files.check_servable(Policy.from_json(row.document), desk().sources)
            policies.make_live(
                rows, g.tenant.id, version, actor=caller().actor, instead_of=seen or None
            )
    except (Refused, Unknown) as exc:
        return _refused(str(exc))
    flash(f"{version} is live now, for every ticket from here on.", "done")
    return redirect(url_for("policy.show"), 303)


@blueprint.post("/policy/files")
@signed_in(admin=True)
def upload() -> ResponseReturnValue:
    """Store the policy of an uploaded file as a version; which one is live stays as it is."""
    try:
        file = _uploaded()
        with database().write() as rows:
            row = _store(rows, file)
    except (BadPolicy, Refused) as exc:
        return _refused(str(exc))
    flash(f"{row.version} is stored. Nothing changes until you make it live.", "done")
    return redirect(url_for("policy.show"), 303)


def _uploaded() -> policy_files.PolicyFile:
    given = request.files.get("policy")
    if given is None or not given.filename:
        raise Refused("no file was chosen; expected what `frugaldesk optimise --policy` wrote")
    try:
        text = given.stream.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadPolicy(f"{given.filename} is not UTF-8 text; expected JSON") from None
    return policy_files.read(text, name=given.filename)


def _store(rows: Session, file: policy_files.PolicyFile) -> models.Policy:
    policy = file.policy
    if "limits_as_written" not in request.form:
        policy = policy_files.with_limits_of(policy, policies.live(rows, g.tenant.id))
    policy_files.check_servable(policy, desk().sources)
    return policies.store(
        rows,
        g.tenant.id,
        policy,
        origin=file.origin,
        actor=caller().actor,
        made_from=file.made_from,
    )


def _refused(why: str) -> ResponseReturnValue:
    flash(f"Nothing was changed: {why}.", "problem")
    with database().read() as rows:
        return _show(rows), 409


def _show(rows: Session) -> str:
    pointer = policies.live_row(rows, g.tenant.id)
    live = Policy.from_json(pointer.policy.document)
    stored = policies.stored(rows, g.tenant.id, VERSIONS_SHOWN + 1)
    return render_template(
        "policy.html",
        pointer=pointer,
        live=live,
        limits=policy_words.limits(live),
        words=policy_words,
        changed=_last_change(rows, pointer, live),
        drift=drift(rows, g.tenant.id, pointer.policy),
        versions=[_version(row, live) for row in stored[:VERSIONS_SHOWN]],
        more=len(stored) > VERSIONS_SHOWN,
    )


def _version(row: models.Policy, live: Policy) -> Version:
    policy = Policy.from_json(row.document)
    try:
        policy_files.check_servable(policy, desk().sources)
    except Refused as exc:
        return Version(row, policy, policy_words.changes(live, policy), str(exc))
    return Version(row, policy, policy_words.changes(live, policy), None)


def _last_change(rows: Session, pointer: models.LivePolicy, live: Policy) -> list[str]:
    """Return what is not as it was under the version that was live before; may be empty."""
    if pointer.version_before is None:
        return []
    before = policies.find(rows, g.tenant.id, pointer.version_before)
    return policy_words.changes(Policy.from_json(before.document), live)
