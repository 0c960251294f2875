"""Training runs as rows: asked for, claimed by one worker, kept alive, cancelled, found dead.

The row is the lock: the database lets a segment have one run that is queued or running. A worker
holds it for as long as its heartbeat is fresh, and every write of a run names its claim, so that a
worker that was taken for dead can do no harm when it wakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp import audit
from webapp.errors import Refused, Unknown
from webapp.models import TrainingRun, new_id, utc_now

ACTIVE = ("queued", "running")

HEARTBEAT_EVERY = timedelta(seconds=2)
LOST_AFTER = timedelta(seconds=30)
"""A run whose heartbeat is older than this has lost its worker."""
MOST_ATTEMPTS = 3
"""So often a run is taken up again after its worker was lost; then it is marked failed."""
LONGEST_LOG = 200


class Cancelled(Exception):
    """Somebody asked for the run to stop."""


class Lost(Exception):
    """The run is not this worker's any more."""


@dataclass(frozen=True)
class Claim:
    """One worker's hold on a run."""

    tenant_id: str
    run_id: str
    segment: str
    seed: int
    created_at: datetime
    token: str


def request(
    session: Session, tenant_id: str, segment: str, *, actor: str, reason: str, seed: int = 0
) -> TrainingRun:
    """Queue a run for a segment; raises `Refused` while another one is queued or running."""
    run = TrainingRun(
        tenant_id=tenant_id, segment=segment, started_by=actor, reason=reason, seed=seed
    )
    try:
        with session.begin_nested():
            session.add(run)
    except IntegrityError:
        raise Refused(
            f"a run for {segment!r} is queued or running already; wait for it, or cancel it"
        ) from None
    audit.record(session, tenant_id, actor, "run.requested", run.id, segment=segment)
    return run


def find(session: Session, tenant_id: str, run_id: str) -> TrainingRun:
    """Return the tenant's run, or raise `Unknown`."""
    run = session.get(TrainingRun, run_id)
    if run is None or run.tenant_id != tenant_id:
        raise Unknown(f"no training run {run_id!r} here")
    return run


def newest(session: Session, tenant_id: str, limit: int) -> Sequence[TrainingRun]:
    """Return the tenant's runs, newest first."""
    mine = select(TrainingRun).where(TrainingRun.tenant_id == tenant_id)
    by_age = mine.order_by(TrainingRun.created_at.desc(), TrainingRun.id)
    return session.scalars(by_age.limit(limit)).all()


def cancel(session: Session, run: TrainingRun, *, actor: str) -> None:
    """Stop a run: a queued one at once, a running one at its next step; `Refused` if it is over."""
    if run.status not in ACTIVE:
        raise Refused(f"this run is {run.status} already; only one that goes on can be cancelled")
    run.cancel_requested = True
    if run.status == "queued":
        _end(run, "cancelled", "cancelled before it began")
    audit.record(session, run.tenant_id, actor, "run.cancelled", run.id, segment=run.segment)


def claim(session: Session, run_id: str) -> Claim | None:
    """Take a queued run for this worker; None where it is not there to be taken."""
    token, now = new_id(), utc_now()
    # One conditional UPDATE, so that of several workers exactly one gets it.
    taken = session.scalar(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.status == "queued")
        .values(
            status="running",
            claim=token,
            heartbeat_at=now,
            started_at=now,
            attempt=TrainingRun.attempt + 1,
            stage="starting",
            done=0,
            total=None,
        )
        .returning(TrainingRun.id)
        .execution_options(synchronize_session=False)
    )
    if taken is None:
        return None
    run = session.get_one(TrainingRun, run_id, populate_existing=True)
    note(run, f"attempt {run.attempt} begins")
    return Claim(run.tenant_id, run.id, run.segment, run.seed, run.created_at, token)


def held(session: Session, mine: Claim) -> TrainingRun:
    """Return the run, locked, or raise `Lost` where it is another's, `Cancelled` where it stops."""
    run = session.scalar(
        select(TrainingRun)
        .where(TrainingRun.id == mine.run_id, *_is(mine))
        .with_for_update(key_share=True)
    )
    if run is None:
        raise Lost(mine.run_id)
    if run.cancel_requested:
        raise Cancelled(mine.run_id)
    return run


def beat(session: Session, mine: Claim) -> bool:
    """Say that the worker lives; returns whether the run is still its own."""
    kept = session.scalar(
        update(TrainingRun)
        .where(TrainingRun.id == mine.run_id, *_is(mine))
        .values(heartbeat_at=utc_now())
        .returning(TrainingRun.id)
        .execution_options(synchronize_session=False)
    )
    return kept is not None


def give_up(session: Session, mine: Claim, status: str, why: str) -> None:
    """End the claimed run as failed or cancelled, unless it is another's by now."""
    run = session.scalar(select(TrainingRun).where(TrainingRun.id == mine.run_id, *_is(mine)))
    if run is not None:
        _end(run, status, why)


def finish(run: TrainingRun, adapter_id: str, why: str) -> None:
    """End a run that made an adapter."""
    run.adapter_id = adapter_id
    _end(run, "done", why)


def note(run: TrainingRun, line: str) -> None:
    """Add a line to the run's log, with the time."""
    run.log = [*run.log, f"{utc_now():%H:%M:%S} {line}"][-LONGEST_LOG:]


def take_from_the_dead(session: Session, *, now: datetime | None = None) -> list[str]:
    """Free the runs whose worker is gone; returns those that can be taken up again.

    Of queued ones all are named too: whoever was to be told of them may have died first.
    """
    dead = (now or utc_now()) - LOST_AFTER
    lost = session.scalars(
        select(TrainingRun)
        .where(TrainingRun.status == "running", TrainingRun.heartbeat_at < dead)
        .with_for_update(skip_locked=True)
    ).all()
    for run in lost:
        run.claim = None
        if run.cancel_requested:
            _end(run, "cancelled", "cancelled; its worker was lost")
        elif run.attempt >= MOST_ATTEMPTS:
            _end(run, "failed", f"its worker was lost {run.attempt} times; start it again")
        else:
            run.status, run.stage = "queued", "waiting for a worker"
            note(run, "the worker was lost; the run begins again")
    session.flush()
    queued = select(TrainingRun.id).where(TrainingRun.status == "queued")
    return list(session.scalars(queued.order_by(TrainingRun.created_at)))


def _is(mine: Claim) -> tuple[ColumnElement[bool], ...]:
    return TrainingRun.status == "running", TrainingRun.claim == mine.token


def _end(run: TrainingRun, status: str, why: str) -> None:
    run.status, run.finished_at, run.claim = status, utc_now(), None
    run.stage = status
    run.error = why if status == "failed" else None
    note(run, why)
