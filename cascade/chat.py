"""Language models over HTTP: OpenAI-compatible chat completions, and Anthropic messages."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from cascade.breaker import Breaker
from cascade.deadline import Deadline
from cascade.errors import BadResponse
from cascade.pricing import Usage
from cascade.providers import DraftRequest, Drafts
from cascade.redaction import Redactor
from cascade.text import readable
from cascade.ticket import Messages, names_of, prompt_messages
from cascade.upstream import Reply, Retry, Timeouts, Upstream

MAX_OUTPUT_TOKENS = 500
"""A support answer is seldom longer than 200 words."""

TOKENS_PER_MESSAGE = 16
"""What a provider's chat template adds around each message, rounded up."""

THOUGHTS = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
"""Reasoning that never ends leaves no answer, which is an error and not a draft."""

ANTHROPIC_VERSION = "2023-06-01"


class _Chat(ABC):
    """What the protocols share; a subclass says what is sent where, and how a reply is read."""

    source = "llm"
    path: str

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None = None,
        *,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        max_output_tokens: int = MAX_OUTPUT_TOKENS,
        client: httpx.Client | None = None,
    ) -> None:
        self.model = model
        self._max_output_tokens = max_output_tokens
        self._upstream = Upstream(
            base_url.rstrip("/") + self.path,
            self._headers(api_key),
            secret=api_key,
            timeouts=timeouts,
            retry=retry,
            breaker=breaker,
            client=client,
        )

    @property
    def attempts(self) -> int:
        """How many calls one draft may make, and be billed for, at most."""
        return self._upstream.attempts

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        """One answer of the model to the redacted request, or a `ProviderError`."""
        redactor = Redactor(names_of(request.customer))
        messages = _messages(request, redactor)
        reply = self._upstream.post(self._payload(messages), deadline)
        return _drafts(self._completion(reply.body), reply, redactor)

    def largest_cost(self, request: DraftRequest) -> Usage | None:
        """An upper bound of the tokens of one call."""
        return _largest_usage(request, self._max_output_tokens)

    def close(self) -> None:
        """Close the connections, unless the client came from outside."""
        self._upstream.close()

    @abstractmethod
    def _headers(self, api_key: str | None) -> Mapping[str, str]: ...

    @abstractmethod
    def _payload(self, messages: Messages) -> Mapping[str, object]: ...

    @abstractmethod
    def _completion(self, body: Mapping[str, object]) -> "Completion": ...


class OpenAIChat(_Chat):
    """A model behind `POST {base_url}/chat/completions`: OpenAI, Ollama, vLLM and their like.

    Local servers need no key. Newer OpenAI models take their output limit in another field: for
    them, a subclass with `output_limit_field = "max_completion_tokens"`.

    >>> OpenAIChat("llama3.2", "http://127.0.0.1:11434/v1")
    """

    path = "/chat/completions"
    output_limit_field = "max_tokens"

    def _headers(self, api_key: str | None) -> Mapping[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def _payload(self, messages: Messages) -> Mapping[str, object]:
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": messages.system},
                {"role": "user", "content": messages.user},
            ],
            self.output_limit_field: self._max_output_tokens,
        }

    def _completion(self, body: Mapping[str, object]) -> "Completion":
        return openai_completion(body)


class AnthropicMessages(_Chat):
    """A model behind `POST {base_url}/v1/messages`.

    >>> AnthropicMessages("claude-3-5-haiku-latest", "https://api.anthropic.com", key)
    """

    path = "/v1/messages"

    def _headers(self, api_key: str | None) -> Mapping[str, str]:
        key = {"x-api-key": api_key} if api_key else {}
        return {"anthropic-version": ANTHROPIC_VERSION, **key}

    def _payload(self, messages: Messages) -> Mapping[str, object]:
        return {
            "model": self.model,
            "system": messages.system,
            "messages": [{"role": "user", "content": messages.user}],
            "max_tokens": self._max_output_tokens,
        }

    def _completion(self, body: Mapping[str, object]) -> "Completion":
        return anthropic_completion(body)


@dataclass(frozen=True)
class Completion:
    """What a model wrote; `fault` says why it cannot be used, or is None."""

    text: str
    usage: Usage | None
    fault: str | None = None


def openai_completion(body: Mapping[str, object]) -> Completion:
    """Read a chat completion."""
    usage = _openai_usage(_mapping(body.get("usage")))
    choice = _mapping(_first(body.get("choices")))
    message = _mapping(choice.get("message"))
    text, reason = _without_thoughts(_text(message.get("content"))), choice.get("finish_reason")
    if reason == "length":
        return Completion(text, usage, "the answer was cut off at the output limit")
    if reason == "content_filter" or message.get("refusal"):
        return Completion(text, usage, "the model refused to answer")
    return Completion(text, usage, None if text.strip() else "the answer is empty")


def anthropic_completion(body: Mapping[str, object]) -> Completion:
    """Read an Anthropic message."""
    usage = _anthropic_usage(_mapping(body.get("usage")))
    content = body.get("content")
    blocks = [_mapping(block) for block in content] if isinstance(content, list) else []
    text = "".join(_text(block.get("text")) for block in blocks if block.get("type") == "text")
    if body.get("stop_reason") == "max_tokens":
        return Completion(text, usage, "the answer was cut off at the output limit")
    if body.get("stop_reason") == "refusal":
        return Completion(text, usage, "the model refused to answer")
    return Completion(text, usage, None if text.strip() else "the answer is empty")


def _without_thoughts(text: str) -> str:
    """The text without the reasoning that some local models put in front of their answer."""
    return THOUGHTS.sub("", text, count=1)


def _openai_usage(usage: Mapping[str, object]) -> Usage | None:
    details = _mapping(usage.get("prompt_tokens_details"))
    return _usage(
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        details.get("cached_tokens") or 0,
        0,
    )


def _anthropic_usage(usage: Mapping[str, object]) -> Usage | None:
    fresh = usage.get("input_tokens")
    read = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    # Anthropic counts the three apart; our input is all of it.
    parts = [part for part in (fresh, read, written) if isinstance(part, int)]
    total = sum(parts) if len(parts) == 3 else None
    return _usage(total, usage.get("output_tokens"), read, written)


def _usage(total: object, output: object, read: object, written: object) -> Usage | None:
    """The counts as a value, or None where they cannot be true: no prompt has no tokens."""
    if not (isinstance(total, int) and isinstance(output, int) and total > 0):
        return None
    if not (isinstance(read, int) and isinstance(written, int)):
        return None
    try:
        return Usage(total, output, read, written)
    except ValueError:
        return None


def _drafts(completion: Completion, reply: Reply, redactor: Redactor) -> Drafts:
    if completion.fault is not None:
        lost = reply.lost_calls + (completion.usage is None)
        raise BadResponse(completion.fault, usage=completion.usage, lost_calls=lost)
    text = readable(redactor.reveal(completion.text)).strip()
    return Drafts((text,), completion.usage, reply.retries, reply.lost_calls)


def _messages(request: DraftRequest, redactor: Redactor) -> Messages:
    return prompt_messages(request.question, request.customer, request.passages, redactor)


def _largest_usage(request: DraftRequest, max_output_tokens: int) -> Usage:
    # No byte-level tokeniser makes more tokens than bytes, so a budget kept by this count is kept.
    messages = _messages(request, Redactor(names_of(request.customer)))
    size = len(messages.system.encode()) + len(messages.user.encode())
    return Usage(size + 2 * TOKENS_PER_MESSAGE, max_output_tokens)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
