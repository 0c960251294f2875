"""Everything `cascade` raises on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cascade.pricing import Usage


class CascadeError(Exception):
    """Root of the package's errors; the message says what was got, expected, and what to do."""


class BadPolicy(CascadeError):
    """A policy cannot be run as written."""


class BadOutcomes(CascadeError):
    """Recorded outcomes cannot be read or used as asked; the message names file and line."""


class Infeasible(CascadeError):
    """No policy keeps to what was asked for; the message names the nearest that can be had."""


class BadPrices(CascadeError):
    """A price table cannot be read, or says two things about one model and day."""


class MissingPrice(CascadeError):
    """No price is known for a model on a day; the message holds the TOML lines to add."""


class BadMacro(CascadeError):
    """A macro, or the way it is embedded, cannot be used as given."""


class BadCache(CascadeError):
    """A cached answer, a look-up or a store cannot be used as given."""


class OverBudget(CascadeError):
    """A call may cost more than a budget has left."""


class ScorerFailed(CascadeError):
    """The scorer raised, or gave something that is not one score in [0, 1] for each answer."""


class ProviderError(CascadeError):
    """A provider gave no usable answer.

    `usage` is what the provider said it billed all the same. `lost_calls` counts the requests it
    may have billed without saying how much. `retry_after_s` is the pause in seconds it asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        usage: Usage | None = None,
        lost_calls: int = 0,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.usage = usage
        self.lost_calls = lost_calls
        self.retry_after_s = retry_after_s


class ProviderTimeout(ProviderError):
    """The provider took the request and did not answer within its read timeout."""


class ProviderUnavailable(ProviderError):
    """The provider cannot be reached, drops its connections or answers with a 5xx status."""


class RateLimited(ProviderError):
    """The provider asks for fewer requests (status 429)."""


class ProviderRefused(ProviderError):
    """The provider rejects the request as such (another 4xx status); repeating it is useless."""


class BadResponse(ProviderError):
    """The provider answered with something that is not a whole, readable draft."""


class CircuitOpen(ProviderError):
    """The provider failed too often lately and is left alone for a while."""


class DeadlineExceeded(ProviderError):
    """The time for the whole ticket ran out before the provider had its own."""
