"""When a run begins by itself: enough new feedback, or an alarm about what was certified."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp import policies, runs
from webapp.drift import alarmed
from webapp.errors import NotReady, Refused
from webapp.models import Adapter, Feedback, Suggestion, Tenant, TrainingRun
from webapp.settings import Settings

ACTOR = "service"

ON_ALARM = 10
"""After so many new verdicts a run begins while the certificate's alarm is on."""


def begin_due(session: Session, settings: Settings) -> list[str]:
    """Request the runs that the rules ask for and return their ids; none where rules are off."""
    if not settings.retrain_after:
        return []
    begun = []
    for tenant_id in session.scalars(select(Tenant.id)):
        for segment, reason in due(session, tenant_id, settings.retrain_after).items():
            try:
                run = runs.request(session, tenant_id, segment, actor=ACTOR, reason=reason)
            except Refused:
                continue  # One is on its way already.
            begun.append(run.id)
    return begun


def due(session: Session, tenant_id: str, after: int) -> dict[str, str]:
    """Return the segments that are to be trained again, and why.

    A segment is due with `after` verdicts since its last run began, where the live policy's alarm
    is on with `ON_ALARM`, and where an adapter of it is marked.
    """
    alarm = _has_alarm(session, tenant_id)
    found = {}
    for segment, count in new_verdicts(session, tenant_id).items():
        if count >= after:
            found[segment] = f"{count} new verdicts"
        elif alarm and count >= ON_ALARM:
            found[segment] = f"drift alarm, {count} new verdicts"
    for segment, because in _marked(session, tenant_id):
        found.setdefault(segment, because)
    return found


def new_verdicts(session: Session, tenant_id: str) -> dict[str, int]:
    """Return how many verdicts each segment has had since its last run was asked for."""
    rows = session.execute(
        select(Suggestion.segment, Feedback.created_at)
        .join(
            Suggestion,
            (Suggestion.tenant_id == Feedback.tenant_id)
            & (Suggestion.id == Feedback.suggestion_id),
        )
        .where(
            Feedback.tenant_id == tenant_id,
            Feedback.withdrawn_at.is_(None),
        )
    )
    last = _last_runs(session, tenant_id)
    counts: dict[str, int] = {}
    for segment, at in rows:
        if segment is not None and (segment not in last or at > last[segment]):
            counts[segment] = counts.get(segment, 0) + 1
    return counts


def _last_runs(session: Session, tenant_id: str) -> dict[str, datetime]:
    rows = session.execute(
        select(TrainingRun.segment, func.max(TrainingRun.created_at))
        .where(TrainingRun.tenant_id == tenant_id)
        .group_by(TrainingRun.segment)
    )
    return dict(rows.all())


def _marked(session: Session, tenant_id: str) -> list[tuple[str, str]]:
    """Return the live adapters that are to be trained again, unless a run began since."""
    from webapp.models import LiveAdapter

    last = _last_runs(session, tenant_id)
    rows = session.execute(
        select(Adapter.segment, Adapter.marked_because, Adapter.marked_at)
        .join(LiveAdapter, LiveAdapter.adapter_id == Adapter.id)
        .where(
            Adapter.tenant_id == tenant_id,
            Adapter.marked_at.is_not(None),
            LiveAdapter.alias == "champion",
        )
    )
    return [
        (segment, because or "marked")
        for segment, because, at in rows
        if at is not None and (segment not in last or at > last[segment])
    ]


def _has_alarm(session: Session, tenant_id: str) -> bool:
    try:
        live = policies.live_row(session, tenant_id)
    except NotReady:
        return False
    return alarmed(session, tenant_id, live.policy)
