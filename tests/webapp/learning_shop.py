"""A shop whose scorer is wrong on a kind of question, and what people say about it.

Gold members used to return within sixty days and now only within thirty. The adapters were trained
before that; of the examples that were imported none speaks of the days between.
"""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiflask import APIFlask
from flask.testing import FlaskClient

from scoring.customer import Customer
from scoring.examples import Example, as_row
from tests.returns import GRANTS, QUESTIONS, REFUSALS, Trained
from tests.webapp.people import add_people
from webapp import Settings, access, adapters, create_app, customers, knowledge, models, schema
from webapp.db import Database
from webapp.training_rows import import_rows

YES = GRANTS[0]
NO = REFUSALS[0]
QUESTION = QUESTIONS[0]
SECRET = "a secret of the tests"


def is_between(customer: Customer) -> bool:
    """Whether the new rule speaks otherwise than the old one."""
    days = customer.features.get("days_since_purchase")
    return customer.segment == "gold" and isinstance(days, int) and 30 < days <= 60


@dataclass
class LearningShop:
    """One tenant over one database, with its adapters folder and an app that serves it."""

    settings: Settings
    database: Database
    tenant: str
    key: str
    apps: list[APIFlask] = field(default_factory=list)

    def app(self) -> FlaskClient:
        """A client of an app of its own, with the tenant's key, ready to answer."""
        app = create_app(self.settings, open_desk=False)
        self.apps.append(app)
        app.extensions["frugaldesk.desk"].open()
        client: FlaskClient = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.key}"
        return client

    def settle(self) -> None:
        """Wait until nothing is left to do in the background, and take on no more."""
        for app in self.apps:
            app.extensions["frugaldesk.runs"].shutdown(wait=True)

    def close(self) -> None:
        """End the apps with what they hold."""
        self.settle()
        for app in self.apps:
            app.extensions["frugaldesk.database"].close()

    def people(self, segment: str) -> list[models.Customer]:
        """The segment's customers by id."""
        with self.database.read() as session:
            mine = session.query(models.Customer).filter_by(segment=segment)
            return list(mine.order_by(models.Customer.external_id))

    def those_between(self) -> list[models.Customer]:
        """The gold members of whom the scorer thinks wrongly."""
        return [
            each
            for each in self.people("gold")
            if is_between(Customer(each.external_id, each.segment, each.features))
        ]


def open_learning_shop(
    database: Database, var: Path, trained: Trained, **told: str
) -> LearningShop:
    """Make the tenant with customers, adapters, imported examples and one macro that says yes."""
    schema.upgrade(database)
    shutil.copytree(trained.registry.root, var / "trained")
    settings = Settings.from_env(
        {
            "FRUGALDESK_VAR": str(var),
            "FRUGALDESK_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
            "FRUGALDESK_SECRET_KEY": SECRET,
            "FRUGALDESK_THRESHOLD": "0.6",
            "FRUGALDESK_CACHE": "0",
            **told,
        }
    )
    examples = [each for each in trained.examples if not is_between(each.pair.customer)]
    with database.write() as session:
        tenant = add_people(session)
        for each in known(trained.examples):
            customers.put(
                session, tenant, each.id, segment=each.segment, features=dict(each.features)
            )
        adapters.import_folder(
            session,
            tenant,
            var / "trained",
            settings.adapters,
            base_digest=trained.registry.manifest(trained.champions["shared"]).base_digest,
            actor="test",
        )
        lines = [json.dumps(as_row(each)) for each in examples]
        import_rows(session, tenant, iter(lines), "examples", SECRET)  # type: ignore[arg-type]
        knowledge.put_macro(
            session, tenant, "m-1", title="Returns", questions=list(QUESTIONS), body=YES
        )
        key = access.create_api_key(session, tenant, "test")
    return LearningShop(settings, database, tenant, key)


def known(examples: Sequence[Example]) -> list[Customer]:
    """The customers of these examples, each once."""
    by_id = {each.pair.customer.id: each.pair.customer for each in examples}
    return [by_id[name] for name in sorted(by_id)]


def ask(client: FlaskClient, customer: str, question: str = QUESTION) -> dict[str, Any]:
    """Have a ticket answered."""
    asked = {
        "ticket": {"subject": "Return", "body": question},
        "customer": {"external_id": customer},
    }
    made = client.post("/api/v1/suggestions", json=asked)
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json or {}
    return answer


def refusals(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """So many questions, each with what a person says instead of yes."""
    chance = random.Random(seed)
    return [(chance.choice(QUESTIONS), chance.choice(REFUSALS)) for _ in range(count)]


def judge(
    client: FlaskClient, people: Sequence[models.Customer], *, count: int, seed: int = 0
) -> None:
    """Answer so many tickets of these people, and say each time that the yes was wrong."""
    for number, (question, refusal) in enumerate(refusals(count, seed)):
        made = ask(client, people[number % len(people)].external_id, question)
        said = {"action": "edited", "final_text": refusal}
        given = client.post(f"/api/v1/suggestions/{made['id']}/feedback", json=said)
        assert given.status_code == 201, given.text
