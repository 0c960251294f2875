"""What the API takes and gives, as Pydantic models: validation and OpenAPI come from here."""

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    TypeAdapter,
    field_validator,
)

from cascade.text import UNREADABLE

LONGEST_BODY = 20_000
LONGEST_LINE = 500
YEARS = range(1900, 2200)
"""A time beyond these is a mistake, and at the calendar's ends one zone's time is no other's."""

_EXTERNAL_ID = re.compile(r"[^\s/\x00-\x1f\x7f\ud800-\udfff]{1,200}")


def _printable(text: str) -> str:
    if found := UNREADABLE.search(text):
        raise ValueError(
            f"holds the control character U+{ord(found[0]):04X} at position {found.start()}; "
            "expected text, tabs and line breaks"
        )
    return text


def _external_id(text: str) -> str:
    if not _EXTERNAL_ID.fullmatch(text) or text in (".", ".."):
        raise ValueError("expected 1 to 200 characters without spaces, slashes or controls")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; expected text")
    return text


def _utc(at: datetime) -> datetime:
    if at.year not in YEARS:
        raise ValueError(f"is of the year {at.year}; expected {YEARS[0]} to {YEARS[-1]}")
    return at.astimezone(UTC)


def _number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


Line = Annotated[StrictStr, Field(max_length=LONGEST_LINE), AfterValidator(_printable)]
Body = Annotated[StrictStr, Field(max_length=LONGEST_BODY), AfterValidator(_printable)]
Filled = Annotated[Body, AfterValidator(_not_blank)]
ExternalId = Annotated[StrictStr, AfterValidator(_external_id)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
Segment = Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(_printable)]
FeatureName = Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Feature = Annotated[
    StrictBool
    | Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
    | Annotated[float, Field(strict=True)]
    | Line,
    AfterValidator(_number),
]


class Given(BaseModel):
    """A request body or a line; fields not named are allowed and ignored."""

    model_config = ConfigDict(extra="ignore")


class TicketGiven(Given):
    """The question: `subject` may be missing, `external_id` is the helpdesk's own."""

    external_id: ExternalId | None = None
    subject: Line = ""
    body: Filled


class CustomerNamed(Given):
    """Which customer asks, by the helpdesk's own id."""

    external_id: ExternalId


class SuggestionAsked(Given):
    """Ask for a scored answer to this ticket of this customer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ticket": {
                    "external_id": "T-1001",
                    "subject": "Return",
                    "body": "Can I still return my jacket?",
                },
                "customer": {"external_id": "c-17"},
            }
        }
    )
    ticket: TicketGiven
    customer: CustomerNamed


class CustomerGiven(Given):
    """A customer's profile; it replaces what was there."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "segment": "gold",
                "features": {"membership": "gold", "days_since_purchase": 45},
            }
        }
    )
    segment: Segment | None = None
    features: dict[FeatureName, Feature] = Field(default_factory=dict, max_length=100)
    name: Line | None = None
    email: Annotated[StrictStr, Field(max_length=254), AfterValidator(_printable)] | None = None


class HistoryGiven(Given):
    """One past contact or event; `at` is now where it is missing."""

    text: Annotated[Line, AfterValidator(_not_blank)]
    at: datetime | None = None

    @field_validator("at")
    @classmethod
    def _in_utc(cls, at: datetime | None) -> datetime | None:
        return at and _utc(at if at.tzinfo else at.replace(tzinfo=UTC))


class MacroGiven(Given):
    """One line of a file of macros."""

    id: ExternalId
    title: Line
    questions: list[Filled]
    body: Filled


class PassageGiven(Given):
    """One line of a file of policy passages."""

    id: ExternalId
    title: Line
    body: Filled


class FeedbackGiven(Given):
    """What the agent did: `edited` needs `final_text`, the text that was sent."""

    action: Literal["accepted", "edited", "dismissed"]
    final_text: Body | None = None
    reason: Line | None = None
    rating: Annotated[int, Field(strict=True, ge=1, le=5)] | None = None


class Estimate(Given):
    """What a policy was measured to cost, in US dollars a ticket, and the share it gets right."""

    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    quality: Annotated[float, Field(ge=0, le=1)]


class Certified(Given):
    """What was certified of which tiers (`Policy.tiers_version`), and on which log."""

    max_error: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    confidence: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    log: Line
    rows: Annotated[int, Field(strict=True, ge=0)]
    tiers: Line


class MadeFrom(Given):
    """What a policy file says of the log it was chosen on; other fields are kept as they are."""

    log: Line | None = None
    rows: Annotated[int, Field(strict=True, ge=0)] | None = None
    train: Estimate | None = None
    test: Estimate | None = None
    certificate: Certified | None = None


class PageAsked(Given):
    """Which part of a list: `cursor` is the `next_cursor` of the part before."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=1000)] | None = None


class CustomersAsked(PageAsked):
    """A list of customers, of one segment or of all."""

    segment: Segment | None = None


class SuggestionsAsked(PageAsked):
    """A list of suggestions, newest first."""

    status: Literal["running", "suggested", "escalated"] | None = None


class PoliciesAsked(PageAsked):
    """A list of policies, those stored last first."""


class ReviewsAsked(PageAsked):
    """A list of the review queue, the most urgent first."""

    status: Literal["open", "resolved", "dismissed"] | None = None


PathId = TypeAdapter(ExternalId)
"""An id in a path."""
CustomersCursor = TypeAdapter(tuple[ExternalId])
NewestFirstCursor = TypeAdapter(tuple[Moment, ExternalId])
ReviewsCursor = TypeAdapter(tuple[int, Moment, ExternalId])
"""What a cursor holds: the place of the last row of the part before."""


class Stored(BaseModel):
    """Something stored, by its id."""

    id: str


class StepShown(BaseModel):
    """What one tier offered, how it scored against its threshold, what it cost."""

    tier: int
    model: str
    source: Literal["cache", "macro", "llm", "simulated"]
    answer: str | None
    candidates: int
    score: float | None
    threshold: float
    adapter: str | None
    accepted: bool
    cost_usd: str
    cost_estimated: bool
    latency_ms: int
    input_tokens: int | None
    cached_input_tokens: int | None
    output_tokens: int | None
    error: str | None
    note: str | None


class SuggestionShown(BaseModel):
    """A scored answer, or the best one seen with `good_enough` false and the reason why."""

    id: str
    status: Literal["running", "suggested", "escalated"]
    ticket: str
    customer: str
    answer: str | None
    good_enough: bool
    reason: str | None
    score: float | None
    threshold: float | None
    tier: int | None
    model: str | None
    source: Literal["cache", "macro", "llm", "simulated"] | None
    segment: str | None
    adapter: str | None
    policy: str
    cost_usd: str
    latency_ms: int | None
    created_at: str
    steps: list[StepShown]


class CustomerShown(BaseModel):
    """A customer as stored."""

    external_id: str
    segment: str | None
    features: dict[str, bool | int | float | str]
    name: str | None
    email: str | None


class FeaturesShown(BaseModel):
    """What the scorer is shown of a customer, as values and as the text it reads."""

    external_id: str
    segment: str | None
    features: dict[str, bool | int | float | str]
    history: list[str]
    text: str


class ErasedShown(BaseModel):
    """How many rows went, by what they held, and which adapters are to be trained again."""

    deleted: dict[str, int]
    adapters_marked: list[str]


class CustomerExport(BaseModel):
    """Everything held on a customer, times in ISO 8601 and UTC, oldest first.

    `profile` is null where only training rows are held.
    """

    external_id: str
    exported_at: str
    profile: dict[str, Any] | None
    history: list[dict[str, Any]]
    tickets: list[dict[str, Any]]
    suggestions: list[dict[str, Any]]
    reviews: list[dict[str, Any]]
    shadow_scores: list[dict[str, Any]]
    cache_entries: list[dict[str, Any]]
    training_rows: list[dict[str, Any]]
    regression_cases: list[dict[str, Any]]


class CustomersPage(BaseModel):
    """One part of the list of customers."""

    data: list[CustomerShown]
    next_cursor: str | None
    has_more: bool


class SuggestionsPage(BaseModel):
    """One part of the list of suggestions."""

    data: list[SuggestionShown]
    next_cursor: str | None
    has_more: bool


class ReviewShown(BaseModel):
    """One entry of the review queue: what it is about, and whether an admin has it in hand.

    `other` is the second suggestion of a contradiction. An alarm is about a `policy` and has no
    suggestion. What was found stays among the reviewers, who may judge an answer twice.
    """

    id: str
    kind: Literal["alarm", "escalation", "contradiction", "audit"]
    priority: int
    round: int
    status: Literal["open", "resolved", "dismissed"]
    reason: str
    suggestion: str | None
    other: str | None
    ticket: str | None
    customer: str | None
    policy: str | None
    claimed_until: str | None
    created_at: str
    closed_at: str | None


class ReviewsPage(BaseModel):
    """One part of the review queue."""

    data: list[ReviewShown]
    next_cursor: str | None
    has_more: bool


PROBLEM = {
    "type": "object",
    "description": "An error (RFC 9457), with the id by which it is found in the log.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
