"""What the service did with each ticket is what a replay of its log says. Only the scorer is fake.

The tickets come in through the API, two models answer over HTTP, macros from the database, and
what is compared is what is stored.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apiflask import APIFlask
from click.testing import CliRunner
from flask.testing import FlaskClient
from numpy.typing import NDArray

import cascade
from cascade import Policy, PriceTable, Tier, Usage
from cascade.policy import Instead
from cascade.replay import Outcomes, read_outcomes, run
from scoring.customer import Customer
from scoring.examples import Pair
from scoring.scorer import Score, Scorer
from tests.cascade.loopback import Loopback, json_reply
from webapp import Settings, access, create_app, knowledge, models, policies, policy_files, schema
from webapp.cli import main
from webapp.db import Database
from webapp.desk import make_provider
from webapp.settings import LlmSettings

MODELS = ("macros", "small", "large")
SEGMENTS = ("gold", "guest", None)
TICKETS = 24
ODD_ID = "T-\u00fc-1"
MACROS = {"m-1": "Yes, {membership} members may.", "m-2": "No, you may not."}
PRICES = """
[[price]]
model = "small"
effective = "2026-01-01"
input_per_million = "0.15"
output_per_million = "0.60"

[[price]]
model = "large"
effective = "2026-01-01"
input_per_million = "2.50"
cached_input_per_million = "1.25"
output_per_million = "10.00"
per_call = "0.0003"
"""
RISING = ((0.0, 0.05), (0.3, 0.2), (0.7, 0.75), (1.0, 0.95))
POLICY = Policy(
    (
        Tier("macros", "macro", 0.8, {"gold": 0.6}, RISING),
        Tier("small", "llm", 0.7, {"guest": 0.85}),
        Tier("large", "llm", 0.6, {"gold": 0.3}, ((0.1, 0.0), (0.9, 1.0))),
    ),
    instead=Instead(0.4, (Tier("small", "llm", 0.5, {"gold": 0.75}, RISING),)),
)


def ticket(number: int) -> cascade.Ticket:
    name = ODD_ID if number == 0 else f"T-{number}"
    return cascade.Ticket(name, "Return", f"May I return jacket number {number}?")


def customer(number: int) -> Customer:
    """One of six customers, two of each segment."""
    which = number % 6
    segment = SEGMENTS[which % 3]
    return Customer(f"c-{which}", segment, {"membership": segment or "none"})


def text_of(model: str, number: int) -> str:
    return f"Model {model} says so of number {number}."


def usage_of(model: str, number: int) -> Usage:
    cached = 100 * (number % 3) if model == "large" else 0
    return Usage(900 + 37 * number, 40 + number, cached)


def score_of(question: str, answer: str, who: Customer) -> float:
    """A score in steps of a twentieth, so that some fall on thresholds, always the same."""
    digest = sha256(json.dumps([question, answer, who.id]).encode()).digest()
    return (digest[23] % 21) / 20


def completion(handler: BaseHTTPRequestHandler, asked: Mapping[str, Any]) -> None:
    """Answer as the model that is asked, about the number in the ticket."""
    model = asked["model"]
    found = re.search(r"number (\d+)", asked["messages"][1]["content"])
    assert found
    usage = usage_of(model, int(found[1]))
    message = {"content": text_of(model, int(found[1]))}
    counts = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
    }
    choice = {"message": message, "finish_reason": "stop"}
    json_reply({"choices": [choice], "usage": counts})(handler)


class WordEncoder:
    """Every text is about the same thing, so every macro is near every question."""

    digest = "words"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 2), dtype=np.float32)


@pytest.fixture
def upstream() -> Iterator[Loopback]:
    with Loopback([]) as server:
        server.script.append(lambda handler: completion(handler, server.received[-1].body))
        yield server


@pytest.fixture
def app(
    database: Database, upstream: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[APIFlask]:
    def score(_: Scorer, pairs: Sequence[Pair], champions: Mapping[str, str]) -> list[Score]:
        return [
            Score(score_of(each.question, each.answer, each.customer), "shared@1", None)
            for each in pairs
        ]

    made: list[Any] = []

    def keep(llm: LlmSettings) -> Any:
        made.append(make_provider(llm))
        return made[-1]

    monkeypatch.setattr("webapp.desk.make_provider", keep)
    monkeypatch.setattr("scoring.encoder.load_encoder", lambda base: WordEncoder())
    monkeypatch.setattr(Scorer, "score", score)
    (tmp_path / "prices.toml").write_text(PRICES)
    environment = {
        "FRUGALDESK_VAR": str(tmp_path),
        "FRUGALDESK_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "FRUGALDESK_PRICES": str(tmp_path / "prices.toml"),
        "FRUGALDESK_LLM_MODEL": "small",
        "FRUGALDESK_LLM_BASE_URL": f"{upstream.url}/v1",
        "FRUGALDESK_LLM_2_MODEL": "large",
        "FRUGALDESK_LLM_2_BASE_URL": f"{upstream.url}/v1",
    }
    schema.upgrade(database)
    app = create_app(Settings.from_env(environment), open_desk=False)
    yield app
    app.extensions["frugaldesk.database"].close()
    for provider in made:
        provider.close()


@pytest.fixture
def tenant(app: APIFlask, database: Database) -> str:
    """A tenant with macros and the policy, published as the command does it."""
    file = policy_files.read(POLICY.to_json(), name="P.json")
    with database.write() as session:
        row = models.Tenant(slug="t", name="T")
        session.add(row)
        session.flush()
        for name, body in MACROS.items():
            knowledge.put_macro(session, row.id, name, title="Return", questions=[], body=body)
        policies.publish(session, row.id, file.policy, origin=file.origin, actor="cli")
    app.extensions["frugaldesk.desk"].open()
    return row.id


@pytest.fixture
def api(app: APIFlask, database: Database, tenant: str) -> FlaskClient:
    with database.write() as session:
        key = access.create_api_key(session, tenant, "test")
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def answer_all(api: FlaskClient) -> list[dict[str, Any]]:
    """Put the customers, ask about every ticket, and read each suggestion as it was stored."""
    stored = []
    for number in range(TICKETS):
        who, asked = customer(number), ticket(number)
        profile = {"segment": who.segment, "features": dict(who.features)}
        assert api.put(f"/api/v1/customers/{who.id}", json=profile).status_code in (200, 201)
        body = {
            "ticket": {
                "external_id": asked.external_id,
                "subject": asked.subject,
                "body": asked.body,
            },
            "customer": {"external_id": who.id},
        }
        made = api.post("/api/v1/suggestions", json=body)
        assert made.status_code == 201, made.text
        assert made.json is not None
        again = api.get(f"/api/v1/suggestions/{made.json['id']}").json
        assert again is not None
        stored.append(again)
    return stored


def log() -> list[dict[str, Any]]:
    """What every model answers to every ticket, scored and priced without the service."""
    return [log_line(number) for number in range(TICKETS)]


def log_line(number: int) -> dict[str, Any]:
    who, asked, prices = customer(number), ticket(number), PriceTable.from_toml(PRICES)
    filled = [body.format(**who.features) for body in MACROS.values()]
    macro = max(filled, key=lambda text: score_of(asked.question, text, who))
    answers: list[dict[str, Any]] = [{"model": "macros", "text": macro, "cost": 0}]
    for model in ("small", "large"):
        cost = prices.cost(model, usage_of(model, number), models.utc_now())
        answers.append({"model": model, "text": text_of(model, number), "cost": float(cost)})
    for place, answer in enumerate(answers):
        answer["score"] = score_of(asked.question, answer["text"], who)
        answer["quality"] = (number + place) % 2
    profile = {"id": who.id, "segment": who.segment, "features": dict(who.features)}
    return {
        "id": asked.external_id,
        "customer": profile,
        "question": asked.question,
        "answers": answers,
    }


def live_policy(database: Database, tenant: str) -> Policy:
    with database.read() as session:
        return policies.live(session, tenant)


def test_a_replay_of_the_log_makes_the_services_decisions(
    api: FlaskClient, database: Database, tenant: str, upstream: Loopback, tmp_path: Path
) -> None:
    stored = answer_all(api)
    outcomes = read_outcomes(map(json.dumps, log()), name="log.jsonl")
    policy = live_policy(database, tenant)
    done = run(policy, outcomes)
    for place, made in enumerate(stored):
        row, model = outcomes.rows[place], int(done.model[place])
        assert made["policy"] == policy.version
        assert made["ticket"] == row.id
        assert made["segment"] == row.segment
        assert made["model"] == outcomes.models[model]
        assert made["answer"] == row.answers[model]
        assert made["tier"] == done.tier[place]
        assert made["good_enough"] == bool(done.accepted[place])
        assert made["score"] == done.chance[place]
        assert len(made["steps"]) == done.asked[place]
        assert float(made["cost_usd"]) == pytest.approx(done.cost[place], rel=1e-12)
        assert [step["error"] for step in made["steps"]] == [None] * len(made["steps"])
    check_all_happened(stored, policy, outcomes)
    calls = sum(step["model"] != "macros" for made in stored for step in made["steps"])
    assert len(upstream.received) == calls
    check_command(stored, policy, tmp_path)


def check_all_happened(stored: Sequence[Mapping[str, Any]], policy: Policy, log: Outcomes) -> None:
    """Expect that the tickets met everything a policy can do, so that the equality says much."""
    assert {made["model"] for made in stored} == set(MODELS)
    assert {made["status"] for made in stored} == {"suggested", "escalated"}
    assert {len(made["steps"]) for made in stored} == {1, 2, 3}
    assert {policy.for_ticket(row.id).tiers == policy.tiers for row in log.rows} == {True, False}
    assert {row.segment for row in log.rows} == set(SEGMENTS)
    needed = {(step["model"], step["threshold"]) for made in stored for step in made["steps"]}
    every = [*policy.tiers, *(policy.instead.tiers if policy.instead else ())]
    own = {(tier.model, value) for tier in every for value in tier.segment_thresholds.values()}
    assert own <= needed
    assert any(step["score"] == step["threshold"] for made in stored for step in made["steps"])


def check_command(stored: Sequence[Mapping[str, Any]], policy: Policy, tmp_path: Path) -> None:
    """Expect of `frugaldesk replay` the figures that the stored suggestions have."""
    lines = log()
    log_file, policy_file = tmp_path / "log.jsonl", tmp_path / "P.json"
    log_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    policy_file.write_text(policy.to_json())
    arguments = ["replay", "--policy", str(policy_file), "--outcomes", str(log_file), "--json"]
    found = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert found["policy"] == stored[0]["policy"]
    spent = sum(Decimal(made["cost_usd"]) for made in stored)
    assert found["cost"] == pytest.approx(float(spent) / TICKETS)
    escalated = sum(made["status"] == "escalated" for made in stored)
    assert found["escalated"] == pytest.approx(escalated / TICKETS)
    for tier in found["tiers"]:
        given = sum(made["model"] == tier["model"] and made["good_enough"] for made in stored)
        assert tier["accepted"] == pytest.approx(given / TICKETS)
    quality = {
        (line["id"], answer["model"]): answer["quality"]
        for line in lines
        for answer in line["answers"]
    }
    right = sum(quality[made["ticket"], made["model"]] for made in stored)
    assert found["quality"] == pytest.approx(right / TICKETS)
