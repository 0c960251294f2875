"""A shop over HTTP whose one model is on loopback, with a scorer and an encoder that are rules."""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from scoring.examples import Pair
from scoring.scorer import Score, Scorer
from tests.cascade.loopback import Loopback, json_reply
from tests.webapp.people import PASSWORD, add_people
from webapp import Settings, access, create_app, customers, knowledge, models, policies
from webapp.db import Database
from webapp.desk import make_provider
from webapp.settings import LlmSettings

QUESTION = "Please cancel the order I have placed"
YES = "Yes, we will call the parcel back and cancel it for you."
NO = "No, it is too late to cancel, but you can return it."
HOURS = "We are open from nine in the morning."
PASSAGE = "Parcels are called back for gold and silver members. We are open in the morning."
SEGMENTS = ("gold", "guest", "silver")
PRICES = '[[price]]\nmodel = "model"\neffective = "2026-01-01"\n'
PRICES += 'input_per_million = "2"\noutput_per_million = "10"\nper_call = "0.001"\n'
COST = "0.0032"
"""Of 1,000 tokens in, 20 out, and one call."""


class Words:
    """Embeds a text by its words, so that texts with the same words are near each other."""

    digest = "words"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), 384), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[zlib.crc32(word.encode()) % 384] += 1
        return rows


def right(pair: Pair) -> float:
    """The rule by which the shop's answers suit its customers."""
    if pair.customer.features.get("difficult"):
        return 0.1
    if pair.answer.startswith("No"):
        return 0.95 if pair.customer.segment == "guest" else 0.05
    if pair.answer.startswith("Yes"):
        return {"gold": 0.95, "silver": 0.9}.get(pair.customer.segment or "", 0.05)
    return 0.9


class Runs(ThreadPoolExecutor):
    """The app's threads, which remember what they were given to do."""

    def __init__(self) -> None:
        super().__init__(8)
        self.submitted: list[Future[Any]] = []

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Begin it."""
        self.submitted.append(super().submit(*args, **kwargs))
        return self.submitted[-1]


@dataclass
class CacheShop:
    """One tenant with customers, served by apps over one database."""

    database: Database
    tenant: str
    key: str
    app: APIFlask
    upstream: Loopback
    reopen: Callable[[], APIFlask]

    @property
    def calls(self) -> int:
        """How often the model was asked."""
        return len(self.upstream.received)

    @property
    def api(self) -> FlaskClient:
        """A client with the tenant's key."""
        client = self.app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.key}"
        return client

    def ask(self, customer: str, body: str = QUESTION) -> dict[str, Any]:
        """Have a ticket answered, and wait until what follows it is done."""
        asked = {
            "ticket": {"subject": "Order", "body": body},
            "customer": {"external_id": customer},
        }
        made = self.api.post("/api/v1/suggestions", json=asked)
        assert made.status_code == 201, made.text
        self.settle()
        answer: dict[str, Any] = made.json or {}
        return answer

    def judge(self, made: Mapping[str, Any], action: str, **fields: Any) -> None:
        """Give feedback, and wait until it is learnt."""
        body = {"action": action, **fields}
        given = self.api.post(f"/api/v1/suggestions/{made['id']}/feedback", json=body)
        assert given.status_code == 201, given.text
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is left to do in the background."""
        runs = self.app.extensions["frugaldesk.runs"]
        for each in list(runs.submitted):
            each.result(timeout=20)

    def entries(self) -> list[models.CacheEntry]:
        """What is kept, the oldest first."""
        with self.database.read() as session:
            ordered = select(models.CacheEntry).order_by(models.CacheEntry.created_at)
            return list(session.scalars(ordered))

    def scopes(self) -> dict[str, str]:
        """The scope of every kept answer."""
        return {each.answer: each.scope for each in self.entries()}

    def restart(self) -> None:
        """Serve from another app, as another process would."""
        self.app = self.reopen()

    def signed_in(self, role: str) -> FlaskClient:
        """A browser in which a person of that role is signed in."""
        client = self.app.test_client()
        client.environ_base["HTTP_ACCEPT"] = "text/html"
        fields = {"email": f"{role}@t.example", "password": PASSWORD}
        post(client, "/login", page="/login", **fields)
        return client


def post(client: FlaskClient, path: str, *, page: str, **fields: Any) -> TestResponse:
    """Send a form as the page has it, with the page's token."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert token
    return client.post(path, data={"csrf_token": token[1], **fields}, follow_redirects=True)


def completion(handler: BaseHTTPRequestHandler, body: Mapping[str, Any]) -> None:
    """Answer as the policy has it for the segment that the prompt names."""
    prompt = str(body)
    complete_with(HOURS if "opening hours" in prompt else NO if "guest" in prompt else YES, handler)


def complete_with(text: str, handler: BaseHTTPRequestHandler) -> None:
    """Answer with this text, for `COST`."""
    counts = {"prompt_tokens": 1000, "completion_tokens": 20}
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    json_reply({"choices": [choice], "usage": counts})(handler)


@contextmanager
def open_shop(
    database: Database, var: Path, monkeypatch: pytest.MonkeyPatch, **told: str
) -> Iterator[CacheShop]:
    """Serve a tenant with seven customers in each of three segments; `told` are more settings."""

    def score(_: Scorer, pairs: Sequence[Pair], champions: Mapping[str, str]) -> list[Score]:
        return [Score(right(each), "shared@1", None) for each in pairs]

    monkeypatch.setattr("scoring.encoder.load_encoder", lambda base: Words())
    monkeypatch.setattr(Scorer, "score", score)
    with serving(database, var, monkeypatch, add_tenant(database), completion, **told) as shop:
        yield shop


@contextmanager
def serving(
    database: Database,
    var: Path,
    monkeypatch: pytest.MonkeyPatch,
    tenant_and_key: tuple[str, str],
    complete: Callable[[BaseHTTPRequestHandler, Mapping[str, Any]], None],
    **told: str,
) -> Iterator[CacheShop]:
    """Serve a tenant whose one model completes as told."""
    made: list[Any] = []

    def keep(llm: LlmSettings) -> Any:
        made.append(make_provider(llm))
        return made[-1]

    monkeypatch.setattr("webapp.desk.make_provider", keep)
    (var / "prices.toml").write_text(PRICES)
    apps: list[APIFlask] = []
    with Loopback([]) as upstream:
        upstream.script.append(lambda handler: complete(handler, upstream.received[-1].body))
        environment = {
            "FRUGALDESK_VAR": str(var),
            "FRUGALDESK_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
            "FRUGALDESK_PRICES": str(var / "prices.toml"),
            "FRUGALDESK_LLM_MODEL": "model",
            "FRUGALDESK_LLM_BASE_URL": f"{upstream.url}/v1",
            **told,
        }

        def reopen() -> APIFlask:
            apps.append(create_app(Settings.from_env(environment), open_desk=False))
            apps[-1].extensions["frugaldesk.desk"].open()
            apps[-1].extensions["frugaldesk.runs"] = Runs()
            return apps[-1]

        yield CacheShop(database, *tenant_and_key, reopen(), upstream, reopen)
        for app in apps:
            app.extensions["frugaldesk.runs"].shutdown()
            app.extensions["frugaldesk.database"].close()
        for provider in made:
            provider.close()


def add_tenant(database: Database) -> tuple[str, str]:
    """Add the tenant with its people, customers and one passage; return its id and a key."""
    with database.write() as session:
        tenant_id = add_people(session)
        for segment in SEGMENTS:
            for number in range(1, 8):
                put_customer(session, tenant_id, f"{segment}-{number}", segment)
        knowledge.put_passage(session, tenant_id, "p-1", title="Cancelling", body=PASSAGE)
        return tenant_id, access.create_api_key(session, tenant_id, "test")


def put_customer(
    session: Session, tenant: str, name: str, segment: str, *, difficult: bool = False
) -> None:
    """Add a customer; nothing suits one who is difficult."""
    features: dict[str, str | bool] = {"membership": segment, "difficult": difficult}
    customers.put(session, tenant, name, segment=segment, features=features)


def publish(shop: CacheShop, policy: Any) -> None:
    """Make another policy live."""
    with shop.database.write() as session:
        policies.publish(session, shop.tenant, policy, origin=policies.WRITTEN, actor="test")
