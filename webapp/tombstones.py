"""Who was erased, as keyed hashes: they tell no id, and an id is known again by its own."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import Erasure, Tenant


def customer_hash(secret: str, tenant_id: str, external_id: str) -> str:
    """Return the HMAC-SHA256 of a tenant's customer under the service's secret, 64 hex digits."""
    said = f"customer\n{tenant_id}\n{external_id}".encode("utf-8", "surrogatepass")
    return hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Tombstones:
    """When each of a tenant's erased customers was erased last, by their hash."""

    tenant_id: str
    secret: str
    erased: Mapping[str, datetime]

    @classmethod
    def of(cls, session: Session, tenant_id: str, secret: str) -> "Tombstones":
        """Read the tenant's."""
        last = (
            select(Erasure.customer_hash, func.max(Erasure.created_at))
            .where(Erasure.tenant_id == tenant_id)
            .group_by(Erasure.customer_hash)
        )
        return cls(tenant_id, secret, dict(session.execute(last).all()))

    def cover(self, customer: str, at: datetime | None) -> bool:
        """Return whether what is of this moment, or of none known, fell under an erasure.

        A time without a zone is taken as UTC.
        """
        if not self.erased:
            return False
        erased_at = self.erased.get(customer_hash(self.secret, self.tenant_id, customer))
        return erased_at is not None and (at is None or _aware(at) <= erased_at)


def take_turn(session: Session, tenant_id: str) -> None:
    """Let one erasure or import of a tenant's at a time go on; everything else does meanwhile.

    SQLite has one writer anyway.
    """
    mine = select(Tenant.id).where(Tenant.id == tenant_id)
    session.execute(mine.with_for_update(key_share=True))


def erased_since(session: Session, tenant_id: str, moment: datetime) -> bool:
    """Return whether a customer of the tenant was erased since then.

    No erasure comes in between until the transaction ends.
    """
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(read=True))
    later = select(Erasure.id).where(Erasure.tenant_id == tenant_id, Erasure.created_at >= moment)
    return session.scalar(later.limit(1)) is not None


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
