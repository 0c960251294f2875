"""Who uses the service and whom they serve: users, keys, customers; the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.models.base import TenantRow, one_of, references, utc_now


class User(TenantRow):
    """A person who signs in: an agent, or an admin who reviews escalations too."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "email"),
        one_of("role", "agent", "admin"),
    )
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True)


class ApiKey(TenantRow):
    """A key a helpdesk calls the API with; only its SHA-256 is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "key_hash"),
        Index(None, "key_hash"),
    )
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(String(16))
    key_hash: Mapped[str] = mapped_column(String(64))
    revoked_at: Mapped[datetime | None]


class Customer(TenantRow):
    """Who asks: profile features, segment, and what the agent may see of them."""

    __tablename__ = "customers"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "external_id"),
        Index(None, "tenant_id", "segment", "external_id"),
    )
    external_id: Mapped[str] = mapped_column(String(200))
    name: Mapped[str | None]
    email: Mapped[str | None] = mapped_column(String(254))
    segment: Mapped[str | None] = mapped_column(String(64))
    features: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class HistoryEntry(TenantRow):
    """One past contact or event of a customer, in one line."""

    __tablename__ = "history_entries"
    __table_args__ = (
        references("customers", "customer_id"),
        Index(None, "tenant_id", "customer_id", "at"),
    )
    customer_id: Mapped[str] = mapped_column(String(36))
    at: Mapped[datetime]
    text: Mapped[str]


class Erasure(TenantRow):
    """The tombstone of an erased customer: a keyed hash of their id, and how much was deleted."""

    __tablename__ = "erasures"
    __table_args__ = (Index(None, "tenant_id", "customer_hash"),)
    customer_hash: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str]
    deleted: Mapped[dict[str, Any]]


class IdempotencyKey(TenantRow):
    """A request a client may repeat: its key, what it asked, and what was answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("tenant_id", "key"),)
    key: Mapped[str] = mapped_column(String(200))
    request_hash: Mapped[str] = mapped_column(String(64))
    status_code: Mapped[int | None]
    response: Mapped[str | None]


class AuditEntry(TenantRow):
    """Who did what to what, when. The database refuses to change or delete a row."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "tenant_id", "created_at"), Index(None, "action", "subject"))
    actor: Mapped[str]
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]
