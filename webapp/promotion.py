"""Which adapter is live: promoted after a judgement, rolled back, or set beside as a challenger.

Each move is one transaction: the pointer, the thresholds that go with it, and the audit entry that
names the evaluation. Weights are never touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade import Policy
from scoring.segments import SHARED
from webapp import adapters, audit, models, policies
from webapp.errors import Refused, Unknown
from webapp.models import Adapter, Evaluation, LiveAdapter, TrainingRun, utc_now

CHAMPION, CHALLENGER = "champion", "challenger"
PROMOTED = "adapter.promoted"
"""What the audit log calls a promotion."""
RECALIBRATED = "recalibrated"
"""The origin of policies whose thresholds were moved for a new adapter."""


@dataclass(frozen=True)
class Standing:
    """A segment's adapters: what scores it, what stood there before, and what shadows it.

    `marked` says why the champion is to be trained again, None where it is not.
    """

    segment: str
    champion: str
    own: bool
    before: str | None
    can_roll_back: bool
    marked: str | None
    challenger: str | None


def segments(session: Session, tenant_id: str) -> list[str]:
    """Return every segment an adapter can be trained for, the shared adapter first.

    Those are the segments of the tenant's customers and those that an adapter is live for.
    """
    named = session.scalars(
        select(models.Customer.segment)
        .where(models.Customer.tenant_id == tenant_id, models.Customer.segment.is_not(None))
        .distinct()
    )
    live = adapters.champions(session, tenant_id)
    return [SHARED, *sorted({*live, *(each for each in named if each)} - {SHARED})]


def check_segment(session: Session, tenant_id: str, segment: str) -> None:
    """Raise `Refused` unless an adapter can be trained for this segment."""
    known = segments(session, tenant_id)
    if segment not in known:
        raise Refused(f"segment {segment!r} is unknown; expected one of {', '.join(known)}")


def standings(session: Session, tenant_id: str) -> list[Standing]:
    """Return how each segment is scored, the shared adapter first; empty where nothing is live."""
    pointers = {(row.segment, row.alias): row for row in _pointers(session, tenant_id)}
    fallback = pointers.get((SHARED, CHAMPION))
    found = []
    for segment in segments(session, tenant_id):
        own, challenger = (pointers.get((segment, alias)) for alias in (CHAMPION, CHALLENGER))
        serving = own or fallback
        if serving is None:
            continue
        found.append(
            Standing(
                segment=segment,
                champion=serving.adapter.version,
                own=own is not None,
                before=own.version_before if own else None,
                can_roll_back=own is not None and _can_undo(own, fallback),
                marked=serving.adapter.marked_because,
                challenger=challenger.adapter.version if challenger else None,
            )
        )
    return found


def challengers(session: Session, tenant_id: str) -> dict[str, str]:
    """Return the challenger of each segment that has one."""
    return {
        row.segment: row.adapter.version
        for row in _pointers(session, tenant_id)
        if row.alias == CHALLENGER
    }


def find(session: Session, tenant_id: str, version: str) -> Adapter:
    """Return the tenant's adapter of this version, or raise `Unknown`."""
    row = session.scalar(
        select(Adapter).where(Adapter.tenant_id == tenant_id, Adapter.version == version)
    )
    if row is None:
        raise Unknown(f"no adapter {version!r} here; `frugaldesk adapters list` names them")
    return row


def newest_evaluation(session: Session, adapter: Adapter) -> Evaluation | None:
    """Return how the adapter was judged last, None where it never was."""
    return session.scalar(
        select(Evaluation)
        .where(Evaluation.tenant_id == adapter.tenant_id, Evaluation.adapter_id == adapter.id)
        .order_by(Evaluation.created_at.desc(), Evaluation.id.desc())
        .limit(1)
    )


def evaluation_of(session: Session, run: TrainingRun) -> Evaluation | None:
    """Return how the run judged its adapter, None where it made none.

    Runs that learn from the same examples make the same adapter, and each judges it anew.
    """
    if run.adapter is None:
        return None
    judged = select(Evaluation).where(
        Evaluation.tenant_id == run.tenant_id, Evaluation.adapter_id == run.adapter_id
    )
    if run.started_at is not None:
        judged = judged.where(Evaluation.created_at >= run.started_at)
    return session.scalar(judged.order_by(Evaluation.created_at, Evaluation.id).limit(1))


def hindrance(session: Session, adapter: Adapter) -> str | None:
    """Return why the adapter cannot be promoted right now, None where it can."""
    try:
        _allowing(session, adapter)
    except Refused as exc:
        return str(exc)
    return None


def promote(session: Session, tenant_id: str, version: str, *, actor: str) -> Evaluation:
    """Make a judged adapter its segment's champion, with the thresholds that go with it.

    Raises `Unknown` for a version that is not here, and `Refused` where it was not judged, not
    judged good enough, judged against another champion or policy than is live now, or learnt from
    a customer who was erased since.
    """
    _lock(session, tenant_id)
    adapter = find(session, tenant_id, version)
    evaluation = _allowing(session, adapter)
    before = adapters.champions(session, tenant_id).get(adapter.segment)
    _point(session, adapter, CHAMPION, actor=actor, before=before)
    _unpoint(session, tenant_id, adapter.segment, CHALLENGER)
    moved_to = _move_thresholds(session, tenant_id, evaluation.report, actor)
    audit.record(
        session,
        tenant_id,
        actor,
        PROMOTED,
        version,
        before=before,
        evaluation=evaluation.id,
        policy=moved_to,
    )
    return evaluation


def roll_back(session: Session, tenant_id: str, segment: str, *, actor: str) -> str | None:
    """Put back what was live before a segment's last promotion; None where it had no own adapter.

    The thresholds that the promotion moved go back too, unless another policy went live since.
    Raises `Refused` where nothing was live before. A rollback is not undone by another one: what
    it took away may be promoted again, by its judgement.
    """
    _lock(session, tenant_id)
    pointer = _pointer(session, tenant_id, segment, CHAMPION)
    if pointer is None or not _can_undo(pointer, _pointer(session, tenant_id, SHARED, CHAMPION)):
        raise Refused(f"no other adapter was live for {segment!r} before; there is nothing to undo")
    gone, back = pointer.adapter, pointer.version_before
    evaluation = _promoted_by(session, pointer)
    if back is None:
        _unpoint(session, tenant_id, segment, CHAMPION)
    else:
        _point_back(session, pointer, find(session, tenant_id, back))
    restored = _restore_thresholds(session, tenant_id, evaluation, actor)
    audit.record(
        session,
        tenant_id,
        actor,
        "adapter.rolled_back",
        gone.version,
        to=back,
        evaluation=evaluation.id if evaluation else None,
        policy=restored,
    )
    return back


def challenge(session: Session, tenant_id: str, version: str, *, actor: str) -> None:
    """Let an adapter score its segment's tickets too, without any of it being served."""
    _lock(session, tenant_id)
    adapter = find(session, tenant_id, version)
    if adapters.champions(session, tenant_id).get(adapter.segment) == version:
        raise Refused(f"{version} is the champion; only another adapter can challenge it")
    _point(session, adapter, CHALLENGER, actor=actor, before=None)
    audit.record(session, tenant_id, actor, "adapter.challenges", version)


def end_challenge(session: Session, tenant_id: str, segment: str, *, actor: str) -> None:
    """Let nothing shadow the segment's champion any more; raises `Refused` where nothing does."""
    _lock(session, tenant_id)
    pointer = _pointer(session, tenant_id, segment, CHALLENGER)
    if pointer is None:
        raise Refused(f"nothing challenges the champion of {segment!r}")
    audit.record(session, tenant_id, actor, "adapter.challenge_ended", pointer.adapter.version)
    _unpoint(session, tenant_id, segment, CHALLENGER)


def _allowing(session: Session, adapter: Adapter) -> Evaluation:
    """Return the judgement that allows a promotion right now, or raise `Refused`."""
    version, evaluation = adapter.version, newest_evaluation(session, adapter)
    live = adapters.champions(session, adapter.tenant_id)
    if live.get(adapter.segment) == version:
        raise Refused(f"{version} is live for {adapter.segment} already")
    if adapter.marked_because is not None:
        raise Refused(
            f"{version} is to be trained again: {adapter.marked_because.rstrip('.')}; retrain "
            f"{adapter.segment}"
        )
    if evaluation is None:
        raise Refused(f"{version} was never judged against the champion; retrain {adapter.segment}")
    if not evaluation.promote:
        raise Refused(f"{version} was judged: {evaluation.report['verdict']}")
    serving = live.get(adapter.segment) or live.get(SHARED)
    if serving != evaluation.against:
        raise Refused(
            f"{version} was judged against {evaluation.against}, but {serving} is live; retrain "
            f"{adapter.segment}"
        )
    policy = policies.live_version(session, adapter.tenant_id)
    judged_under = evaluation.report["thresholds"]["from"]
    if policy != judged_under:
        raise Refused(
            f"{version} was judged under policy {judged_under}, but {policy} is live; retrain "
            f"{adapter.segment}"
        )
    return evaluation


def _move_thresholds(
    session: Session, tenant_id: str, report: dict[str, Any], actor: str
) -> str | None:
    """Publish the policy with the thresholds that were fitted to the adapter, if they moved."""
    document = report["thresholds"]["to"]
    if document is None:
        return None
    policy = Policy.from_json(document)
    policies.publish(
        session,
        tenant_id,
        policy,
        origin=RECALIBRATED,
        actor=actor,
        made_from=report["thresholds"]["made_from"],
    )
    return policy.version


def _restore_thresholds(
    session: Session, tenant_id: str, evaluation: Evaluation | None, actor: str
) -> str | None:
    """Make live again what the promotion replaced, if what it made live still is."""
    if evaluation is None or evaluation.report["thresholds"]["to"] is None:
        return None
    thresholds = evaluation.report["thresholds"]
    moved_to = Policy.from_json(thresholds["to"]).version
    if policies.live_version(session, tenant_id) != moved_to:
        return None
    before: str = thresholds["from"]
    policies.make_live(session, tenant_id, before, actor=actor)
    return before


def _point(
    session: Session, adapter: Adapter, alias: str, *, actor: str, before: str | None
) -> None:
    pointer = _pointer(session, adapter.tenant_id, adapter.segment, alias)
    if pointer is None:
        pointer = LiveAdapter(tenant_id=adapter.tenant_id, segment=adapter.segment, alias=alias)
        session.add(pointer)
    pointer.adapter_id = adapter.id
    pointer.moved_by, pointer.moved_at, pointer.version_before = actor, utc_now(), before
    session.flush()
    session.refresh(pointer)


def _point_back(session: Session, pointer: LiveAdapter, adapter: Adapter) -> None:
    """Point to what was live before; the audit log says who did, and nothing is left to undo."""
    pointer.adapter_id = adapter.id
    pointer.moved_by, pointer.moved_at, pointer.version_before = None, None, None
    session.flush()
    session.refresh(pointer)


def _can_undo(pointer: LiveAdapter, fallback: LiveAdapter | None) -> bool:
    """Return whether something scored the pointer's segment before it was moved."""
    if pointer.moved_at is None:
        return False
    falls_back = pointer.segment != SHARED and fallback is not None
    return pointer.version_before is not None or falls_back


def _promoted_by(session: Session, pointer: LiveAdapter) -> Evaluation | None:
    """Return the judgement by which the pointer was moved to its adapter.

    It need not be the newest: another run may have judged the same adapter since. None where the
    adapter went live without one.
    """
    entry = session.scalar(
        select(models.AuditEntry)
        .where(
            models.AuditEntry.tenant_id == pointer.tenant_id,
            models.AuditEntry.action == PROMOTED,
            models.AuditEntry.subject == pointer.adapter.version,
            models.AuditEntry.created_at >= pointer.moved_at,
        )
        .order_by(models.AuditEntry.created_at.desc(), models.AuditEntry.id.desc())
        .limit(1)
    )
    return None if entry is None else session.get(Evaluation, entry.detail["evaluation"])


def _unpoint(session: Session, tenant_id: str, segment: str, alias: str) -> None:
    pointer = _pointer(session, tenant_id, segment, alias)
    if pointer is not None:
        session.delete(pointer)
        session.flush()


def _pointer(session: Session, tenant_id: str, segment: str, alias: str) -> LiveAdapter | None:
    return session.scalar(
        select(LiveAdapter).where(
            LiveAdapter.tenant_id == tenant_id,
            LiveAdapter.segment == segment,
            LiveAdapter.alias == alias,
        )
    )


def _pointers(session: Session, tenant_id: str) -> Sequence[LiveAdapter]:
    mine = select(LiveAdapter).where(LiveAdapter.tenant_id == tenant_id)
    return session.scalars(mine.order_by(LiveAdapter.segment)).all()


def _lock(session: Session, tenant_id: str) -> None:
    """Let nobody else move this tenant's pointers until the transaction ends."""
    mine = select(models.Tenant.id).where(models.Tenant.id == tenant_id)
    session.execute(mine.with_for_update(key_share=True))
