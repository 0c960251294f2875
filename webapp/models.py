"""Every table. Tenant data carries its tenant, in each unique key and each reference.

References between tenant tables run over (tenant_id, id), so the database itself refuses a row
that points into another tenant.
"""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from webapp.db import Json, Money, UtcTime


def new_id() -> str:
    """Return a fresh row id."""
    return str(uuid.uuid4())


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The declarative root; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcTime,
        Decimal: Money,
        dict[str, Any]: Json,
        list[str]: Json,
        str: Text,
    }


def _references(
    table: str, column: str, *, ondelete: str | None = "CASCADE"
) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=ondelete
    )


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Tenant(Base):
    """One support organisation; everything else belongs to exactly one."""

    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str]
    synthetic: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class TenantRow(Base):
    """What every tenant table has: its tenant, an id, and the key others refer to."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id, sort_order=-2)
    tenant_id: Mapped[str] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), sort_order=-1
    )
    created_at: Mapped[datetime] = mapped_column(default=utc_now, sort_order=1)


class User(TenantRow):
    """A person who signs in: an agent, or an admin who reviews escalations too."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "email"),
        _one_of("role", "agent", "admin"),
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
        _references("customers", "customer_id"),
        Index(None, "tenant_id", "customer_id", "at"),
    )
    customer_id: Mapped[str] = mapped_column(String(36))
    at: Mapped[datetime]
    text: Mapped[str]


class Ticket(TenantRow):
    """A customer's question. `reply` is what was finally sent, by whom and when."""

    __tablename__ = "tickets"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "customer_id", "external_id"),
        _references("customers", "customer_id"),
        _one_of("status", "open", "escalated", "answered"),
        Index(None, "tenant_id", "status", "created_at"),
    )
    external_id: Mapped[str] = mapped_column(String(200))
    customer_id: Mapped[str] = mapped_column(String(36))
    subject: Mapped[str]
    body: Mapped[str]
    status: Mapped[str] = mapped_column(String(16), default="open")
    reply: Mapped[str | None]
    replied_at: Mapped[datetime | None]
    customer: Mapped[Customer] = relationship(viewonly=True)
    suggestions: Mapped[list["Suggestion"]] = relationship(
        order_by="Suggestion.created_at.desc()", viewonly=True
    )


class Policy(TenantRow):
    """One immutable version of a tenant's chain, thresholds and budgets, as JSON.

    `made_from` says which log it was chosen on and what it was measured to cost and get right.
    """

    __tablename__ = "policies"
    __table_args__ = (UniqueConstraint("tenant_id", "id"), UniqueConstraint("tenant_id", "version"))
    version: Mapped[str] = mapped_column(String(64))
    document: Mapped[str]
    origin: Mapped[str] = mapped_column(String(32))
    made_from: Mapped[dict[str, Any] | None]


class LivePolicy(TenantRow):
    """The pointer to the policy a tenant is served with: who moved it, when, and from where."""

    __tablename__ = "live_policies"
    __table_args__ = (UniqueConstraint("tenant_id"), _references("policies", "policy_id"))
    policy_id: Mapped[str] = mapped_column(String(36))
    moved_by: Mapped[str | None]
    moved_at: Mapped[datetime | None]
    version_before: Mapped[str | None] = mapped_column(String(64))
    policy: Mapped[Policy] = relationship(viewonly=True)


class Adapter(TenantRow):
    """One immutable adapter folder, by its version, with what was measured when it was made."""

    __tablename__ = "adapters"
    __table_args__ = (UniqueConstraint("tenant_id", "id"), UniqueConstraint("tenant_id", "version"))
    segment: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(300))
    manifest: Mapped[dict[str, Any]]


class LiveAdapter(TenantRow):
    """The pointer to the adapter that scores a segment's customers."""

    __tablename__ = "live_adapters"
    __table_args__ = (
        UniqueConstraint("tenant_id", "segment"),
        _references("adapters", "adapter_id"),
    )
    segment: Mapped[str] = mapped_column(String(64))
    adapter_id: Mapped[str] = mapped_column(String(36))
    adapter: Mapped[Adapter] = relationship(viewonly=True)


class Macro(TenantRow):
    """A canned answer with placeholders for features, and questions it answers."""

    __tablename__ = "macros"
    __table_args__ = (UniqueConstraint("tenant_id", "external_id"),)
    external_id: Mapped[str] = mapped_column(String(200))
    title: Mapped[str]
    questions: Mapped[list[str]]
    body: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class Passage(TenantRow):
    """A passage of the written policy; the models answer from these."""

    __tablename__ = "passages"
    __table_args__ = (UniqueConstraint("tenant_id", "external_id"),)
    external_id: Mapped[str] = mapped_column(String(200))
    title: Mapped[str]
    body: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class Suggestion(TenantRow):
    """One run of the cascade for one ticket, with everything needed to explain it later."""

    __tablename__ = "suggestions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        _references("tickets", "ticket_id"),
        _references("customers", "customer_id"),
        _one_of("status", "running", "suggested", "escalated"),
        Index(None, "tenant_id", "ticket_id", "created_at"),
        Index(None, "tenant_id", "segment", "created_at"),
        Index(None, "tenant_id", "created_at", "id"),
    )
    ticket_id: Mapped[str] = mapped_column(String(36))
    customer_id: Mapped[str] = mapped_column(String(36))
    status: Mapped[str] = mapped_column(String(16), default="running")
    question: Mapped[str]
    shown: Mapped[dict[str, Any]]
    segment: Mapped[str | None] = mapped_column(String(64))
    policy: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str | None]
    score: Mapped[float | None]
    threshold: Mapped[float | None]
    tier: Mapped[int | None]
    model: Mapped[str | None] = mapped_column(String(200))
    source: Mapped[str | None] = mapped_column(String(16))
    adapter: Mapped[str | None] = mapped_column(String(300))
    reason: Mapped[str | None]
    cost: Mapped[Decimal] = mapped_column(default=Decimal(0))
    latency_ms: Mapped[int | None]
    deadline_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    ticket: Mapped[Ticket] = relationship(viewonly=True)
    customer: Mapped[Customer] = relationship(viewonly=True)
    steps: Mapped[list["SuggestionStep"]] = relationship(
        order_by="SuggestionStep.position", viewonly=True
    )
    feedback: Mapped[list["Feedback"]] = relationship(order_by="Feedback.created_at", viewonly=True)
    escalation: Mapped["Escalation | None"] = relationship(viewonly=True)


class SuggestionStep(TenantRow):
    """What one tier offered, how it scored, what it cost, and what went wrong.

    `note` says what the tier left out itself; `origin` names the cached answer that it offered.
    """

    __tablename__ = "suggestion_steps"
    __table_args__ = (
        UniqueConstraint("tenant_id", "suggestion_id", "position"),
        _references("suggestions", "suggestion_id"),
    )
    suggestion_id: Mapped[str] = mapped_column(String(36))
    position: Mapped[int]
    tier: Mapped[int]
    model: Mapped[str] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(String(16))
    answer: Mapped[str | None]
    candidates: Mapped[int]
    score: Mapped[float | None]
    threshold: Mapped[float]
    adapter: Mapped[str | None] = mapped_column(String(300))
    accepted: Mapped[bool]
    cost: Mapped[Decimal]
    cost_estimated: Mapped[bool]
    latency_ms: Mapped[int]
    input_tokens: Mapped[int | None]
    cached_input_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    error: Mapped[str | None]
    note: Mapped[str | None]
    origin: Mapped[str | None] = mapped_column(String(200))


class Feedback(TenantRow):
    """What a person did with a suggestion; `corrected` is an admin's answer to an escalation."""

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        _references("suggestions", "suggestion_id"),
        _one_of("action", "accepted", "edited", "dismissed", "corrected"),
        Index(None, "tenant_id", "suggestion_id", "created_at"),
    )
    suggestion_id: Mapped[str] = mapped_column(String(36))
    actor: Mapped[str]
    action: Mapped[str] = mapped_column(String(16))
    final_text: Mapped[str | None]
    reason: Mapped[str | None]
    rating: Mapped[int | None]


class Escalation(TenantRow):
    """A ticket no tier answered well enough, waiting for an admin."""

    __tablename__ = "escalations"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "suggestion_id"),
        _references("suggestions", "suggestion_id"),
        _references("users", "claimed_by", ondelete=None),
        _references("users", "closed_by", ondelete=None),
        _one_of("status", "open", "resolved", "dismissed"),
        Index(None, "tenant_id", "status", "created_at"),
    )
    suggestion_id: Mapped[str] = mapped_column(String(36))
    status: Mapped[str] = mapped_column(String(16), default="open")
    reason: Mapped[str]
    claimed_by: Mapped[str | None] = mapped_column(String(36))
    claimed_until: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(String(36))
    closed_at: Mapped[datetime | None]
    root_cause: Mapped[str | None] = mapped_column(String(64))
    note: Mapped[str | None]
    suggestion: Mapped[Suggestion] = relationship(viewonly=True)


class CacheEntry(TenantRow):
    """An answer given before: who may be offered it, under which knowledge, and until when.

    `customer` and `segment` are whom it was made for, `name` is its id in `cascade.cache`. Its
    vector stands in `cache_vectors`, which is no model because each database has its own type.
    """

    __tablename__ = "cache_entries"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "name"),
        ForeignKeyConstraint(
            ["tenant_id", "customer"],
            ["customers.tenant_id", "customers.external_id"],
            ondelete="CASCADE",
        ),
        _one_of("scope", "public", "segment", "customer"),
        CheckConstraint(
            "(scope <> 'customer' OR customer IS NOT NULL) "
            "AND (scope <> 'segment' OR segment IS NOT NULL)",
            name="owner",
        ),
        Index(None, "tenant_id", "customer"),
        Index(None, "tenant_id", "knowledge"),
        Index(None, "tenant_id", "expires_at"),
        Index(None, "tenant_id", "used_at", "uses", "name"),
    )
    name: Mapped[str] = mapped_column(String(200))
    scope: Mapped[str] = mapped_column(String(16))
    customer: Mapped[str | None] = mapped_column(String(200))
    segment: Mapped[str | None] = mapped_column(String(64))
    knowledge: Mapped[str] = mapped_column(String(200))
    question: Mapped[str]
    answer: Mapped[str]
    expires_at: Mapped[datetime]
    pinned: Mapped[bool] = mapped_column(default=False)
    used_at: Mapped[datetime] = mapped_column(default=utc_now)
    uses: Mapped[int] = mapped_column(default=0)


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
