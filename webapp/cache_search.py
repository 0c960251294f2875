"""How each database finds the nearest vectors among those the asker may see.

Both search in two steps. Among the asker's own entries, and where few are shared, every vector is
compared. Among many, an index of less precise vectors names the nearest, and those are compared in
full. Every statement is made of this module's own words; what an asker sends is a parameter.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from cascade.cache import Vector

INDEXED_DIM = 384
"""The length of vector that has an index; others are all compared."""

COARSE_SQLITE, COARSE_POSTGRES = 8, 2
"""The index is asked for so many times as many as are wanted: it is less precise, by bytes or by
half of the bits."""

LEAST_COARSE_SQLITE, LEAST_COARSE_POSTGRES = 64, 16

FEW = 1000
"""Up to so many shared entries that the asker may see are all compared."""


class Search(Protocol):
    """How a database writes a vector and finds the nearest."""

    def written(self, vector: Vector) -> object:
        """The vector as a statement's parameter."""

    @property
    def added(self) -> TextClause:
        """The statement that adds a vector, with `Search.written` as `vector`."""

    def nearest(
        self, session: Session, asked: Mapping[str, object], dim: int, most: int
    ) -> Sequence[tuple[str, float]]:
        """Ids and cosines of the nearest entries the asker may see, nearest first."""


ADDED = (
    "INSERT INTO cache_vectors "
    "(tenant_id, entry_id, scope, customer, segment, knowledge, expires_at, vector) "
    "VALUES (:tenant, :id, :scope, :customer, :segment, :knowledge, :end, {vector})"
)
END_MOVED = text(
    "UPDATE cache_vectors SET expires_at = :end WHERE tenant_id = :tenant AND entry_id = :id"
)

TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:turn, 0))")

LIVE = "tenant_id = :tenant AND knowledge = :knowledge AND expires_at > :now"
OWN = f"{LIVE} AND scope = 'customer' AND customer = :customer"
SHARED = (
    f"{LIVE} AND scope <> 'customer' "
    "AND (scope = 'public' OR (scope = 'segment' AND segment = :segment))"
)


class SqliteSearch:
    """The nearest with sqlite-vec: its index is parted by tenant, scope, segment and knowledge."""

    added = text(ADDED.format(vector=":vector"))

    def written(self, vector: Vector) -> object:
        """The numbers' bytes."""
        return np.ascontiguousarray(vector, dtype=np.float32).tobytes()

    def nearest(
        self, session: Session, asked: Mapping[str, object], dim: int, most: int
    ) -> Sequence[tuple[str, float]]:
        """Ids and cosines of the nearest entries the asker may see, nearest first."""
        indexed = dim == INDEXED_DIM
        coarse = max(LEAST_COARSE_SQLITE, COARSE_SQLITE * most)
        limits = {"bytes": 4 * dim, "most": most, "coarse": coarse}
        rows = session.execute(SQLITE_INDEXED if indexed else SQLITE_EXACT, {**asked, **limits})
        return [(entry_id, 1.0 - distance) for entry_id, distance in rows]


def _among(scope: str, segment: str) -> str:
    return (
        "SELECT entry_id FROM (SELECT entry_id FROM cache_nearest WHERE vector MATCH "
        "vec_quantize_int8(:asked, 'unit') AND k = :coarse AND tenant_id = :tenant "
        f"AND scope = '{scope}' AND segment = {segment} AND knowledge = :knowledge "
        "AND expires_at > :now)"
    )


# The columns are compared once more beside the vector itself: the index only names candidates.
SQLITE_INDEXED = text(
    "SELECT entry_id, vec_distance_cosine(vector, :asked) AS distance FROM cache_vectors "
    f"WHERE entry_id IN ({_among('public', repr(''))} UNION ALL {_among('segment', ':segment')}) "
    f"AND length(vector) = :bytes AND {SHARED} "
    "UNION ALL SELECT entry_id, vec_distance_cosine(vector, :asked) FROM cache_vectors "
    f"WHERE {OWN} AND length(vector) = :bytes ORDER BY distance LIMIT :most"
)
SQLITE_EXACT = text(
    "SELECT entry_id, vec_distance_cosine(vector, :asked) AS distance FROM cache_vectors "
    f"WHERE ({SHARED} OR {OWN}) AND length(vector) = :bytes ORDER BY distance LIMIT :most"
)


class PostgresSearch:
    """The nearest with pgvector: HNSW in the tenant's part of the table, or all compared."""

    added = text(ADDED.format(vector="CAST(:vector AS vector)"))

    def written(self, vector: Vector) -> object:
        """The numbers as pgvector reads them."""
        return "[" + ",".join(map(repr, vector.tolist())) + "]"

    def nearest(
        self, session: Session, asked: Mapping[str, object], dim: int, most: int
    ) -> Sequence[tuple[str, float]]:
        """Ids and cosines of the nearest entries the asker may see, nearest first."""
        coarse = max(LEAST_COARSE_POSTGRES, COARSE_POSTGRES * most)
        limits = {"dim": dim, "most": most, "coarse": coarse, "few": FEW}
        parameters = {**asked, **limits}
        many = dim == INDEXED_DIM and session.scalar(MANY_SHARED, parameters)
        if many:
            session.execute(THROUGH_THE_INDEX)
        rows = session.execute(POSTGRES_INDEXED if many else POSTGRES_EXACT, parameters)
        return [(entry_id, 1.0 - distance) for entry_id, distance in rows]


MANY_SHARED = text(
    f"SELECT count(*) > :few FROM (SELECT 1 FROM cache_vectors WHERE {SHARED} LIMIT :few + 1) AS s"
)
# In strict order the index is read on until enough rows pass the filter. Reading on costs as much
# as the first look, so that one takes in more, and finds more. The planner, which knows little of a
# tenant's share, is kept from sorting them all instead.
THROUGH_THE_INDEX = text(
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), "
    "set_config('hnsw.ef_search', '200', true), "
    "set_config('hnsw.max_scan_tuples', '40000', true), "
    "set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)"
)
COSINE = "vector <=> CAST(:asked AS vector)"
OWN_POSTGRES = (
    f"SELECT entry_id, {COSINE} AS distance FROM cache_vectors WHERE {OWN} "
    "AND vector_dims(vector) = :dim"
)
POSTGRES_EXACT = text(
    f"SELECT entry_id, {COSINE} AS distance FROM cache_vectors WHERE {SHARED} "
    f"AND vector_dims(vector) = :dim UNION ALL {OWN_POSTGRES} ORDER BY distance LIMIT :most"
)
POSTGRES_INDEXED = text(
    f"WITH near AS MATERIALIZED (SELECT entry_id, {COSINE} AS distance FROM cache_vectors "
    f"WHERE {SHARED} AND vector_dims(vector) = {INDEXED_DIM} "
    f"ORDER BY CAST(vector AS halfvec({INDEXED_DIM})) <=> CAST(:asked AS halfvec({INDEXED_DIM})) "
    f"LIMIT :coarse) SELECT entry_id, distance FROM near UNION ALL {OWN_POSTGRES} "
    "ORDER BY distance LIMIT :most"
)
