"""Which policy a tenant is served with: versions in the database, one live pointer."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade import Policy
from webapp import audit, models
from webapp.errors import NotReady

BUILT_IN = "built-in"
"""The origin of policies the service makes from its settings; it may replace those by itself."""


def live(session: Session, tenant_id: str) -> Policy:
    """Return the tenant's live policy, or raise `NotReady`."""
    row = _live_row(session, tenant_id)
    if row is None:
        raise NotReady(f"tenant {tenant_id} has no policy; start the service once to get one")
    return Policy.from_json(row.policy.document)


def publish(session: Session, tenant_id: str, policy: Policy, *, origin: str, actor: str) -> None:
    """Store the policy and make it the live one; what was live before stays for rollback."""
    row = session.scalar(
        select(models.Policy).where(
            models.Policy.tenant_id == tenant_id, models.Policy.version == policy.version
        )
    )
    if row is None:
        row = models.Policy(
            tenant_id=tenant_id, version=policy.version, document=policy.to_json(), origin=origin
        )
        session.add(row)
        session.flush()
    pointer = _live_row(session, tenant_id)
    before = pointer.policy.version if pointer else None
    if pointer is None:
        session.add(models.LivePolicy(tenant_id=tenant_id, policy_id=row.id))
    else:
        pointer.policy_id = row.id
    audit.record(
        session, tenant_id, actor, "policy.published", policy.version, before=before, origin=origin
    )


def keep_built_in(session: Session, tenant_ids: Sequence[str], built_in: Policy) -> None:
    """Give every tenant without a policy of its own the one made from the settings.

    The tenants stay locked until the transaction ends, so that of processes that start together
    one publishes and the others find its row.
    """
    locked = select(models.Tenant.id).where(models.Tenant.id.in_(tenant_ids))
    session.execute(locked.order_by(models.Tenant.id).with_for_update(key_share=True))
    for tenant_id in tenant_ids:
        row = _live_row(session, tenant_id)
        outdated = row is not None and row.policy.version != built_in.version
        if row is None or (outdated and row.policy.origin == BUILT_IN):
            publish(session, tenant_id, built_in, origin=BUILT_IN, actor="service")


def _live_row(session: Session, tenant_id: str) -> models.LivePolicy | None:
    return session.scalar(select(models.LivePolicy).where(models.LivePolicy.tenant_id == tenant_id))
