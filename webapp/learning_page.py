"""The admin's page "Adapters": what scores each segment, training runs as they go, candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from flask import Blueprint, current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from cascade import Policy
from scoring.segments import SHARED
from webapp import policies, policy_words, promotion, retraining_rules, runs, shadowing
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
    """One segment: its adapters, what is new since its last run, and how a challenger does.

    `hindrance` says why the challenger cannot be promoted now.
    """

    standing: Standing
    new_verdicts: int
    comparison: shadowing.Comparison | None
    hindrance: str | None


@dataclass(frozen=True)
class Shown:
    """One run, how its adapter was judged, and what a promotion would change.

    `hindrance` says why it cannot be promoted now, None where it can.
    """

    run: TrainingRun
    evaluation: Evaluation | None
    moves: tuple[str, ...]
    hindrance: str | None
    usual_seconds: float | None
    live: bool
    challenges: bool
    waits_long: bool

    @property
    def active(self) -> bool:
        """Whether the run is queued or running."""
        return self.run.status in ACTIVE

    @property
    def running_seconds(self) -> float | None:
        """How long its worker has been at it, None while it waits."""
        if self.run.status != "running" or self.run.started_at is None:
            return None
        return (utc_now() - self.run.started_at).total_seconds()

    @property
    def verdict(self) -> str:
        """What came of the run, in a few words; how it stands while it goes on."""
        if self.evaluation is None:
            return f"{self.run.status}: {self.run.stage}" if self.active else self.run.status
        said: str = self.evaluation.report["verdict"]
        return said


@blueprint.get("/adapters")
@signed_in(admin=True)
def show() -> ResponseReturnValue:
    """Show every segment, and the newest runs."""
    with database().read() as rows:
        return _show(rows)


@blueprint.get("/adapters/runs/<uuid:run_id>")
@signed_in(admin=True)
def show_run(run_id: UUID) -> ResponseReturnValue:
    """Show one run by itself: the page asks for it again and again while it goes on."""
    with database().read() as rows:
        run = runs.find(rows, g.tenant.id, str(run_id))
        shown = _shown(rows, run, promotion.standings(rows, g.tenant.id))
        return render_template("run.html", each=shown)


@blueprint.post("/adapters/runs")
@signed_in(admin=True)
def start() -> ResponseReturnValue:
    """Queue a run for a segment and wake a worker."""
    segment = request.form.get("segment", "")
    made: list[str] = []

    def change(rows: Session) -> str:
        promotion.check_segment(rows, g.tenant.id, segment)
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
    new = retraining_rules.new_verdicts(rows, g.tenant.id)
    shown = [_shown(rows, run, standings) for run in runs.newest(rows, g.tenant.id, RUNS_SHOWN)]
    return render_template(
        "adapters.html",
        segments=[_row(rows, each, new.get(each.segment, 0)) for each in standings],
        runs=shown,
        active=any(each.active for each in shown),
        auto_promote=current_app.config["AUTO_PROMOTE"],
    )


def _row(rows: Session, each: Standing, new: int) -> Row:
    if each.challenger is None:
        return Row(each, new, None, None)
    challenger = promotion.find(rows, g.tenant.id, each.challenger)
    compared = shadowing.compare(rows, g.tenant.id, each)
    return Row(each, new, compared, promotion.hindrance(rows, challenger))


def _shown(rows: Session, run: TrainingRun, standings: Sequence[Standing]) -> Shown:
    evaluation = promotion.evaluation_of(rows, run)
    waits = run.status == "queued" and (utc_now() - run.created_at).total_seconds() > IMPATIENT_S
    version = run.adapter.version if run.adapter else None
    return Shown(
        run=run,
        evaluation=evaluation,
        moves=_moves(rows, evaluation, standings) if evaluation else (),
        hindrance=promotion.hindrance(rows, run.adapter) if run.adapter else None,
        usual_seconds=runs.usual_seconds(rows, run),
        live=any(each.own and each.champion == version for each in standings),
        challenges=version is not None and any(each.challenger == version for each in standings),
        waits_long=waits,
    )


def _moves(rows: Session, evaluation: Evaluation, standings: Sequence[Standing]) -> tuple[str, ...]:
    """Return in words what a promotion changes: whose adapter, and which thresholds."""
    report, segment = evaluation.report, evaluation.adapter.segment
    others = [each.segment for each in standings if not each.own]
    whose = f"{segment} and what falls back to it" if segment == SHARED and others else segment
    scored = f"{whose}: scored by {evaluation.adapter.version} instead of {evaluation.against}"
    to = report["thresholds"]["to"]
    if to is None:
        return scored, "Thresholds: as they are"
    before = policies.find(rows, g.tenant.id, report["thresholds"]["from"])
    changed = policy_words.changes(Policy.from_json(before.document), Policy.from_json(to))
    return scored, *changed
