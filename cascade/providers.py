"""What every source of answers has in common, be it a macro, a cache or a model."""

from dataclasses import dataclass
from typing import Protocol

from cascade.deadline import Deadline
from cascade.pricing import Usage
from cascade.ticket import Passage
from scoring.customer import Customer


@dataclass(frozen=True)
class DraftRequest:
    """What a provider answers from: the question, who asks, and the policy that may decide it."""

    question: str
    customer: Customer
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class Drafts:
    """Candidate answers of one provider; no texts means that it has nothing to offer.

    `usage` is None where the provider did not say or bills nothing. `lost_calls` counts earlier
    attempts that may have been billed without an answer; `retries` counts all of them. `note` says
    what was left out and why. `origins` names what each text was stored as, where it was.
    """

    texts: tuple[str, ...]
    usage: Usage | None = None
    retries: int = 0
    lost_calls: int = 0
    note: str | None = None
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.origins and len(self.origins) != len(self.texts):
            raise ValueError(f"{len(self.origins)} origins for {len(self.texts)} texts; give each")


class Provider(Protocol):
    """A source of draft answers, known to policies and price tables by its `model`."""

    @property
    def model(self) -> str:
        """The name that policies and prices use."""

    @property
    def source(self) -> str:
        """One of "cache", "macro", "llm", "simulated"."""

    @property
    def attempts(self) -> int:
        """How many calls one draft may make, and be billed for, at most."""

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        """Candidate answers, or a `ProviderError`; must return by the deadline."""

    def largest_cost(self, request: DraftRequest) -> Usage | None:
        """The most one call can use, or None for a provider that bills nothing."""
