"""The way from feedback to better adapters: reviews, examples, training runs, evaluations, erasure.

Revision: 0004, after 0003.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

JSON_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

COPIED = (
    "id, tenant_id, suggestion_id, status, reason, claimed_by, claimed_until, closed_by, "
    "closed_at, root_cause, note, created_at"
)
ACTIONS = "action IN ('accepted', 'edited', 'dismissed', 'corrected'"
ALARM_OPEN = sa.text("kind = 'alarm' AND status = 'open'")
RUN_ACTIVE = sa.text("status IN ('queued', 'running')")


def upgrade() -> None:
    _reviews_from_escalations()
    _feedback_may_be_audited_and_withdrawn()
    _pointers_have_an_alias()
    for column in (
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("marked_because", sa.Text(), nullable=True),
    ):
        op.add_column("adapters", column)
    _table(
        "adapter_customers",
        sa.Column("adapter_id", sa.String(length=36), nullable=False),
        sa.Column("customer_hash", sa.String(length=64), nullable=False),
        _refers("adapter_customers", "adapter_id", "adapters"),
        _unique("adapter_customers", "tenant_id", "adapter_id", "customer_hash"),
        indexed=[("tenant_id", "customer_hash")],
    )
    _table(
        "training_rows",
        sa.Column("customer", sa.String(length=200), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=True),
        sa.Column("row", JSON_DOCUMENT, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        indexed=[("tenant_id", "segment"), ("tenant_id", "customer")],
    )
    _table(
        "regression_cases",
        sa.Column("customer", sa.String(length=200), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=True),
        sa.Column("suggestion_id", sa.String(length=36), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("row", JSON_DOCUMENT, nullable=False),
        _refers("regression_cases", "suggestion_id", "suggestions"),
        _unique("regression_cases", "tenant_id", "suggestion_id", "label"),
        indexed=[("tenant_id", "segment"), ("tenant_id", "customer")],
    )
    _training_runs()
    _table(
        "evaluations",
        sa.Column("adapter_id", sa.String(length=36), nullable=False),
        sa.Column("against", sa.String(length=300), nullable=True),
        sa.Column("promote", sa.Boolean(), nullable=False),
        sa.Column("report", JSON_DOCUMENT, nullable=False),
        _refers("evaluations", "adapter_id", "adapters"),
        _unique("evaluations", "tenant_id", "id"),
        indexed=[("tenant_id", "adapter_id", "created_at")],
    )
    _table(
        "shadow_scores",
        sa.Column("suggestion_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("adapter", sa.String(length=300), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        _refers("shadow_scores", "suggestion_id", "suggestions"),
        _unique("shadow_scores", "tenant_id", "suggestion_id", "position", "adapter"),
        indexed=[("tenant_id", "adapter")],
    )
    _table(
        "erasures",
        sa.Column("customer_hash", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("deleted", JSON_DOCUMENT, nullable=False),
        indexed=[("tenant_id", "customer_hash")],
    )


def downgrade() -> None:
    for table in (
        "erasures",
        "shadow_scores",
        "evaluations",
        "training_runs",
        "regression_cases",
        "training_rows",
        "adapter_customers",
    ):
        op.drop_table(table)
    for column in ("marked_because", "marked_at"):
        op.drop_column("adapters", column)
    _pointers_have_no_alias()
    _feedback_is_the_agents_and_the_admins()
    _escalations_from_reviews()


def _reviews_from_escalations() -> None:
    _table(
        "reviews",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("suggestion_id", sa.String(length=36), nullable=True),
        sa.Column("other_id", sa.String(length=36), nullable=True),
        sa.Column("policy", sa.String(length=64), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        *_closing_columns(),
        sa.Column("rubric", JSON_DOCUMENT, nullable=True),
        sa.Column("suits", sa.Boolean(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('escalation', 'audit', 'contradiction', 'alarm')",
            name=op.f("ck_reviews_kind"),
        ),
        sa.CheckConstraint(
            "status IN ('open', 'resolved', 'dismissed')", name=op.f("ck_reviews_status")
        ),
        sa.CheckConstraint(
            "kind = 'alarm' OR suggestion_id IS NOT NULL", name=op.f("ck_reviews_subject")
        ),
        _refers("reviews", "suggestion_id", "suggestions"),
        _refers("reviews", "other_id", "suggestions"),
        _refers("reviews", "claimed_by", "users", ondelete=None),
        _refers("reviews", "closed_by", "users", ondelete=None),
        _unique("reviews", "tenant_id", "id"),
        _unique("reviews", "tenant_id", "suggestion_id", "kind", "round"),
        indexed=[("tenant_id", "status", "priority", "created_at")],
    )
    _only_one("reviews", "ix_reviews_one_open_alarm", "policy", ALARM_OPEN)
    op.execute(
        f"INSERT INTO reviews (kind, priority, round, {COPIED}) "
        f"SELECT 'escalation', 1, 1, {COPIED} FROM escalations"
    )
    op.drop_table("escalations")


def _escalations_from_reviews() -> None:
    _table(
        "escalations",
        sa.Column("suggestion_id", sa.String(length=36), nullable=False),
        *_closing_columns(),
        sa.CheckConstraint(
            "status IN ('open', 'resolved', 'dismissed')", name=op.f("ck_escalations_status")
        ),
        _refers("escalations", "suggestion_id", "suggestions"),
        _refers("escalations", "claimed_by", "users", ondelete=None),
        _refers("escalations", "closed_by", "users", ondelete=None),
        _unique("escalations", "tenant_id", "id"),
        _unique("escalations", "tenant_id", "suggestion_id"),
        indexed=[("tenant_id", "status", "created_at")],
    )
    op.execute(
        f"INSERT INTO escalations ({COPIED}) SELECT {COPIED} FROM reviews WHERE kind = 'escalation'"
    )
    op.drop_table("reviews")


def _closing_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.String(length=36), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=36), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("root_cause", sa.String(length=64), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
    ]


def _feedback_may_be_audited_and_withdrawn() -> None:
    # In a batch, which on SQLite builds the table anew: nothing refers to it.
    with op.batch_alter_table("feedback") as batch:
        batch.add_column(sa.Column("suits", sa.Boolean(), nullable=True))
        batch.add_column(sa.Column("observed", sa.Double(), nullable=True))
        batch.add_column(sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("withdrawn_by", sa.Text(), nullable=True))
        batch.drop_constraint(op.f("ck_feedback_action"), type_="check")
        batch.create_check_constraint(op.f("ck_feedback_action"), f"{ACTIONS}, 'audited')")


def _feedback_is_the_agents_and_the_admins() -> None:
    op.execute("DELETE FROM feedback WHERE action = 'audited'")
    with op.batch_alter_table("feedback") as batch:
        batch.drop_constraint(op.f("ck_feedback_action"), type_="check")
        batch.create_check_constraint(op.f("ck_feedback_action"), f"{ACTIONS})")
        for column in ("withdrawn_by", "withdrawn_at", "observed", "suits"):
            batch.drop_column(column)


def _pointers_have_an_alias() -> None:
    with op.batch_alter_table("live_adapters") as batch:
        batch.add_column(
            sa.Column("alias", sa.String(length=16), nullable=False, server_default="champion")
        )
        batch.add_column(sa.Column("moved_by", sa.Text(), nullable=True))
        batch.add_column(sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("version_before", sa.String(length=300), nullable=True))
        batch.drop_constraint(op.f("uq_live_adapters_tenant_id_segment"), type_="unique")
        batch.create_unique_constraint(
            op.f("uq_live_adapters_tenant_id_segment_alias"), ["tenant_id", "segment", "alias"]
        )
        batch.create_check_constraint(
            op.f("ck_live_adapters_alias"), "alias IN ('champion', 'challenger')"
        )
    with op.batch_alter_table("live_adapters") as batch:
        batch.alter_column("alias", server_default=None)


def _pointers_have_no_alias() -> None:
    op.execute("DELETE FROM live_adapters WHERE alias <> 'champion'")
    with op.batch_alter_table("live_adapters") as batch:
        batch.drop_constraint(op.f("ck_live_adapters_alias"), type_="check")
        batch.drop_constraint(op.f("uq_live_adapters_tenant_id_segment_alias"), type_="unique")
        batch.create_unique_constraint(
            op.f("uq_live_adapters_tenant_id_segment"), ["tenant_id", "segment"]
        )
        for column in ("version_before", "moved_at", "moved_by", "alias"):
            batch.drop_column(column)


def _training_runs() -> None:
    _table(
        "training_runs",
        sa.Column("segment", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("log", JSON_DOCUMENT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("claim", sa.String(length=36), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("adapter_id", sa.String(length=36), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("ck_training_runs_status"),
        ),
        _refers("training_runs", "adapter_id", "adapters"),
        _unique("training_runs", "tenant_id", "id"),
        indexed=[("tenant_id", "created_at")],
    )
    _only_one("training_runs", "ix_training_runs_one_active", "segment", RUN_ACTIVE)


def _table(
    name: str, *content: sa.Column[Any] | sa.Constraint, indexed: list[tuple[str, ...]]
) -> None:
    """Create a tenant's table with these columns, constraints and indexes."""
    op.create_table(
        name,
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        *content,
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f(f"fk_{name}_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )
    for columns in indexed:
        op.create_index(op.f(f"ix_{name}_{'_'.join(columns)}"), name, list(columns))


def _only_one(table: str, name: str, column: str, where: sa.TextClause) -> None:
    """Let at most one row of a tenant have the same value in this column, of those meant."""
    op.create_index(
        name,
        table,
        ["tenant_id", column],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def _refers(
    table: str, column: str, to: str, ondelete: str | None = "CASCADE"
) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        [f"{to}.tenant_id", f"{to}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"),
        ondelete=ondelete,
    )


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))
