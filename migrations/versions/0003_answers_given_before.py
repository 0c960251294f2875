"""The cache of answers given before, its vectors, and what a step left out.

Revision: 0003, after 0002.

The vectors stand beside the entries because each database has its own type and index for them. On
SQLite `cache_nearest` is an index over `cache_vectors` that triggers keep. On PostgreSQL the table
is parted by tenant, so that the search among one tenant's vectors does not wade through all others.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

PARTS = 16

COLUMNS = """
    tenant_id VARCHAR(36) NOT NULL,
    entry_id VARCHAR(36) NOT NULL,
    scope VARCHAR(16) NOT NULL,
    customer VARCHAR(200),
    segment VARCHAR(64),
    knowledge VARCHAR(200) NOT NULL,
    expires_at BIGINT NOT NULL,
"""
KEYS = """
    PRIMARY KEY (tenant_id, entry_id),
    FOREIGN KEY (tenant_id, entry_id) REFERENCES cache_entries (tenant_id, id) ON DELETE CASCADE
"""

# Only what is shared is worth an index of nearness: a customer's own entries are few. Vectors of
# another length than the bundled encoder's are searched one by one.
INDEXED = "new.scope <> 'customer' AND length(new.vector) = 1536"
SQLITE = (
    f"CREATE TABLE cache_vectors ({COLUMNS} vector BLOB NOT NULL, {KEYS})",
    "CREATE UNIQUE INDEX cache_vectors_entry ON cache_vectors (entry_id)",
    "CREATE INDEX cache_vectors_own ON cache_vectors (tenant_id, customer, knowledge) "
    "WHERE scope = 'customer'",
    "CREATE VIRTUAL TABLE cache_nearest USING vec0(entry_id TEXT PRIMARY KEY, "
    "tenant_id TEXT PARTITION KEY, scope TEXT PARTITION KEY, segment TEXT PARTITION KEY, "
    "knowledge TEXT PARTITION KEY, expires_at INTEGER, vector INT8[384])",
    f"CREATE TRIGGER cache_vectors_added AFTER INSERT ON cache_vectors WHEN {INDEXED} BEGIN "
    "INSERT INTO cache_nearest VALUES (new.entry_id, new.tenant_id, new.scope, "
    "CASE new.scope WHEN 'segment' THEN new.segment ELSE '' END, new.knowledge, new.expires_at, "
    "vec_quantize_int8(new.vector, 'unit')); END",
    "CREATE TRIGGER cache_vectors_gone AFTER DELETE ON cache_vectors BEGIN "
    "DELETE FROM cache_nearest WHERE entry_id = old.entry_id; END",
    f"CREATE TRIGGER cache_vectors_end_moved AFTER UPDATE OF expires_at ON cache_vectors "
    f"WHEN {INDEXED} BEGIN UPDATE cache_nearest SET expires_at = new.expires_at "
    "WHERE entry_id = new.entry_id; END",
)
POSTGRESQL = (
    f"CREATE TABLE cache_vectors ({COLUMNS} vector vector NOT NULL, {KEYS}) "
    "PARTITION BY HASH (tenant_id)",
    *(
        f"CREATE TABLE cache_vectors_{part:02} PARTITION OF cache_vectors "
        f"FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part})"
        for part in range(PARTS)
    ),
    "CREATE INDEX cache_vectors_own ON cache_vectors (tenant_id, customer, knowledge) "
    "WHERE scope = 'customer'",
    "CREATE INDEX cache_vectors_shared ON cache_vectors "
    "(tenant_id, knowledge, scope, segment, expires_at) WHERE scope <> 'customer'",
    # Half the precision in the index halves it; what it finds is compared again in full.
    "CREATE INDEX cache_vectors_nearest ON cache_vectors "
    "USING hnsw ((vector::halfvec(384)) halfvec_cosine_ops) "
    "WHERE scope <> 'customer' AND vector_dims(vector) = 384",
)


def upgrade() -> None:
    op.add_column("suggestion_steps", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("suggestion_steps", sa.Column("origin", sa.String(length=200), nullable=True))
    op.create_table(
        "cache_entries",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("customer", sa.String(length=200), nullable=True),
        sa.Column("segment", sa.String(length=64), nullable=True),
        sa.Column("knowledge", sa.String(length=200), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "scope IN ('public', 'segment', 'customer')", name=op.f("ck_cache_entries_scope")
        ),
        sa.CheckConstraint(
            "(scope <> 'customer' OR customer IS NOT NULL) "
            "AND (scope <> 'segment' OR segment IS NOT NULL)",
            name=op.f("ck_cache_entries_owner"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_cache_entries_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer"],
            ["customers.tenant_id", "customers.external_id"],
            name=op.f("fk_cache_entries_tenant_id_customer"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cache_entries")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_cache_entries_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_cache_entries_tenant_id_name")),
    )
    for columns in INDEXES:
        name = op.f(f"ix_cache_entries_{'_'.join(columns)}")
        op.create_index(name, "cache_entries", list(columns), unique=False)
    for statement in _vectors():
        op.execute(statement)


INDEXES = (
    ("tenant_id", "customer"),
    ("tenant_id", "knowledge"),
    ("tenant_id", "expires_at"),
    ("tenant_id", "used_at", "uses", "name"),
)


def _vectors() -> tuple[str, ...]:
    if op.get_bind().dialect.name == "sqlite":
        return SQLITE
    known = sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
    if not op.get_bind().scalar(known):
        raise RuntimeError(
            "this PostgreSQL has no pgvector; install it on the server, 0.8 or newer, and upgrade "
            "again"
        )
    return ("CREATE EXTENSION IF NOT EXISTS vector", *POSTGRESQL)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE cache_nearest")
    op.execute("DROP TABLE cache_vectors")
    op.drop_table("cache_entries")
    for column in ("origin", "note"):
        op.drop_column("suggestion_steps", column)
