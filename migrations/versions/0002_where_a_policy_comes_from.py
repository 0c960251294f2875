"""Policies say what they were made from; the live pointer says who moved it, when, from where.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

JSON_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("policies", sa.Column("made_from", JSON_DOCUMENT, nullable=True))
    op.add_column("live_policies", sa.Column("moved_by", sa.Text(), nullable=True))
    op.add_column("live_policies", sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("live_policies", sa.Column("version_before", sa.String(length=64), nullable=True))


def downgrade() -> None:
    # Not in a batch: on SQLite that drops the table for a moment, and what refers to it goes too.
    for column in ("version_before", "moved_at", "moved_by"):
        op.drop_column("live_policies", column)
    op.drop_column("policies", "made_from")
