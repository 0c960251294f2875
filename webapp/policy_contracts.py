"""What the API gives of policies, and of what feedback says of a certified one."""

from typing import Any, Literal

from pydantic import BaseModel

from webapp.drift import Drift


class TierShown(BaseModel):
    """One model of a chain, and the chance of being right from which its answer is accepted.

    `calibration` says what its scores are worth: pairs of score and chance; empty where a score is
    the chance itself.
    """

    model: str
    source: Literal["cache", "macro", "llm", "simulated"]
    threshold: float
    segment_thresholds: dict[str, float]
    calibration: list[list[float]]


class InsteadShown(BaseModel):
    """For this share of the tickets these tiers are asked instead."""

    share: float
    tiers: list[TierShown]


class BudgetsShown(BaseModel):
    """Limits in US dollars, for a ticket and for a segment's UTC day; null is no limit."""

    per_ticket: str | None
    per_segment_day: dict[str, str]


class PolicyShown(BaseModel):
    """One stored version, whether tickets meet it now, and what it was made from."""

    version: str
    live: bool
    origin: str
    created_at: str
    tiers: list[TierShown]
    instead: InsteadShown | None
    budgets: BudgetsShown
    deadline_s: float
    made_from: dict[str, Any] | None


class LivePolicyShown(PolicyShown):
    """The live policy; `drift` is null where nothing was certified of it."""

    drift: Drift | None


class PoliciesPage(BaseModel):
    """One part of the list of policies."""

    data: list[PolicyShown]
    next_cursor: str | None
    has_more: bool
