"""The HTTP interface to training runs and adapters: start, watch, cancel, promote, roll back."""

from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint
from flask import g
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import adapters, learning_contracts, paging, promotion, runs, shadowing
from webapp.api import check_path, keys
from webapp.context import database, jobs
from webapp.models import TrainingRun

blueprint = APIBlueprint("learning_api", __name__, url_prefix="/api/v1", tag="Learning")
blueprint.before_request(check_path)


@blueprint.post("/runs")
@blueprint.auth_required(keys)
@blueprint.input(learning_contracts.RunAsked, arg_name="asked")
@blueprint.output(learning_contracts.RunShown, status_code=201)
def start(asked: learning_contracts.RunAsked) -> Any:
    """Train and judge a candidate for a segment; a worker does it, and nothing goes live by it."""
    with database().write() as session:
        promotion.check_segment(session, g.caller.tenant_id, asked.segment)
        run = runs.request(
            session,
            g.caller.tenant_id,
            asked.segment,
            actor=g.caller.actor,
            reason="asked for over the API",
            seed=asked.seed,
        )
        run_id = run.id
    jobs().train(run_id)
    return _run(run_id)


@blueprint.get("/runs")
@blueprint.auth_required(keys)
@blueprint.input(learning_contracts.RunsAsked, location="query", arg_name="asked")
@blueprint.output(learning_contracts.RunsPage)
def list_runs(asked: learning_contracts.RunsAsked) -> Any:
    """List training runs, newest first."""
    query = select(TrainingRun).where(TrainingRun.tenant_id == g.caller.tenant_id)
    with database().read() as session:
        return paging.newest_first(
            session, query, TrainingRun, asked, shown=lambda run: run_as_json(session, run)
        )


@blueprint.get("/runs/<run_id>")
@blueprint.auth_required(keys)
@blueprint.output(learning_contracts.RunShown)
def get_run(run_id: str) -> Any:
    """Give one run: how far it is, and once it is done how its adapter was judged."""
    return _run(run_id)


@blueprint.post("/runs/<run_id>/cancel")
@blueprint.auth_required(keys)
@blueprint.output(learning_contracts.RunShown)
def cancel(run_id: str) -> Any:
    """Stop a run: a queued one at once, a running one at its next step."""
    with database().write() as session:
        run = runs.find(session, g.caller.tenant_id, run_id)
        runs.cancel(session, run, actor=g.caller.actor)
    return _run(run_id)


@blueprint.get("/adapters")
@blueprint.auth_required(keys)
@blueprint.output(learning_contracts.StandingsShown)
def list_adapters() -> Any:
    """Tell how each segment is scored, and what challenges its champion."""
    with database().read() as session:
        standings = promotion.standings(session, g.caller.tenant_id)
        return {"data": [_standing(session, each) for each in standings]}


@blueprint.post("/adapters/<version>/promote")
@blueprint.auth_required(keys)
@blueprint.output(learning_contracts.MovedShown)
def promote(version: str) -> Any:
    """Make a judged adapter its segment's champion; 409 where the judgement does not allow it."""
    with database().write() as session:
        promotion.promote(session, g.caller.tenant_id, version, actor=g.caller.actor)
        segment = promotion.find(session, g.caller.tenant_id, version).segment
    return {"segment": segment, "champion": version}


@blueprint.post("/adapters/<version>/challenge")
@blueprint.auth_required(keys)
@blueprint.output(learning_contracts.MovedShown)
def challenge(version: str) -> Any:
    """Let an adapter score its segment's tickets beside the champion, served to nobody."""
    with database().write() as session:
        promotion.challenge(session, g.caller.tenant_id, version, actor=g.caller.actor)
        segment = promotion.find(session, g.caller.tenant_id, version).segment
        live = adapters.champions(session, g.caller.tenant_id)
    return {"segment": segment, "champion": live.get(segment)}


@blueprint.post("/segments/<segment>/rollback")
@blueprint.auth_required(keys)
@blueprint.output(learning_contracts.MovedShown)
def roll_back(segment: str) -> Any:
    """Put back what scored a segment before its last promotion."""
    with database().write() as session:
        back = promotion.roll_back(session, g.caller.tenant_id, segment, actor=g.caller.actor)
    return {"segment": segment, "champion": back}


def _run(run_id: str) -> dict[str, Any]:
    with database().read() as session:
        return run_as_json(session, runs.find(session, g.caller.tenant_id, run_id))


def run_as_json(session: Session, run: TrainingRun) -> dict[str, Any]:
    """Return a run as the API gives it."""
    evaluation = promotion.evaluation_of(session, run)
    return {
        "id": run.id,
        "segment": run.segment,
        "status": run.status,
        "stage": run.stage,
        "done": run.done,
        "total": run.total,
        "attempt": run.attempt,
        "started_by": run.started_by,
        "reason": run.reason,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "usual_seconds": runs.usual_seconds(session, run),
        "log": run.log,
        "error": run.error,
        "adapter": run.adapter.version if run.adapter else None,
        "evaluation": evaluation and without_policies(evaluation.report),
    }


def without_policies(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report without the policies it would put in force, which are long."""
    moved = report["thresholds"]["to"] is not None
    return {**report, "thresholds": {"from": report["thresholds"]["from"], "moved": moved}}


def _standing(session: Session, each: promotion.Standing) -> dict[str, Any]:
    compared = shadowing.compare(session, g.caller.tenant_id, each)
    return asdict(each) | {"comparison": asdict(compared) if compared else None}
