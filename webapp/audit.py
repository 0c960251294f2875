"""The audit log: who did what to what. Entries are added in the transaction they speak of."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from webapp.models import AuditEntry

Detail = str | int | float | bool | None


@dataclass(frozen=True)
class Caller:
    """Who is acting for which tenant; `actor` is their name in the log: `user:…`, `key:…`."""

    tenant_id: str
    actor: str


def record(
    session: Session, tenant_id: str, actor: str, action: str, subject: str, **detail: Detail
) -> None:
    """Add one entry. `detail` holds names, versions and numbers, never a customer's text."""
    session.add(
        AuditEntry(tenant_id=tenant_id, actor=actor, action=action, subject=subject, detail=detail)
    )
