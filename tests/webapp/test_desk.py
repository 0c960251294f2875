"""What the desk hands to the cascade and to the scorer. Encoder and scorer are fakes."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade import Accepted, DraftRequest, Escalated, Policy, Tier
from cascade.policy import Instead
from scoring.customer import Customer
from scoring.examples import Pair
from scoring.scorer import Score, Scorer
from webapp import Settings, knowledge, models, policies, schema
from webapp.db import Database
from webapp.desk import Desk

QUESTION = "May I return my jacket?"
WORDS = ("return", "repair", "jacket")
ENVIRONMENT = {
    f"FRUGALDESK_LLM_{name}": value
    for name, value in {"MODEL": "gone", "BASE_URL": "http://127.0.0.1:1"}.items()
}
PRICES = '[[price]]\nmodel = "gone"\neffective = "2026-01-01"\n'
PRICES += 'input_per_million = "0"\noutput_per_million = "0"\n'


class CountingEncoder:
    """Embeds a text as which of three words it holds, and remembers what it was given."""

    digest = "counting"

    def __init__(self) -> None:
        self.read: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.read += texts
        rows = [[float(word in text.lower()) for word in WORDS] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), len(WORDS))


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> CountingEncoder:
    made = CountingEncoder()
    monkeypatch.setattr("scoring.encoder.load_encoder", lambda base: made)
    return made


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """Every pair the scorer is given; each gets .9."""
    seen: list[Pair] = []

    def score(_: Scorer, pairs: Sequence[Pair], champions: Mapping[str, str]) -> list[Score]:
        seen.extend(pairs)
        return [Score(0.9, "shared@1", None) for _ in pairs]

    monkeypatch.setattr(Scorer, "score", score)
    return seen


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path}/test.db")
    schema.upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def tenant(database: Database) -> str:
    with database.write() as session:
        row = models.Tenant(slug="t", name="T")
        session.add(row)
        session.flush()
        for name, title in (("m-1", "Return a jacket"), ("m-2", "Return of jackets")):
            knowledge.put_macro(
                session, row.id, name, title=title, questions=[QUESTION], body=f"Yes: {title}."
            )
        return row.id


def make_desk(database: Database, tmp_path: Path) -> Desk:
    (tmp_path / "prices.toml").write_text(PRICES)
    environment = {
        "FRUGALDESK_VAR": str(tmp_path),
        "FRUGALDESK_PRICES": str(tmp_path / "prices.toml"),
        **ENVIRONMENT,
    }
    desk = Desk(Settings.from_env(environment), database)
    desk.open()
    return desk


def ask(desk: Desk, tenant: str, ticket: str = "T-1") -> Accepted | Escalated:
    return desk.answer(
        QUESTION,
        Customer("c-1", None, {}, ()),
        desk.setup(tenant),
        ticket=ticket,
        spent_today=lambda: Decimal(0),
        on_step=lambda step: None,
    )


def test_the_scorer_reads_the_passage_nearest_to_the_question_found_once(
    database: Database, tenant: str, tmp_path: Path, encoder: CountingEncoder, scored: list[Pair]
) -> None:
    with database.write() as session:
        for name, title in (("p-1", "Repair"), ("p-2", "Return"), ("p-3", "Jackets")):
            body = f"What holds for {title}."
            knowledge.put_passage(session, tenant, name, title=title, body=body)
    desk = make_desk(database, tmp_path)
    encoder.read.clear()
    found: list[str] = []
    original = knowledge.Knowledge.passages_for

    def count(self: knowledge.Knowledge, question: str) -> object:
        found.append(question)
        return original(self, question)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge.Knowledge, "passages_for", count)
        ask(desk, tenant)
    assert found == [QUESTION]
    assert {pair.passage for pair in scored} == {"What holds for Return."}
    assert len(scored) == 2


def test_without_passages_the_scorer_is_shown_none(
    database: Database, tenant: str, tmp_path: Path, encoder: CountingEncoder, scored: list[Pair]
) -> None:
    ask(make_desk(database, tmp_path), tenant)
    assert [pair.passage for pair in scored] == [None, None]


def test_adapters_that_nobody_asked_for_lately_are_let_go(
    database: Database,
    tenant: str,
    tmp_path: Path,
    encoder: CountingEncoder,
    scored: list[Pair],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(Scorer, "load", lambda _, version: loaded.append(version))
    monkeypatch.setattr(Scorer, "unload", lambda _, version: loaded.remove(version))
    monkeypatch.setattr(Scorer, "loaded", property(lambda _: frozenset(loaded)))
    desk, request = make_desk(database, tmp_path), DraftRequest(QUESTION, Customer("c-1", None))
    for version in ("first@1", "second@2"):
        desk.score_with(request, ["Yes."], version)
    assert loaded == ["first@1", "second@2"]
    monkeypatch.setattr("webapp.desk.IDLE_SECONDS", 0)
    desk.score_with(request, ["Yes."], "second@2")
    assert loaded == ["first@1", "second@2"], "nothing was loaded, so there is no need"
    desk.score_with(request, ["Yes."], "third@3")
    assert loaded == ["third@3"]
    desk.score_with(request, ["Yes."], "first@1")
    assert loaded == ["first@1"]


def test_a_mixed_policy_sends_each_ticket_its_own_way(
    database: Database, tenant: str, tmp_path: Path, encoder: CountingEncoder, scored: list[Pair]
) -> None:
    calibrated = Tier("macros", "macro", 0.5, {}, ((0.0, 0.0), (0.9, 0.6)))
    mixed = Policy(
        (Tier("macros", "macro", 0.8),),
        instead=Instead(0.5, (Tier("gone", "llm", 0.8), calibrated)),
    )
    desk = make_desk(database, tmp_path)
    with database.write() as session:
        policies.publish(session, tenant, mixed, origin=policies.WRITTEN, actor="test")
    asked = set()
    for number in range(12):
        outcome = ask(desk, tenant, f"T-{number}")
        way = [step.model for step in outcome.steps]
        assert way == [tier.model for tier in mixed.for_ticket(f"T-{number}").tiers]
        assert isinstance(outcome, Accepted)
        assert outcome.step.score == pytest.approx(0.9 if len(way) == 1 else 0.6)
        asked.add(tuple(way))
    assert asked == {("macros",), ("gone", "macros")}


def test_the_desk_knows_what_it_can_ask(database: Database, tmp_path: Path) -> None:
    settings = Settings.from_env({"FRUGALDESK_VAR": str(tmp_path)})
    assert Desk(settings, database).sources == {"cache": "cache", "macros": "macro"}
    without = Settings.from_env({"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_CACHE": "0"})
    assert Desk(without, database).sources == {"macros": "macro"}
    assert [tier.model for tier in Desk(without, database).built_in_policy().tiers] == ["macros"]
