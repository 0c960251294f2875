"""The admin's page "Adapters": what scores each segment, training runs as they go, candidates."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint, current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from cascade import Policy
from webapp import policy_words, promotion, retraining_rules, runs, shadowing
from webapp.access import caller, signed_in
from webapp.context import database, jobs
from webapp.errors import Refused, Unknown
from webapp.models import Evaluation, TrainingRun, utc_now
from webapp.promotion import Standing
from webapp.runs import ACTIVE

RUNS_SHOWN = 12
IMPATIENT_S = 20
"""After so many seconds in the queue the page asks whether a worker runs at all."""

blueprint = Blueprint("learning", __name__)


@dataclass(frozen=True)
class Row:
    """One segment: its adapters, what is new since its last run, and how a challenger does."""

    standing: Standing
    new_verdicts: int
    comparison: shadowing.Comparison | None


@dataclass(frozen=True)
class Shown:
    """One run, how its adapter was judged, and whether that adapter could be promoted now."""

    run: TrainingRun
    evaluation: Evaluation | None
    moves: tuple[str, ...]
    usual_seconds: float | None
    live: bool
    waits_long: bool

    @property
    def active(self) -> bool:
        """Whether the run is queued or running."""
        return self.run.status in ACTIVE


@blueprint.get("/adapters")
@signed_in(admin=True)
def show() -> ResponseReturnValue:
    """Show every segment, and the newest runs."""
    with database().read() as rows:
        return _show(rows)


@blueprint.post("/adapters/runs")
@signed_in(admin=True)
def start() -> ResponseReturnValue:
    """Queue a run for a segment and wake a worker."""
    segment = request.form.get("segment", "")
    made: list[str] = []

    def change(rows: Session) -> str:
        known = {each.segment for each in promotion.standings(rows, g.tenant.id)}
        if segment not in known:
            raise Refused(f"segment {segment!r} is unknown; expected one of the page's")
        run = runs.request(
            rows, g.tenant.id, segment, actor=caller().actor, reason="started by an admin"
        )
        made.append(run.id)
        return f"A run for {segment} is queued."

    answer = _try(change)
    for run_id in made:
        jobs().train(run_id)
    return answer


@blueprint.post("/adapters/runs/<uuid:run_id>/cancel")
@signed_in(admin=True)
def cancel(run_id: UUID) -> ResponseReturnValue:
    """Stop a run."""

    def change(rows: Session) -> str:
        runs.cancel(rows, runs.find(rows, g.tenant.id, str(run_id)), actor=caller().actor)
        return "The run stops at its next step."

    return _try(change)


@blueprint.post("/adapters/promote")
@signed_in(admin=True)
def promote() -> ResponseReturnValue:
    """Make a judged candidate the champion."""

    def change(rows: Session) -> str:
        version = request.form.get("version", "")
        promotion.promote(rows, g.tenant.id, version, actor=caller().actor)
        return f"{version} scores every ticket of its segment from here on."

    return _try(change)


@blueprint.post("/adapters/challenge")
@signed_in(admin=True)
def challenge() -> ResponseReturnValue:
    """Let a candidate shadow the champion."""

    def change(rows: Session) -> str:
        version = request.form.get("version", "")
        promotion.challenge(rows, g.tenant.id, version, actor=caller().actor)
        return f"{version} scores its segment’s tickets too. Nothing it says is served."

    return _try(change)


@blueprint.post("/adapters/challenge/end")
@signed_in(admin=True)
def end_challenge() -> ResponseReturnValue:
    """Let nothing shadow the champion any more."""

    def change(rows: Session) -> str:
        segment = request.form.get("segment", "")
        promotion.end_challenge(rows, g.tenant.id, segment, actor=caller().actor)
        return "The challenge is over."

    return _try(change)


@blueprint.post("/adapters/rollback")
@signed_in(admin=True)
def roll_back() -> ResponseReturnValue:
    """Put back what was live before."""

    def change(rows: Session) -> str:
        segment = request.form.get("segment", "")
        back = promotion.roll_back(rows, g.tenant.id, segment, actor=caller().actor)
        return f"{segment} is scored by {back or 'the shared adapter'} again."

    return _try(change)


def _try(change: Callable[[Session], str]) -> ResponseReturnValue:
    """Make the change in one transaction and say what it did, or why nothing was done."""
    try:
        with database().write() as rows:
            done = change(rows)
    except (Refused, Unknown) as exc:
        flash(f"Nothing was changed: {exc}.", "problem")
        with database().read() as rows:
            return _show(rows), 409
    flash(done, "done")
    return redirect(url_for("learning.show"), 303)


def _show(rows: Session) -> str:
    standings = promotion.standings(rows, g.tenant.id)
    live = {each.champion for each in standings}
    new = retraining_rules.new_verdicts(rows, g.tenant.id)
    shown = [_shown(rows, run, live) for run in runs.newest(rows, g.tenant.id, RUNS_SHOWN)]
    return render_template(
        "adapters.html",
        segments=[_row(rows, each, new.get(each.segment, 0)) for each in standings],
        runs=shown,
        active=any(each.active for each in shown),
        auto_promote=current_app.config["AUTO_PROMOTE"],
    )


def _row(rows: Session, each: Standing, new: int) -> Row:
    compared = each.challenger and shadowing.compare(rows, g.tenant.id, each.challenger)
    return Row(each, new, compared or None)


def _shown(rows: Session, run: TrainingRun, live: set[str]) -> Shown:
    evaluation = promotion.newest_evaluation(rows, run.adapter) if run.adapter else None
    waits = run.status == "queued" and (utc_now() - run.created_at).total_seconds() > IMPATIENT_S
    return Shown(
        run=run,
        evaluation=evaluation,
        moves=_moves(evaluation),
        usual_seconds=runs.usual_seconds(rows, run),
        live=run.adapter is not None and run.adapter.version in live,
        waits_long=waits,
    )


def _moves(evaluation: Evaluation | None) -> tuple[str, ...]:
    """Return in words which thresholds a promotion would move."""
    if evaluation is None or evaluation.report["thresholds"]["to"] is None:
        return ()
    to = Policy.from_json(evaluation.report["thresholds"]["to"])
    segment = evaluation.adapter.segment
    return tuple(
        f"{tier.model}: {tier.threshold_for(segment):.2f} for {segment}"
        for tier in to.tiers
        if segment in tier.segment_thresholds
    ) or tuple(policy_words.changes(to, to))
