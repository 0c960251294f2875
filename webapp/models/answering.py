"""How a ticket is answered: knowledge, policies, suggestions and their steps, the cache."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.base import TenantRow, one_of, references, utc_now
from webapp.models.people import Customer

if TYPE_CHECKING:
    from webapp.models.learning import Feedback, Review


class Ticket(TenantRow):
    """A customer's question. `reply` is what was finally sent, by whom and when."""

    __tablename__ = "tickets"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "customer_id", "external_id"),
        references("customers", "customer_id"),
        one_of("status", "open", "escalated", "answered"),
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
    __table_args__ = (UniqueConstraint("tenant_id"), references("policies", "policy_id"))
    policy_id: Mapped[str] = mapped_column(String(36))
    moved_by: Mapped[str | None]
    moved_at: Mapped[datetime | None]
    version_before: Mapped[str | None] = mapped_column(String(64))
    policy: Mapped[Policy] = relationship(viewonly=True)


class Suggestion(TenantRow):
    """One run of the cascade for one ticket, with everything needed to explain it later."""

    __tablename__ = "suggestions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        references("tickets", "ticket_id"),
        references("customers", "customer_id"),
        one_of("status", "running", "suggested", "escalated"),
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
    escalation: Mapped["Review | None"] = relationship(
        primaryjoin="and_(Suggestion.tenant_id == foreign(Review.tenant_id), "
        "Suggestion.id == foreign(Review.suggestion_id), Review.kind == 'escalation')",
        viewonly=True,
    )


class SuggestionStep(TenantRow):
    """What one tier offered, how it scored, what it cost, and what went wrong.

    `note` says what the tier left out itself; `origin` names the cached answer that it offered.
    """

    __tablename__ = "suggestion_steps"
    __table_args__ = (
        UniqueConstraint("tenant_id", "suggestion_id", "position"),
        references("suggestions", "suggestion_id"),
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
        one_of("scope", "public", "segment", "customer"),
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
