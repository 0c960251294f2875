"""Both protocols against a real HTTP server: answers, usage, failures, retries, redaction."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from cascade.breaker import Breaker
from cascade.chat import AnthropicMessages, OpenAIChat
from cascade.deadline import Deadline
from cascade.errors import (
    BadResponse,
    CircuitOpen,
    DeadlineExceeded,
    ProviderError,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from cascade.pricing import Usage
from cascade.providers import DraftRequest
from cascade.ticket import Passage
from cascade.upstream import Retry, Timeouts
from scoring.customer import Customer
from tests.cascade.loopback import Loopback, Play, drip, hang_up, json_reply, reply, stall

KEY = "sk-test-1234567890"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
REQUEST = DraftRequest(
    "Can I still return my jacket? Write to ann@example.com",
    Customer("c-17", "gold", {"membership": "gold"}, ("2026-03-02 asked about a late parcel",)),
    (Passage("p-1", "Returns", "Gold members return within 60 days."),),
)


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(Loopback(list(script)))


@pytest.fixture
def make(clock: Clock) -> Iterator[Callable[..., Any]]:
    """Makes a provider that sleeps on the test's clock and is closed afterwards."""
    with ExitStack() as stack:

        def build(kind: type[Any], url: str, **options: Any) -> Any:
            options.setdefault("retry", retry(clock))
            model = kind("model-1", url, KEY, **options)
            stack.callback(model.close)
            return model

        yield build


@pytest.fixture(params=[OpenAIChat, AnthropicMessages], ids=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def retry(clock: Clock, attempts: int = 3) -> Retry:
    return Retry(attempts, 0.5, 8.0, sleep=clock.sleep, jitter=lambda: 1.0, now=lambda: NOON)


def openai_body(text: object = "Yes.", **changes: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": usage, **changes}


def anthropic_body(text: str = "Yes.", **changes: Any) -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 7}
    content = [{"type": "text", "text": text}]
    return {"content": content, "stop_reason": "end_turn", "usage": usage, **changes}


def good(kind: type[Any], text: str = "Yes.") -> Play:
    return json_reply(openai_body(text) if kind is OpenAIChat else anthropic_body(text))


def test_an_answer_comes_with_its_usage(kind: Any, serve: Any, make: Any) -> None:
    server = serve(good(kind))
    drafts = make(kind, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert drafts.texts == ("Yes.",)
    assert drafts.usage == Usage(100, 7)
    assert (drafts.retries, drafts.lost_calls) == (0, 0)


def test_a_local_models_reasoning_is_not_its_answer(serve: Any, make: Any) -> None:
    server = serve(
        json_reply(openai_body("<think>\nIs it allowed?\n</think>\n\nYes, it is.")),
        json_reply(openai_body("<think>\nIs it allowed? Perhaps")),
    )
    model = make(OpenAIChat, server.url)
    assert model.draft(REQUEST, deadline=Deadline.after(10)).texts == ("Yes, it is.",)
    with pytest.raises(BadResponse, match="empty"):
        model.draft(REQUEST, deadline=Deadline.after(10))


def test_openai_request_is_what_the_protocol_asks_for(serve: Any, make: Any) -> None:
    server = serve(good(OpenAIChat))
    make(OpenAIChat, f"{server.url}/v1/").draft(REQUEST, deadline=Deadline.after(10))
    sent = server.received[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body["model"] == "model-1"
    assert [message["role"] for message in sent.body["messages"]] == ["system", "user"]
    assert sent.body["max_tokens"] == 500


def test_anthropic_request_is_what_the_protocol_asks_for(serve: Any, make: Any) -> None:
    server = serve(good(AnthropicMessages))
    make(AnthropicMessages, server.url).draft(REQUEST, deadline=Deadline.after(10))
    sent = server.received[0]
    assert sent.path == "/v1/messages"
    assert sent.headers["x-api-key"] == KEY
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.body["messages"][0]["role"] == "user"
    assert "data block" in sent.body["system"]


def test_a_local_server_gets_no_key(serve: Any) -> None:
    server = serve(good(OpenAIChat))
    model = OpenAIChat("llama3.2", server.url)
    model.draft(REQUEST, deadline=Deadline.after(10))
    model.close()
    assert "authorization" not in server.received[0].headers


def test_cached_tokens_are_read(serve: Any, make: Any) -> None:
    details = {"cached_tokens": 80}
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": details}
    server = serve(json_reply(openai_body(usage=usage)))
    drafts = make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert drafts.usage == Usage(100, 7, cached_input_tokens=80)

    apart = {
        "input_tokens": 10,
        "output_tokens": 7,
        "cache_read_input_tokens": 80,
        "cache_creation_input_tokens": 30,
    }
    server = serve(json_reply(anthropic_body(usage=apart)))
    drafts = make(AnthropicMessages, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert drafts.usage == Usage(120, 7, cached_input_tokens=80, cache_write_tokens=30)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": "many", "completion_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {
            "prompt_tokens": 5,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 6},
        },
    ],
)
def test_usage_that_cannot_be_true_is_unknown(usage: object, serve: Any, make: Any) -> None:
    server = serve(json_reply(openai_body(usage=usage)))
    drafts = make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert drafts.texts == ("Yes.",)
    assert drafts.usage is None


def test_personal_data_stays_here_and_comes_back(kind: Any, serve: Any, make: Any) -> None:
    server = serve(good(kind, "We wrote to [EMAIL_1] and not to [EMAIL_9]."))
    drafts = make(kind, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert b"ann@example.com" not in server.received[0].raw
    assert b"[EMAIL_1]" in server.received[0].raw
    assert b"c-17" not in server.received[0].raw
    assert drafts.texts == ("We wrote to ann@example.com and not to [EMAIL_9].",)


def test_the_customers_own_name_stays_here_and_comes_back(kind: Any, serve: Any, make: Any) -> None:
    request = DraftRequest("Yours, Ann Lee", Customer("c", None, {"customer_name": "Ann Lee"}))
    server = serve(good(kind, "Dear [NAME_1], yes."))
    drafts = make(kind, server.url).draft(request, deadline=Deadline.after(10))
    assert b"Lee" not in server.received[0].raw
    assert drafts.texts == ("Dear Ann Lee, yes.",)


def test_a_typed_placeholder_stands_for_itself(kind: Any, serve: Any, make: Any) -> None:
    request = DraftRequest("[EMAIL_1] is odd; I am ann@example.com", Customer("c", None))
    server = serve(good(kind, "[TEXT_1] belongs to [EMAIL_1]"))
    drafts = make(kind, server.url).draft(request, deadline=Deadline.after(10))
    assert drafts.texts == ("[EMAIL_1] belongs to ann@example.com",)


def test_a_limited_request_waits_as_long_as_the_server_says(
    kind: Any, serve: Any, make: Any, clock: Clock
) -> None:
    limited = json_reply({"error": {"message": "slow down"}}, 429, {"retry-after": "7"})
    server = serve(limited, good(kind))
    drafts = make(kind, server.url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert drafts.texts == ("Yes.",)
    assert drafts.retries == 1
    assert clock.slept == [7.0]


def test_retry_after_may_be_a_date(serve: Any, make: Any, clock: Clock) -> None:
    when = {"retry-after": "Mon, 02 Mar 2026 12:00:09 GMT"}
    server = serve(json_reply({}, 503, when), good(OpenAIChat))
    make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert clock.slept == [9.0]


def test_a_wait_beyond_the_deadline_is_not_begun(serve: Any, make: Any, clock: Clock) -> None:
    server = serve(json_reply({}, 429, {"retry-after": "31"}), good(OpenAIChat))
    with pytest.raises(RateLimited):
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert clock.slept == []
    assert len(server.received) == 1


@pytest.mark.parametrize("nonsense", ["soon", "", "-3", "9" * 400])
def test_a_senseless_retry_after_does_no_harm(
    nonsense: str, serve: Any, make: Any, clock: Clock
) -> None:
    server = serve(json_reply({}, 429, {"retry-after": nonsense}))
    with pytest.raises(RateLimited):
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert sum(clock.slept) < 30


def test_pauses_double_and_are_drawn_in_full(serve: Any, make: Any, clock: Clock) -> None:
    draws = iter([0.5, 1.0, 0.25, 0.0])
    policy = Retry(4, 1.0, 3.0, sleep=clock.sleep, jitter=lambda: next(draws))
    server = serve(json_reply({}, 500))
    with pytest.raises(ProviderUnavailable, match="status 500"):
        make(OpenAIChat, server.url, retry=policy).draft(
            REQUEST, deadline=Deadline.after(60, clock)
        )
    assert clock.slept == [0.5, 2.0, 0.75]
    assert len(server.received) == 4


def test_a_server_that_recovers_is_used(kind: Any, serve: Any, make: Any) -> None:
    server = serve(json_reply({}, 529), hang_up, good(kind))
    drafts = make(kind, server.url).draft(REQUEST, deadline=Deadline.after(30))
    assert drafts.texts == ("Yes.",)
    assert drafts.retries == 2
    assert drafts.lost_calls == 1


def test_a_connection_dropped_before_the_headers_may_be_billed_each_time(
    kind: Any, serve: Any, make: Any, clock: Clock
) -> None:
    server = serve(hang_up)
    model = make(kind, server.url)
    with pytest.raises(ProviderUnavailable) as failure:
        model.draft(REQUEST, deadline=Deadline.after(30, clock))
    assert failure.value.lost_calls == len(server.received) == model.attempts == 3


def test_an_error_that_is_broken_off_costs_nothing(serve: Any, make: Any, clock: Clock) -> None:
    server = serve(reply(500, b"{", said_length=5000))
    with pytest.raises(ProviderUnavailable) as failure:
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert failure.value.lost_calls == 0


def test_a_connection_never_made_by_the_deadline_costs_nothing(make: Any, clock: Clock) -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        clock.sleep(1)
        raise httpx.ConnectTimeout("nobody there")

    with httpx.Client(transport=httpx.MockTransport(unreachable)) as client:
        model = make(OpenAIChat, "http://model.example", client=client)
        with pytest.raises(DeadlineExceeded) as failure:
            model.draft(REQUEST, deadline=Deadline.after(1, clock))
    assert failure.value.lost_calls == 0


def test_no_server_at_all(kind: Any, make: Any, clock: Clock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ProviderUnavailable) as failure:
            make(kind, url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert failure.value.lost_calls == 0
    assert len(clock.slept) == 2


def test_a_refusal_is_not_repeated_and_shows_no_key(kind: Any, serve: Any, make: Any) -> None:
    words = f"Incorrect API key provided: {KEY}, also sk-abc***xyz. " + "More. " * 100
    server = serve(json_reply({"error": {"message": words}}, 401))
    with pytest.raises(ProviderRefused) as failure:
        make(kind, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert str(failure.value).startswith(
        "status 401: Incorrect API key provided: [key], also [key]"
    )
    assert len(str(failure.value)) < 300
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"<html><h1>Bad gateway</h1></html>", "status 404"),
        (b'{"error": "model not found"}', "status 404: model not found"),
        (b'{"error": {"message": ["odd"]}}', "status 404"),
        (b"[1]", "status 404"),
    ],
)
def test_a_refusal_shows_the_servers_short_message(
    said: bytes, shown: str, serve: Any, make: Any
) -> None:
    server = serve(reply(404, said))
    with pytest.raises(ProviderRefused) as failure:
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert str(failure.value) == shown


def test_a_redirect_is_not_followed(serve: Any, make: Any) -> None:
    elsewhere = serve(good(OpenAIChat))
    server = serve(reply(307, b"", {"location": f"{elsewhere.url}/chat/completions"}))
    with pytest.raises(ProviderRefused, match="status 307"):
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert elsewhere.received == []


def test_an_answer_broken_off_is_tried_again_and_may_be_billed(
    kind: Any, serve: Any, make: Any, clock: Clock
) -> None:
    server = serve(reply(200, b'{"choices": [', said_length=5000), good(kind))
    drafts = make(kind, server.url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert drafts.texts == ("Yes.",)
    assert (drafts.retries, drafts.lost_calls) == (1, 1)


def test_a_server_that_keeps_breaking_off_counts_every_lost_call(
    serve: Any, make: Any, clock: Clock
) -> None:
    server = serve(reply(200, b'{"choices": [', said_length=5000))
    with pytest.raises(ProviderUnavailable) as failure:
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(30, clock))
    assert failure.value.lost_calls == 3


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"<html></html>", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000],
)
def test_a_success_that_is_no_json_object(body: bytes, serve: Any, make: Any) -> None:
    server = serve(reply(200, body))
    with pytest.raises(BadResponse) as failure:
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert failure.value.lost_calls == 1
    assert len(server.received) == 1


def test_a_huge_answer_is_cut_short(serve: Any, make: Any) -> None:
    server = serve(reply(200, b" " * (5 * 1024 * 1024)))
    with pytest.raises(BadResponse, match="larger than"):
        make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(10))


@pytest.mark.parametrize(
    ("kind", "body", "fault"),
    [
        (OpenAIChat, openai_body(""), "empty"),
        (OpenAIChat, openai_body(None), "empty"),
        (OpenAIChat, openai_body(choices=[]), "empty"),
        (OpenAIChat, openai_body(choices="none"), "empty"),
        (AnthropicMessages, anthropic_body(" \n"), "empty"),
        (AnthropicMessages, anthropic_body(content=None), "empty"),
        (AnthropicMessages, anthropic_body(stop_reason="max_tokens"), "cut off"),
        (AnthropicMessages, anthropic_body(stop_reason="refusal"), "refused"),
        (
            OpenAIChat,
            openai_body(choices=[{"message": {"content": "Yes, bu"}, "finish_reason": "length"}]),
            "cut off",
        ),
        (
            OpenAIChat,
            openai_body(choices=[{"message": {"content": None, "refusal": "I can't"}}]),
            "refused",
        ),
    ],
)
def test_an_unusable_answer_is_an_error_that_was_billed(
    kind: Any, body: object, fault: str, serve: Any, make: Any
) -> None:
    server = serve(json_reply(body))
    with pytest.raises(BadResponse, match=fault) as failure:
        make(kind, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert failure.value.usage == Usage(100, 7)
    assert failure.value.lost_calls == 0


def test_an_answer_is_storable_text(serve: Any, make: Any) -> None:
    body = json.dumps(openai_body("Yes\x00, \ud83d dear\ncustomer")).encode()
    server = serve(reply(200, body))
    drafts = make(OpenAIChat, server.url).draft(REQUEST, deadline=Deadline.after(10))
    assert drafts.texts == ("Yes, ? dear\ncustomer",)


def test_a_ticket_of_broken_unicode_can_be_sent(kind: Any, serve: Any, make: Any) -> None:
    request = DraftRequest("half an emoji \ud83d and \x00", Customer("c", None))
    server = serve(good(kind))
    drafts = make(kind, server.url).draft(request, deadline=Deadline.after(10))
    assert drafts.texts == ("Yes.",)


def test_a_silent_server_is_given_up_and_may_bill(serve: Any, make: Any) -> None:
    released = threading.Event()
    server = serve(stall(released))
    limits = Timeouts(connect_s=5, read_s=0.1)
    with pytest.raises(ProviderTimeout) as failure:
        make(OpenAIChat, server.url, timeouts=limits).draft(REQUEST, deadline=Deadline.after(60))
    released.set()
    assert failure.value.lost_calls == 1
    assert len(server.received) == 1


@pytest.mark.parametrize("headers_first", [True, False])
def test_a_dripping_server_does_not_outlast_the_deadline(
    headers_first: bool, kind: Any, serve: Any, make: Any
) -> None:
    server = serve(drip(headers_first=headers_first))
    with pytest.raises(DeadlineExceeded) as failure:
        make(kind, server.url).draft(REQUEST, deadline=Deadline.after(0.3))
    assert failure.value.lost_calls == 1


def test_nothing_is_sent_after_the_deadline(serve: Any, make: Any, clock: Clock) -> None:
    server = serve(good(OpenAIChat))
    deadline = Deadline.after(1, clock)
    clock.sleep(1)
    with pytest.raises(DeadlineExceeded):
        make(OpenAIChat, server.url).draft(REQUEST, deadline=deadline)
    assert server.received == []


def test_the_circuit_opens_after_outages_and_closes_after_a_good_trial(
    serve: Any, make: Any, clock: Clock
) -> None:
    server = serve(json_reply({}, 500), json_reply({}, 500), good(OpenAIChat))
    breaker = Breaker(failures=2, reset_s=30, clock=clock)
    model = make(OpenAIChat, server.url, breaker=breaker, retry=retry(clock, attempts=1))

    def outcome() -> type[ProviderError] | None:
        try:
            model.draft(REQUEST, deadline=Deadline.after(60))
        except ProviderError as error:
            return type(error)
        return None

    assert [outcome() for _ in range(4)] == [
        ProviderUnavailable,
        ProviderUnavailable,
        CircuitOpen,
        CircuitOpen,
    ]
    assert len(server.received) == 2
    clock.seconds += 30
    assert outcome() is None
    assert not breaker.is_open


def test_only_a_call_that_had_its_read_timeout_counts_as_an_outage(
    serve: Any, make: Any, clock: Clock
) -> None:
    server = serve(drip(headers_first=True))
    breaker = Breaker(failures=2, clock=clock)
    model = make(OpenAIChat, server.url, breaker=breaker, timeouts=Timeouts(read_s=0.2))
    for seconds, error, is_open in [
        (0.25, ProviderTimeout, False),
        (0.1, DeadlineExceeded, False),
        (0.1, DeadlineExceeded, False),
        (0.25, ProviderTimeout, True),
    ]:
        with pytest.raises(error) as failure:
            model.draft(REQUEST, deadline=Deadline.after(seconds))
        assert failure.value.lost_calls == 1
        assert breaker.is_open == is_open


def test_refusals_do_not_open_the_circuit(serve: Any, make: Any, clock: Clock) -> None:
    server = serve(json_reply({}, 400))
    breaker = Breaker(failures=1, clock=clock)
    model = make(OpenAIChat, server.url, breaker=breaker)
    for _ in range(3):
        with pytest.raises(ProviderRefused):
            model.draft(REQUEST, deadline=Deadline.after(10))
    assert not breaker.is_open


def test_the_largest_cost_is_an_upper_bound_in_bytes(serve: Any, make: Any) -> None:
    server = serve(good(OpenAIChat))
    model = make(OpenAIChat, server.url, max_output_tokens=64)
    model.draft(REQUEST, deadline=Deadline.after(10))
    sent = sum(len(each["content"].encode()) for each in server.received[0].body["messages"])
    largest = model.largest_cost(REQUEST)
    assert largest.input_tokens >= sent
    assert largest.output_tokens == 64
