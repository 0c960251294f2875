"""Which policy a tenant is served with: versions in the database, one live pointer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade import Policy
from webapp import audit, models
from webapp.errors import NotReady, Refused, Unknown
from webapp.models import utc_now

BUILT_IN = "built-in"
"""The origin of policies the service makes from its settings."""
OPTIMISED = "optimised"
"""The origin of policies that `frugaldesk optimise` chose on a log of outcomes."""
WRITTEN = "written"
"""The origin of policies that somebody wrote by hand."""
SERVICE = "service"
"""The service's own name as an actor."""


def live(session: Session, tenant_id: str) -> Policy:
    """Return the tenant's live policy, or raise `NotReady`."""
    return Policy.from_json(live_row(session, tenant_id).policy.document)


def live_row(session: Session, tenant_id: str) -> models.LivePolicy:
    """Return the pointer to the tenant's live policy, or raise `NotReady`."""
    pointer = _pointer(session, tenant_id)
    if pointer is None:
        raise NotReady(f"tenant {tenant_id} has no policy; start the service once to get one")
    return pointer


def live_version(session: Session, tenant_id: str) -> str | None:
    """Return the version tickets meet, None where the tenant has no policy yet."""
    pointer = _pointer(session, tenant_id)
    return pointer.policy.version if pointer else None


def stored(session: Session, tenant_id: str, limit: int | None = None) -> Sequence[models.Policy]:
    """Return the tenant's versions, those stored last first."""
    newest_first = (models.Policy.created_at.desc(), models.Policy.id.desc())
    mine = select(models.Policy).where(models.Policy.tenant_id == tenant_id)
    return session.scalars(mine.order_by(*newest_first).limit(limit)).all()


def find(session: Session, tenant_id: str, version: str) -> models.Policy:
    """Return one stored version, or raise `Unknown`."""
    row = _stored(session, tenant_id, version)
    if row is None:
        known = ", ".join(each.version for each in stored(session, tenant_id, 10)) or "none"
        raise Unknown(f"no policy {version!r} is stored here; the newest are: {known}")
    return row


def store(
    session: Session,
    tenant_id: str,
    policy: Policy,
    *,
    origin: str,
    actor: str,
    made_from: Mapping[str, Any] | None = None,
) -> models.Policy:
    """Return the stored version of this policy, added with an audit entry where it is new.

    Of a version that is there already only `made_from` changes, where it is given, with an audit
    entry; a certificate stays until another takes its place.
    """
    _lock(session, [tenant_id])
    row = _stored(session, tenant_id, policy.version)
    if row is None:
        row = models.Policy(
            tenant_id=tenant_id, version=policy.version, document=policy.to_json(), origin=origin
        )
        session.add(row)
        audit.record(session, tenant_id, actor, "policy.stored", policy.version, origin=origin)
    if made_from is not None:
        kept = {"certificate": known} if (known := (row.made_from or {}).get("certificate")) else {}
        told = {**kept, **made_from}
        if row.made_from is not None and row.made_from != told:
            audit.record(session, tenant_id, actor, "policy.described", policy.version)
        row.made_from = told
    session.flush()
    return row


def publish(
    session: Session,
    tenant_id: str,
    policy: Policy,
    *,
    origin: str,
    actor: str,
    made_from: Mapping[str, Any] | None = None,
) -> None:
    """Store the policy and make it the live one; what was live before stays for rollback."""
    store(session, tenant_id, policy, origin=origin, actor=actor, made_from=made_from)
    make_live(session, tenant_id, policy.version, actor=actor)


def make_live(
    session: Session,
    tenant_id: str,
    version: str,
    *,
    actor: str,
    instead_of: str | None = None,
) -> None:
    """Point to a stored version, with an audit entry; nothing changes where it is live already.

    With `instead_of` only where that version is still the live one, else `Refused`: somebody else
    was faster. Raises `Unknown` for a version that is not stored.
    """
    _lock(session, [tenant_id])
    row, pointer = find(session, tenant_id, version), _pointer(session, tenant_id)
    before = pointer.policy.version if pointer else None
    if instead_of is not None and before != instead_of:
        raise Refused(f"meanwhile {before} was made live instead of {instead_of}; look at it first")
    if before == version:
        return
    if pointer is None:
        pointer = models.LivePolicy(tenant_id=tenant_id)
        session.add(pointer)
    pointer.policy_id = row.id
    pointer.moved_by, pointer.moved_at, pointer.version_before = actor, utc_now(), before
    session.flush()
    audit.record(
        session, tenant_id, actor, "policy.published", version, before=before, origin=row.origin
    )


def version_before(session: Session, tenant_id: str) -> str:
    """Return the version that was live before the live one, or raise `Refused`."""
    pointer = live_row(session, tenant_id)
    if pointer.version_before is None:
        raise Refused(
            f"no policy was live before {pointer.policy.version}; name one of the stored versions"
        )
    return pointer.version_before


def keep_built_in(session: Session, tenant_ids: Sequence[str], built_in: Policy) -> None:
    """Give every tenant without a policy of its own the one made from the settings.

    What a person made live stays, unless it is the newest built-in version. The tenants stay locked
    until the transaction ends, so that of processes that start together one publishes and the
    others find its row.
    """
    _lock(session, tenant_ids)
    for tenant_id in tenant_ids:
        pointer = _pointer(session, tenant_id)
        if pointer is None or _follows_settings(session, pointer):
            publish(session, tenant_id, built_in, origin=BUILT_IN, actor=SERVICE)


def as_json(row: models.Policy, *, live: str | None) -> dict[str, Any]:
    """Return a stored version as the API gives it; `live` names the one tickets meet."""
    document = json.loads(row.document)
    instead = document.get("instead")
    return {
        "version": row.version,
        "live": row.version == live,
        "origin": row.origin,
        "created_at": row.created_at.isoformat(),
        "tiers": _tiers(document),
        "instead": instead and {"share": instead["share"], "tiers": _tiers(instead)},
        "budgets": document["budgets"],
        "deadline_s": document["deadline_s"],
        "made_from": row.made_from,
    }


def _tiers(chain: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"calibration": [], **tier} for tier in chain["tiers"]]


def _follows_settings(session: Session, pointer: models.LivePolicy) -> bool:
    """Return whether the live policy is the service's to replace.

    That is a built-in one that the service made live itself, or the newest of them, to which a
    person went back. Nobody is named where a version went live before that was recorded: then it
    was the service.
    """
    if pointer.policy.origin != BUILT_IN:
        return False
    if pointer.moved_by in (None, SERVICE):
        return True
    built_in = (each for each in stored(session, pointer.tenant_id) if each.origin == BUILT_IN)
    return next(built_in).version == pointer.policy.version


def _lock(session: Session, tenant_ids: Sequence[str]) -> None:
    """Let nobody else move these tenants' pointers until the transaction ends."""
    locked = select(models.Tenant.id).where(models.Tenant.id.in_(tenant_ids))
    session.execute(locked.order_by(models.Tenant.id).with_for_update(key_share=True))


def _pointer(session: Session, tenant_id: str) -> models.LivePolicy | None:
    mine = select(models.LivePolicy).where(models.LivePolicy.tenant_id == tenant_id)
    # As the database has it now: whoever held the lock before may have moved it.
    return session.scalar(mine.execution_options(populate_existing=True))


def _stored(session: Session, tenant_id: str, version: str) -> models.Policy | None:
    return session.scalar(
        select(models.Policy).where(
            models.Policy.tenant_id == tenant_id, models.Policy.version == version
        )
    )
