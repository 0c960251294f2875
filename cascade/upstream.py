"""One HTTP service that answers JSON with JSON: its timeouts, retries and failures."""

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

import httpcore
import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from cascade.breaker import Breaker
from cascade.deadline import Deadline
from cascade.errors import (
    BadResponse,
    DeadlineExceeded,
    ProviderError,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from cascade.text import readable
from cascade.transport import DeadlineTransport, bound_by

LARGEST_BODY = 1024 * 1024
"""Bytes; a support answer is a few thousand, so more is a fault or an attack."""

MESSAGE_SHOWN = 200
"""Characters of a server's own error message that are kept."""

RETRIED = (RateLimited, ProviderUnavailable)
OUTAGES = (ProviderUnavailable, ProviderTimeout)
TIMEOUTS = (httpx.TimeoutException, httpcore.TimeoutException)
NOT_SENT = (
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
)
TAKEN = (
    httpx.ReadError,
    httpx.RemoteProtocolError,
    httpcore.ReadError,
    httpcore.RemoteProtocolError,
)
"""Connections that broke after the request was sent: it may have been worked on, and billed."""
CONNECTION_ERRORS = (
    httpx.TransportError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)
SECRET = re.compile(r"\b(?:(?:sk|pk)-|Bearer )[\w*.-]{4,}")


@dataclass(frozen=True)
class Timeouts:
    """Seconds for making a connection, and for each wait for the next bytes.

    A call that had less than `read_s` left to its ticket's deadline proves no outage.
    """

    connect_s: float = 5.0
    read_s: float = 30.0


@dataclass(frozen=True)
class Retry:
    """How often a request is tried in all, and the pauses between, in seconds.

    The pause before try n + 1 is drawn evenly from 0 to `base_s` * 2 ** (n - 1), at most `cap_s`:
    full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). `jitter`
    draws from [0, 1); `now` is what a `Retry-After` date is compared with.
    """

    attempts: int = 3
    base_s: float = 0.5
    cap_s: float = 8.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def pause(self, attempt: int) -> float:
        """Seconds to wait after try number `attempt`, counted from 1."""
        return self.jitter() * min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))


@dataclass(frozen=True)
class Reply:
    """The JSON object of a successful answer, and what it took to get it."""

    body: Mapping[str, object]
    retries: int
    lost_calls: int


class Upstream:
    """Posts JSON to one URL and gives the JSON object that comes back, or a `ProviderError`.

    Tries again after 429, 5xx and connection errors, waits as long as `Retry-After` says, and never
    past the deadline. A request that met the read timeout is not repeated, one whose connection
    broke is; both may be billed, and count as lost calls. Sends `attempts` requests at most.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        secret: str | None,
        timeouts: Timeouts | None,
        retry: Retry | None,
        breaker: Breaker | None,
        client: httpx.Client | None,
    ) -> None:
        self._url = url
        self._headers = {"content-type": "application/json", "accept-encoding": "identity"}
        self._headers |= headers
        self._secret = secret
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or Retry()
        self._breaker = breaker or Breaker()
        self._client = client or httpx.Client(transport=DeadlineTransport())
        self._owns_client = client is None

    @property
    def attempts(self) -> int:
        """How often one payload is sent at most."""
        return self._retry.attempts

    def post(self, payload: Mapping[str, object], deadline: Deadline) -> Reply:
        """The answer to the payload, after as many tries as it takes and the deadline allows."""
        if deadline.passed:
            raise DeadlineExceeded("the ticket's time ran out before the request was sent")
        content = json.dumps(payload).encode()
        lost = 0
        with self._breaker.guard(outages=OUTAGES):
            for attempt in self._attempts(deadline):
                with attempt:
                    try:
                        body = self._once(content, deadline)
                    except ProviderError as error:
                        error.lost_calls = lost = lost + error.lost_calls
                        raise
            return Reply(body, attempt.retry_state.attempt_number - 1, lost)

    def close(self) -> None:
        """Close the connections, unless the client came from outside."""
        if self._owns_client:
            self._client.close()

    def _attempts(self, deadline: Deadline) -> Retrying:
        def too_late(state: RetryCallState) -> bool:
            return state.upcoming_sleep >= deadline.left()

        return Retrying(
            retry=retry_if_exception_type(RETRIED),
            wait=self._pause,
            stop=lambda state: stop_after_attempt(self._retry.attempts)(state) or too_late(state),
            sleep=self._retry.sleep,
            reraise=True,
        )

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_for = error.retry_after_s if isinstance(error, ProviderError) else 0.0
        return max(asked_for, self._retry.pause(state.attempt_number))

    def _once(self, content: bytes, deadline: Deadline) -> Mapping[str, object]:
        left = deadline.left()
        timeout = httpx.Timeout(
            min(self._timeouts.read_s, left), connect=min(self._timeouts.connect_s, left)
        )
        translated = partial(_translated, deadline, patient=left >= self._timeouts.read_s)
        with (
            bound_by(deadline),
            translated(),
            self._client.stream(
                "POST", self._url, content=content, headers=self._headers, timeout=timeout
            ) as response,
            # Who answers with an error has not done the work, and bills nothing.
            translated(billable=response.is_success),
        ):
            body = _read(response, deadline)
        if not response.is_success:
            raise self._failure(response, body)
        return _json_object(body)

    def _failure(self, response: httpx.Response, body: bytes) -> ProviderError:
        status, said = response.status_code, self._short_message(body)
        message = f"status {status}: {said}" if said else f"status {status}"
        pause = self._retry_after_s(response.headers.get("retry-after", ""))
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return RateLimited(message, retry_after_s=pause)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return ProviderUnavailable(message, retry_after_s=pause)
        return ProviderRefused(message)

    def _short_message(self, body: bytes) -> str:
        """The server's own words from a JSON error, without keys; an HTML page has none to show."""
        try:
            data = _json_object(body)
        except BadResponse:
            return ""
        error = data.get("error", data)
        said = error.get("message") if isinstance(error, dict) else error
        if not isinstance(said, str):
            return ""
        if self._secret:
            said = said.replace(self._secret, "[key]")
        return " ".join(readable(SECRET.sub("[key]", said)).split())[:MESSAGE_SHOWN]

    def _retry_after_s(self, value: str) -> float:
        """Seconds from a `Retry-After` header, which holds seconds or an HTTP date, else 0."""
        if value.strip().isdecimal():
            return float(value)
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - self._retry.now()).total_seconds())


def _read(response: httpx.Response, deadline: Deadline) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        # A client given from outside may not keep to the deadline by itself.
        if deadline.passed:
            raise httpx.ReadTimeout("the ticket's time ran out")
        if len(body) > LARGEST_BODY:
            raise httpx.DecodingError(f"the answer is larger than {LARGEST_BODY} bytes")
    return bytes(body)


@contextmanager
def _translated(deadline: Deadline, *, patient: bool, billable: bool = True) -> Iterator[None]:
    """The one edge at which errors of httpx and httpcore become the package's own.

    `patient` says that the provider had its whole read timeout before the deadline, `billable`
    that a request which was sent may cost something.
    """
    lost = int(billable)
    try:
        yield
    except NOT_SENT as exc:
        if deadline.passed:
            raise DeadlineExceeded("the ticket's time ran out while connecting") from exc
        raise ProviderUnavailable("no connection within the connect timeout") from exc
    except TIMEOUTS as exc:
        if not deadline.passed:
            raise ProviderTimeout("no answer within the read timeout", lost_calls=lost) from exc
        message = "the ticket's time ran out while waiting for the provider"
        raise (ProviderTimeout if patient else DeadlineExceeded)(message, lost_calls=lost) from exc
    except CONNECTION_ERRORS as exc:
        broken_off = lost if isinstance(exc, TAKEN) else 0
        name = type(exc).__name__
        raise ProviderUnavailable(f"connection failed ({name})", lost_calls=broken_off) from exc
    except httpx.HTTPError as exc:
        raise BadResponse(f"the answer cannot be read: {exc}", lost_calls=lost) from exc


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as exc:
        shown = f"{len(body)} bytes"
        raise BadResponse(
            f"expected a JSON object, got {shown} of other text", lost_calls=1
        ) from exc
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise BadResponse(f"expected a JSON object, got a JSON {kind}", lost_calls=1)
    return data
