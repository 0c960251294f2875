"""A ticket macros cannot answer, with an OpenAI-compatible server on loopback, and without."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cascade.loopback import Loopback, json_reply
from tests.conftest import Service, serving

PICKUP = {
    "external_id": "T-2001",
    "subject": "Courier",
    "body": "How do our three tents get to your repair workshop?",
}
"""So unlike all that macros answer that none is looked at, however the demo's adapters judge."""
ENTITLED = "c-97"
"""A gold customer in the EU, to whom the policy grants the pickup."""
GRANTED = "Yes, we will send a courier to collect the item from you for the repair."
PRICES = """
[[price]]
model = "loopback-model"
effective = "2026-01-01"
input_per_million = "2.00"
cached_input_per_million = "1.00"
output_per_million = "10.00"
"""


COMPLETION = {
    "choices": [{"message": {"content": GRANTED}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 400},
    },
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Loopback]:
    with Loopback([json_reply(COMPLETION)]) as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def environment(
    request: pytest.FixtureRequest,
    demo_var: Path,
    upstream: Loopback,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """What the service is told: one model behind HTTP, either database, the demo's adapters."""
    var = tmp_path_factory.mktemp(f"llm-{request.param}")
    told = {"FRUGALDESK_VAR": str(var), **with_model(var, demo_var, upstream)}
    if request.param == "postgresql":
        told["FRUGALDESK_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    return told


@pytest.fixture(scope="module")
def service(environment: dict[str, str]) -> Iterator[Service]:
    """The demo with one model behind HTTP, on either database, scored by the same adapters."""
    with serving(Path(environment["FRUGALDESK_VAR"]), **environment) as running:
        yield running


def with_model(var: Path, demo_var: Path, upstream: Loopback) -> dict[str, str]:
    """Return the environment of a service that asks the upstream, with the demo's adapters."""
    (var / "prices.toml").write_text(PRICES)
    return {
        "FRUGALDESK_ADAPTERS": str(demo_var / "adapters"),
        "FRUGALDESK_LLM_BASE_URL": f"{upstream.url}/v1",
        "FRUGALDESK_LLM_MODEL": "loopback-model",
        "FRUGALDESK_PRICES": str(var / "prices.toml"),
    }


def ask(service: Service, ticket: dict[str, str], customer: str = ENTITLED) -> dict[str, Any]:
    with service.client() as api:
        body = {"ticket": ticket, "customer": {"external_id": customer}}
        answer = api.post("/api/v1/suggestions", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_macros_alone_escalate_the_ticket(live_service: Service) -> None:
    made = ask(live_service, PICKUP)
    assert made["status"] == "escalated"
    assert [step["source"] for step in made["steps"]] == ["cache", "macro"]


def test_the_model_answers_it_with_tokens_and_cost_recorded(
    service: Service, upstream: Loopback
) -> None:
    made = ask(service, PICKUP)
    assert made["status"] == "suggested", made
    assert made["answer"] == GRANTED
    assert (made["source"], made["model"], made["tier"]) == ("llm", "loopback-model", 2)
    step = made["steps"][2]
    assert (step["input_tokens"], step["cached_input_tokens"], step["output_tokens"]) == (
        1000,
        400,
        20,
    )
    # 600 fresh tokens at 2, 400 cached at 1 and 20 written at 10 dollars a million.
    assert Decimal(made["cost_usd"]) == Decimal("0.0018")


def test_no_personal_data_leaves_for_the_model(service: Service, upstream: Loopback) -> None:
    body = PICKUP["body"] + " Write to ann@shop.example or call +49 170 1234567. <script>x</script>"
    ask(service, {**PICKUP, "external_id": "T-2002", "body": body})
    sent = json.dumps(upstream.received[-1].body)
    assert "ann@shop.example" not in sent
    assert "1234567" not in sent
    assert "[EMAIL_1]" in sent
    assert "pickup" in sent.lower()


def test_with_the_server_killed_it_escalates_with_the_reason(
    demo_var: Path, tmp_path: Path
) -> None:
    with ExitStack() as upstreams_life:
        upstream = upstreams_life.enter_context(Loopback([json_reply(COMPLETION)]))
        with serving(tmp_path, **with_model(tmp_path, demo_var, upstream)) as service:
            assert ask(service, PICKUP)["status"] == "suggested"
            upstreams_life.close()
            # What was asked before could be answered from the cache.
            other = {**PICKUP, "body": PICKUP["body"].replace("three", "two")}
            made = ask(service, other)
    assert made["status"] == "escalated"
    assert "loopback-model" in made["reason"]
    assert made["steps"][2]["error"]
    assert made["steps"][2]["answer"] is None


def test_a_model_without_a_price_stops_the_service_at_start(tmp_path: Path) -> None:
    from cascade.errors import MissingPrice
    from webapp import Settings, create_app

    environment = {
        "FRUGALDESK_VAR": str(tmp_path),
        "FRUGALDESK_LLM_BASE_URL": "http://127.0.0.1:9/v1",
        "FRUGALDESK_LLM_MODEL": "priceless",
    }
    with pytest.raises(MissingPrice, match="priceless"):
        create_app(Settings.from_env(environment), open_desk=False)
