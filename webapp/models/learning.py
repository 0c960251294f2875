"""How the scorer gets better: verdicts, reviews, examples, adapters, runs and their judgement."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from webapp.models.answering import Suggestion
from webapp.models.base import TenantRow, one_of, references


class Feedback(TenantRow):
    """What a person did with a suggestion: the only source of labels.

    `corrected` is an admin's answer to an escalation; `audited` is a reviewer's verdict on an
    answer that was sent, and `suits` what it is. `observed` is the probability with which this
    decision was to be looked at with care. What is withdrawn teaches nothing any more.
    """

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        references("suggestions", "suggestion_id"),
        one_of("action", "accepted", "edited", "dismissed", "corrected", "audited"),
        Index(None, "tenant_id", "suggestion_id", "created_at"),
    )
    suggestion_id: Mapped[str] = mapped_column(String(36))
    actor: Mapped[str]
    action: Mapped[str] = mapped_column(String(16))
    final_text: Mapped[str | None]
    reason: Mapped[str | None]
    rating: Mapped[int | None]
    suits: Mapped[bool | None]
    observed: Mapped[float | None]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None]


class Review(TenantRow):
    """Something an admin is to look at: one entry of the review queue.

    An `escalation` is a ticket no tier answered well enough; an `audit` a sent answer drawn at
    random, `round` 2 the same for a second pair of eyes; a `contradiction` two verdicts that cannot
    both be right, on `suggestion_id` and `other_id`; an `alarm` a `policy` whose certificate no
    longer holds. `rubric` is what the reviewer found, by criterion.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "suggestion_id", "kind", "round"),
        references("suggestions", "suggestion_id"),
        references("suggestions", "other_id"),
        references("users", "claimed_by", ondelete=None),
        references("users", "closed_by", ondelete=None),
        one_of("kind", "escalation", "audit", "contradiction", "alarm"),
        one_of("status", "open", "resolved", "dismissed"),
        CheckConstraint("kind = 'alarm' OR suggestion_id IS NOT NULL", name="subject"),
        Index(None, "tenant_id", "status", "priority", "created_at"),
        Index(
            "ix_reviews_one_open_alarm",
            "tenant_id",
            "policy",
            unique=True,
            sqlite_where=text("kind = 'alarm' AND status = 'open'"),
            postgresql_where=text("kind = 'alarm' AND status = 'open'"),
        ),
    )
    kind: Mapped[str] = mapped_column(String(16), default="escalation")
    priority: Mapped[int] = mapped_column(default=1)
    suggestion_id: Mapped[str | None] = mapped_column(String(36))
    other_id: Mapped[str | None] = mapped_column(String(36))
    policy: Mapped[str | None] = mapped_column(String(64))
    round: Mapped[int] = mapped_column(default=1)
    status: Mapped[str] = mapped_column(String(16), default="open")
    reason: Mapped[str]
    claimed_by: Mapped[str | None] = mapped_column(String(36))
    claimed_until: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(String(36))
    closed_at: Mapped[datetime | None]
    root_cause: Mapped[str | None] = mapped_column(String(64))
    rubric: Mapped[dict[str, Any] | None]
    suits: Mapped[bool | None]
    note: Mapped[str | None]
    suggestion: Mapped[Suggestion] = relationship(
        primaryjoin="and_(Suggestion.tenant_id == foreign(Review.tenant_id), "
        "Suggestion.id == foreign(Review.suggestion_id))",
        viewonly=True,
    )
    other: Mapped[Suggestion | None] = relationship(
        primaryjoin="and_(Suggestion.tenant_id == foreign(Review.tenant_id), "
        "Suggestion.id == foreign(Review.other_id))",
        viewonly=True,
    )


class Adapter(TenantRow):
    """One immutable adapter folder, by its version, with what was measured when it was made.

    `marked_because` says why it is to be trained again: a customer it learnt from was erased.
    """

    __tablename__ = "adapters"
    __table_args__ = (UniqueConstraint("tenant_id", "id"), UniqueConstraint("tenant_id", "version"))
    segment: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(300))
    manifest: Mapped[dict[str, Any]]
    marked_at: Mapped[datetime | None]
    marked_because: Mapped[str | None]


class LiveAdapter(TenantRow):
    """A pointer to one of a segment's adapters: who moved it, when, and from where.

    The `champion` scores the segment's customers; a `challenger` scores their tickets too, and
    nothing it says is served.
    """

    __tablename__ = "live_adapters"
    __table_args__ = (
        UniqueConstraint("tenant_id", "segment", "alias"),
        references("adapters", "adapter_id"),
        one_of("alias", "champion", "challenger"),
    )
    segment: Mapped[str] = mapped_column(String(64))
    alias: Mapped[str] = mapped_column(String(16), default="champion")
    adapter_id: Mapped[str] = mapped_column(String(36))
    moved_by: Mapped[str | None]
    moved_at: Mapped[datetime | None]
    version_before: Mapped[str | None] = mapped_column(String(300))
    adapter: Mapped[Adapter] = relationship(viewonly=True)


class AdapterCustomer(TenantRow):
    """That an adapter has learnt from a customer, whose id stands as its keyed hash only."""

    __tablename__ = "adapter_customers"
    __table_args__ = (
        UniqueConstraint("tenant_id", "adapter_id", "customer_hash"),
        references("adapters", "adapter_id"),
        Index(None, "tenant_id", "customer_hash"),
    )
    adapter_id: Mapped[str] = mapped_column(String(36))
    customer_hash: Mapped[str] = mapped_column(String(64))


class TrainingRow(TenantRow):
    """A labelled example that was imported: `row` is its JSON object as in an examples file."""

    __tablename__ = "training_rows"
    __table_args__ = (
        Index(None, "tenant_id", "segment"),
        Index(None, "tenant_id", "customer"),
    )
    customer: Mapped[str] = mapped_column(String(200))
    segment: Mapped[str | None] = mapped_column(String(64))
    row: Mapped[dict[str, Any]]
    source: Mapped[str]


class RegressionCase(TenantRow):
    """A labelled example of the frozen set that every candidate is judged on, never trained on.

    It stems from an admin's correction: the draft with label 0, the admin's own text with label 1.
    """

    __tablename__ = "regression_cases"
    __table_args__ = (
        UniqueConstraint("tenant_id", "suggestion_id", "label"),
        references("suggestions", "suggestion_id"),
        Index(None, "tenant_id", "segment"),
        Index(None, "tenant_id", "customer"),
    )
    customer: Mapped[str] = mapped_column(String(200))
    segment: Mapped[str | None] = mapped_column(String(64))
    suggestion_id: Mapped[str] = mapped_column(String(36))
    label: Mapped[int]
    row: Mapped[dict[str, Any]]


class TrainingRun(TenantRow):
    """One attempt at a better adapter for a segment: what it was started for and how it goes.

    The row is the truth and the lock: a segment has one run that is queued or running. `claim`
    names the worker that has it, and is its own only while `heartbeat_at` is fresh.
    """

    __tablename__ = "training_runs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        references("adapters", "adapter_id"),
        one_of("status", "queued", "running", "done", "failed", "cancelled"),
        Index(None, "tenant_id", "created_at"),
        Index(
            "ix_training_runs_one_active",
            "tenant_id",
            "segment",
            unique=True,
            sqlite_where=text("status IN ('queued', 'running')"),
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
    )
    segment: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16), default="queued")
    started_by: Mapped[str]
    reason: Mapped[str]
    seed: Mapped[int] = mapped_column(default=0)
    stage: Mapped[str] = mapped_column(default="waiting for a worker")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int | None]
    log: Mapped[list[str]] = mapped_column(default=list)
    attempt: Mapped[int] = mapped_column(default=0)
    claim: Mapped[str | None] = mapped_column(String(36))
    heartbeat_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    adapter_id: Mapped[str | None] = mapped_column(String(36))
    error: Mapped[str | None]
    adapter: Mapped["Adapter | None"] = relationship(viewonly=True)


class Evaluation(TenantRow):
    """How an adapter was judged against the champion of that moment, `against` None for none.

    `report` is what was measured, on what, and why it may be promoted or not.
    """

    __tablename__ = "evaluations"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        references("adapters", "adapter_id"),
        Index(None, "tenant_id", "adapter_id", "created_at"),
    )
    adapter_id: Mapped[str] = mapped_column(String(36))
    against: Mapped[str | None] = mapped_column(String(300))
    promote: Mapped[bool]
    report: Mapped[dict[str, Any]]
    adapter: Mapped[Adapter] = relationship(viewonly=True)


class ShadowScore(TenantRow):
    """What a challenger says of a candidate that the champion scored; it was shown to nobody."""

    __tablename__ = "shadow_scores"
    __table_args__ = (
        UniqueConstraint("tenant_id", "suggestion_id", "position", "adapter"),
        references("suggestions", "suggestion_id"),
        Index(None, "tenant_id", "adapter"),
    )
    suggestion_id: Mapped[str] = mapped_column(String(36))
    position: Mapped[int]
    adapter: Mapped[str] = mapped_column(String(300))
    score: Mapped[float]
