"""What the API takes and gives of training runs and adapters."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from webapp.contracts import Given, PageAsked, Segment


class RunAsked(Given):
    """A segment to train a candidate for; `shared` is the adapter that others fall back to."""

    segment: Segment
    seed: int = Field(0, ge=0, le=2**31 - 1)


class RunsAsked(PageAsked):
    """A list of training runs, newest first."""


class RunShown(BaseModel):
    """A training run: how far it is, what it made, and how that was judged."""

    id: str
    segment: str
    status: str
    stage: str
    done: int
    total: int | None
    attempt: int
    started_by: str
    reason: str
    created_at: datetime
    finished_at: datetime | None
    usual_seconds: float | None
    log: list[str]
    error: str | None
    adapter: str | None
    evaluation: dict[str, Any] | None


class RunsPage(BaseModel):
    """One part of the list of training runs."""

    data: list[RunShown]
    next_cursor: str | None
    has_more: bool


class StandingShown(BaseModel):
    """How one segment is scored; `own` says whether by an adapter of its own.

    `marked` says why the champion is to be trained again, None where it is not.
    """

    segment: str
    champion: str
    own: bool
    before: str | None
    can_roll_back: bool
    marked: str | None
    challenger: str | None
    comparison: dict[str, int] | None


class StandingsShown(BaseModel):
    """How every segment is scored, the shared adapter first."""

    data: list[StandingShown]


class MovedShown(BaseModel):
    """What scores a segment from now on, None where that is the shared adapter."""

    segment: str
    champion: str | None
