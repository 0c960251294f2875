"""Tier 0: an answer already given to a similar question, offered to be scored for whoever asks now.

Who may see an entry is decided by columns and never by likeness: the tenant always, then its scope.
Stores keep to `visible`; the guards in `cascade.guards` refuse what is alike in words and different
in meaning; what is left is scored for the asker like any other candidate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cascade.deadline import Deadline
from cascade.errors import BadCache
from cascade.guards import differs
from cascade.pricing import Usage
from cascade.providers import DraftRequest, Drafts
from cascade.scopes import Scope
from scoring.customer import Customer

Vector = NDArray[np.float32]
"""A question's embedding, (dim,), of unit length."""

Embed = Callable[[Sequence[str]], NDArray[Any]]
"""Texts to one row of numbers each, in the same order."""

NEAREST = 8
"""How many of the nearest entries are looked at: guards may refuse the first of them."""

MIN_SIMILARITY = 0.75
"""The least cosine of two questions that may have one answer; the scorer judges the rest.

Of 600 questions of the demo shop 48% have one of the same topic so near, 6% one of another topic.
"""

LIFETIME = timedelta(days=30)
MOST_ENTRIES = 20_000
"""Of one tenant; beyond them the least used leave."""


@dataclass(frozen=True)
class Entry:
    """One answer that was given, and who may be offered it again.

    `customer` and `segment` are those it was made for: in the scope "customer" or "segment" only
    they see it, and erasing the customer takes it away whatever its scope. `knowledge` names the
    version of all it rests on: the tenant's macros and passages, and the encoder that embedded the
    question. A pinned entry neither expires nor is evicted, but it goes with its knowledge.

    Raises `BadCache` for a scope that nobody is named for, and for times without a time zone.
    """

    id: str
    tenant: str
    scope: Scope
    question: str
    answer: str
    knowledge: str
    made_at: datetime
    expires_at: datetime
    customer: str | None = None
    segment: str | None = None
    pinned: bool = False

    def __post_init__(self) -> None:
        if self.scope == "customer" and not self.customer:
            raise BadCache(f"entry {self.id} is for one customer and names none; name the customer")
        if self.scope == "segment" and not self.segment:
            raise BadCache(f"entry {self.id} is for one segment and names none; name the segment")
        if self.made_at.tzinfo is None or self.expires_at.tzinfo is None:
            raise BadCache(f"entry {self.id} has a time without a time zone; give times in UTC")


@dataclass(frozen=True)
class Asked:
    """A look-up: who asks, under which knowledge, when, and the question's embedding."""

    tenant: str
    customer: str
    segment: str | None
    knowledge: str
    at: datetime
    vector: Vector = field(compare=False, repr=False)


@dataclass(frozen=True)
class Hit:
    """An entry the asker may see, and the cosine of its question and the one asked."""

    entry: Entry
    similarity: float


@dataclass(frozen=True)
class Refused:
    """A hit that a guard took out, and what its question says otherwise."""

    hit: Hit
    reason: str


@dataclass(frozen=True)
class Found:
    """What a look-up gave: what may be scored, nearest first, and what the guards took out."""

    hits: tuple[Hit, ...]
    refused: tuple[Refused, ...]

    @property
    def note(self) -> str | None:
        """What was refused and why, in one line without a word of any question; None if nothing."""
        if not self.refused:
            return None
        reasons = "; ".join(dict.fromkeys(each.reason for each in self.refused))
        count = len(self.refused)
        return f"{count} similar {'question' if count == 1 else 'questions'} refused: {reasons}"


@dataclass(frozen=True)
class Counts:
    """How many entries a tenant has, by scope, and how many of them are pinned."""

    public: int = 0
    segment: int = 0
    customer: int = 0
    pinned: int = 0

    @property
    def total(self) -> int:
        """The entries of every scope."""
        return self.public + self.segment + self.customer


class Store(Protocol):
    """Where entries are kept; every method touches one tenant and no other."""

    def nearest(self, asked: Asked, *, most: int) -> Sequence[Hit]:
        """Up to `most` entries that are `visible` to the asker, nearest first."""

    def put(self, entry: Entry, vector: Vector) -> None:
        """Add an entry, in the place of the tenant's entry of that id if there is one."""

    def get(self, tenant: str, entry_id: str) -> Entry | None:
        """The tenant's entry of that id, or None."""

    def touch(self, tenant: str, entry_id: str, at: datetime) -> None:
        """Count a use of the entry; one that is gone is no error."""

    def pin(self, tenant: str, entry_id: str, pinned: bool) -> bool:
        """Pin or unpin an entry; whether there was one."""

    def delete(self, tenant: str, which: "Which") -> int:
        """Delete the tenant's entries that are meant, vectors too; how many there were."""

    def evict(self, tenant: str, *, limit: int, at: datetime) -> int:
        """Delete what has expired, then the longest unused down to the limit; how many.

        Pinned entries stay, even where they alone are more than the limit.
        """

    def counts(self, tenant: str) -> Counts:
        """How many entries the tenant has, expired ones included."""


@dataclass(frozen=True)
class Which:
    """Which entries of a tenant are meant: those that fit everything given.

    `customer` and `segment` mean the entries made for them, whatever their scope; `other_knowledge`
    means all but that version.

    >>> store.delete("t-1", Which(customer="c-17"))

    Raises `BadCache` where nothing is given.
    """

    entry: str | None = None
    customer: str | None = None
    segment: str | None = None
    knowledge: str | None = None
    other_knowledge: str | None = None

    def __post_init__(self) -> None:
        if not self.given and self.other_knowledge is None:
            raise BadCache(
                "nothing says which entries; give an entry, customer, segment or version"
            )

    @property
    def given(self) -> Mapping[str, str]:
        """What an entry's fields must be, by the field's name."""
        fields = {
            "id": self.entry,
            "customer": self.customer,
            "segment": self.segment,
            "knowledge": self.knowledge,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def means(self, entry: Entry) -> bool:
        """Whether the entry is one of those meant."""
        fits = all(getattr(entry, name) == value for name, value in self.given.items())
        return fits and (self.other_knowledge is None or entry.knowledge != self.other_knowledge)


def visible(entry: Entry, asked: Asked) -> bool:
    """Whether this asker may be offered the entry now: the rule that every store keeps to."""
    in_scope = {
        "public": True,
        "segment": asked.segment is not None and entry.segment == asked.segment,
        "customer": entry.customer == asked.customer,
    }[entry.scope]
    lives = entry.pinned or entry.expires_at > asked.at
    same = entry.tenant == asked.tenant and entry.knowledge == asked.knowledge
    return same and in_scope and lives


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Cache:
    """The provider named "cache", for the tickets of one tenant under one version of its knowledge.

    Its drafts are the answers of up to `most` entries at cosine `min_similarity` or nearer whose
    questions pass the guards; `Drafts.origins` names the entries.

    >>> Cache(store, encoder.embed, tenant="t-1", knowledge="3f9c")
    """

    model = "cache"
    source = "cache"
    attempts = 1

    def __init__(
        self,
        store: Store,
        embed: Embed,
        *,
        tenant: str,
        knowledge: str,
        most: int = NEAREST,
        min_similarity: float = MIN_SIMILARITY,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._store = store
        self._embed = embed
        self._tenant = tenant
        self._knowledge = knowledge
        self._most = most
        self._min_similarity = min_similarity
        self._now = now

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        """The answers that may suit, nearest first, and a note on what the guards refused."""
        found = self.look_up(request.question, request.customer)
        # The nearest of several entries with one answer speaks for it.
        origins: dict[str, str] = {}
        for hit in found.hits:
            origins.setdefault(hit.entry.answer, hit.entry.id)
        return Drafts(tuple(origins), note=found.note, origins=tuple(origins.values()))

    def largest_cost(self, request: DraftRequest) -> Usage | None:
        """None: what was answered before bills nothing."""
        return None

    def look_up(self, question: str, customer: Customer) -> Found:
        """The near entries this customer may see, parted by the guards."""
        asked = Asked(
            self._tenant,
            customer.id,
            customer.segment,
            self._knowledge,
            self._now(),
            unit_vector(self._embed, question),
        )
        near = [
            hit
            for hit in self._store.nearest(asked, most=self._most)
            if hit.similarity >= self._min_similarity
        ]
        # The stores filter in the database; nothing leaves here on the strength of that alone.
        leaked = next((hit.entry for hit in near if not visible(hit.entry, asked)), None)
        if leaked is not None:
            raise BadCache(f"the store gave entry {leaked.id}, which this asker may not see")
        judged = [(hit, differs(hit.entry.question, question)) for hit in near]
        return Found(
            tuple(hit for hit, reason in judged if reason is None),
            tuple(Refused(hit, reason) for hit, reason in judged if reason is not None),
        )

    def remember(
        self,
        entry_id: str,
        question: str,
        answer: str,
        customer: Customer,
        scope: Scope,
        *,
        lifetime: timedelta = LIFETIME,
        limit: int = MOST_ENTRIES,
    ) -> Entry:
        """Store an answer in the scope `cascade.scopes.place` gave, and evict down to `limit`."""
        now = self._now()
        entry = Entry(
            id=entry_id,
            tenant=self._tenant,
            scope=scope,
            question=question,
            answer=answer,
            knowledge=self._knowledge,
            made_at=now,
            expires_at=now + lifetime,
            customer=customer.id,
            segment=customer.segment,
        )
        self._store.put(entry, unit_vector(self._embed, question))
        self._store.evict(self._tenant, limit=limit, at=now)
        return entry

    def used(self, entry_id: str) -> None:
        """Count a use of the entry that an accepted answer came from."""
        self._store.touch(self._tenant, entry_id, self._now())


def unit_vector(embed: Embed, text: str) -> Vector:
    """The text's embedding at unit length; `BadCache` unless it is one finite row."""
    rows = np.asarray(embed([text]), dtype=np.float32)
    if rows.ndim != 2 or len(rows) != 1 or not np.isfinite(rows).all():
        raise BadCache(f"an embedding of shape {rows.shape} or with NaN; expected one finite row")
    length = float(np.linalg.norm(rows[0]))
    vector: Vector = (rows[0] / max(length, 1e-12)).astype(np.float32)
    return vector
