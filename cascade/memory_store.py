"""Entries in memory, searched exactly: what the stores in a database must agree with."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from cascade.cache import Asked, Counts, Entry, Hit, Vector, Which, visible
from cascade.errors import BadCache


@dataclass
class _Kept:
    """An entry, where its question lies, and when it was last used."""

    entry: Entry
    vector: Vector
    used_at: datetime
    uses: int = 0


class MemoryStore:
    """A `Store` for tests, benchmarks and single processes; nothing outlives the process."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, _Kept]] = {}
        self._changing = threading.Lock()

    def nearest(self, asked: Asked, *, most: int) -> Sequence[Hit]:
        """Up to `most` entries that are `visible` to the asker, nearest first."""
        with self._changing:
            kept = list(self._kept.get(asked.tenant, {}).values())
        hits = [
            Hit(each.entry, cosine(each.vector, asked.vector))
            for each in kept
            if visible(each.entry, asked)
        ]
        return sorted(hits, key=nearest_first)[:most]

    def put(self, entry: Entry, vector: Vector) -> None:
        """Add an entry, in the place of the tenant's entry of that id if there is one."""
        with self._changing:
            mine = self._kept.setdefault(entry.tenant, {})
            mine[entry.id] = _Kept(entry, vector, entry.made_at)

    def get(self, tenant: str, entry_id: str) -> Entry | None:
        """The tenant's entry of that id, or None."""
        with self._changing:
            kept = self._kept.get(tenant, {}).get(entry_id)
            return kept.entry if kept else None

    def touch(self, tenant: str, entry_id: str, at: datetime) -> None:
        """Count a use of the entry; one that is gone is no error."""
        with self._changing:
            kept = self._kept.get(tenant, {}).get(entry_id)
            if kept is not None:
                kept.used_at, kept.uses = max(kept.used_at, at), kept.uses + 1

    def pin(self, tenant: str, entry_id: str, pinned: bool) -> bool:
        """Pin or unpin an entry; whether there was one."""
        with self._changing:
            kept = self._kept.get(tenant, {}).get(entry_id)
            if kept is None:
                return False
            kept.entry = replace(kept.entry, pinned=pinned)
            return True

    def delete(self, tenant: str, which: Which) -> int:
        """Delete the tenant's entries that are meant; how many there were."""
        with self._changing:
            return self._drop(tenant, lambda kept: which.means(kept.entry))

    def evict(self, tenant: str, *, limit: int, at: datetime) -> int:
        """Delete what has expired, then the longest unused down to the limit; how many."""
        with self._changing:
            gone = self._drop(
                tenant, lambda kept: not kept.entry.pinned and kept.entry.expires_at <= at
            )
            mine = self._kept.get(tenant, {})
            loose = sorted(
                (each for each in mine.values() if not each.entry.pinned),
                key=lambda each: (each.used_at, each.uses, each.entry.id),
            )
            surplus = {each.entry.id for each in loose[: max(0, len(mine) - limit)]}
            return gone + self._drop(tenant, lambda kept: kept.entry.id in surplus)

    def counts(self, tenant: str) -> Counts:
        """How many entries the tenant has, expired ones included."""
        with self._changing:
            entries = [kept.entry for kept in self._kept.get(tenant, {}).values()]
        return Counts(
            public=sum(entry.scope == "public" for entry in entries),
            segment=sum(entry.scope == "segment" for entry in entries),
            customer=sum(entry.scope == "customer" for entry in entries),
            pinned=sum(entry.pinned for entry in entries),
        )

    def _drop(self, tenant: str, meant: Callable[[_Kept], bool]) -> int:
        mine = self._kept.get(tenant, {})
        gone = [entry_id for entry_id, kept in mine.items() if meant(kept)]
        for entry_id in gone:
            del mine[entry_id]
        return len(gone)


def cosine(one: Vector, other: Vector) -> float:
    """The cosine of two unit vectors; `BadCache` where different encoders made them."""
    if one.shape != other.shape:
        raise BadCache(
            f"a question has {other.size} numbers where an entry has {one.size}; "
            "name the encoder in the knowledge's version"
        )
    return float(np.dot(one, other))


def nearest_first(hit: Hit) -> tuple[float, str]:
    """The order of hits: the nearest first, of equally near ones the smaller id."""
    return -hit.similarity, hit.entry.id
