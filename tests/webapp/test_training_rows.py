"""Training examples in the database: imported once, read again as they were, none of the erased."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.orm import Session

from scoring.customer import Customer, Feature
from scoring.errors import BadExamples
from scoring.examples import Example, Pair, as_row, digest
from scoring.registry import FILES, Manifest, Registry
from tests.webapp.people import add_people
from webapp import adapters, models, training_rows
from webapp.cli import main
from webapp.db import Database
from webapp.erasure import erase
from webapp.tombstones import Tombstones
from webapp.training_rows import Imported, import_rows

SECRET = "kept in the settings"
LONG_AGO = datetime(2020, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def tenant(database: Database) -> str:
    with database.write() as session:
        return add_people(session)


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    url = database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("FRUGALDESK_DATABASE_URL", url)
    monkeypatch.setenv("FRUGALDESK_SECRET_KEY", SECRET)

    def call(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == code, done.output
        return done

    return call


def example(
    customer: str = "c-1", segment: str | None = "gold", *, at: datetime | None = LONG_AGO
) -> Example:
    """An example with every kind of feature, each number one that a database may write anew."""
    day = None if at is None else at.date()
    features: dict[str, Feature] = {
        "total": 100.0,
        "share": 0.1,
        "count": 3,
        "member": True,
        "word": "naïve ☂",
    }
    asker = Customer(customer, segment, features, ("2020-01-01 asked",), day)
    return Example(Pair("May I?", "Yes.", asker, "You may."), 1, at, 0.25)


def lines(*examples: Example) -> StringIO:
    return StringIO("".join(json.dumps(as_row(each)) + "\n" for each in examples))


def store(session: Session, tenant: str, *examples: Example, name: str = "file") -> Imported:
    return import_rows(session, tenant, lines(*examples), name, SECRET)


def test_examples_are_read_again_as_they_were_and_in_their_order(
    database: Database, tenant: str
) -> None:
    given = [example(f"c-{n}", ("gold", "guest", None)[n % 3]) for n in range(30)]
    given.append(example("undated", at=None))
    with database.write() as session:
        assert store(session, tenant, *given) == Imported(31, 0, 0)
    with database.read() as session:
        assert training_rows.rows(session, tenant, None) == given
        golden = [each for each in given if each.pair.customer.segment == "gold"]
        assert training_rows.rows(session, tenant, "gold") == golden
        assert training_rows.rows(session, "other", None) == []
        counted = training_rows.counts(session, tenant)
    assert counted == [(None, "file", 10), ("gold", "file", 11), ("guest", "file", 10)]


def test_what_is_stored_already_is_not_stored_again(database: Database, tenant: str) -> None:
    first, second = example("c-1"), example("c-2")
    with database.write() as session:
        assert store(session, tenant, first, first) == Imported(1, 0, 1)
    with database.write() as session:
        again = store(session, tenant, replace(first), second, name="other file")
    assert again == Imported(1, 0, 1)
    with database.read() as session:
        assert training_rows.rows(session, tenant, None) == [first, second]


def test_rows_of_the_erased_are_left_out_save_what_is_later(
    database: Database, tenant: str
) -> None:
    with database.write() as session:
        store(session, tenant, example("gone"))
        erase(session, tenant, "gone", actor="test", secret=SECRET)
    later = datetime.now(UTC) + timedelta(days=1)
    given = [
        example("gone"),
        example("gone", at=None),
        example("gone", at=later),
        example("gone", at=LONG_AGO.replace(tzinfo=None)),
        example("there"),
    ]
    with database.write() as session:
        assert store(session, tenant, *given) == Imported(2, 3, 0)
    with database.read() as session:
        assert training_rows.rows(session, tenant, None) == [given[2], given[4]]
        assert not Tombstones.of(session, tenant, "another secret").cover("gone", None)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "Expecting"),
        (json.dumps({**as_row(example()), "label": 2}), "label is 2; expected 0 or 1"),
        (json.dumps(as_row(example("c" * 201))), "customer.id has 201 characters"),
        (json.dumps(as_row(example(segment="s" * 65))), "customer.segment has 65 characters"),
        (json.dumps({**as_row(example()), "question": "a\0b"}), "U+0000"),
        (json.dumps({**as_row(example()), "answer": "\ud800"}), "half a surrogate pair"),
        (json.dumps({**as_row(example()), "history": ["\0"]}), "U+0000"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_stored(
    database: Database, tenant: str, bad: str, said: str
) -> None:
    source = StringIO(lines(example()).getvalue() + "\n" + bad + "\n")
    with database.write() as session, pytest.raises(BadExamples) as raised:
        import_rows(session, tenant, source, "rows.jsonl", SECRET)
    assert str(raised.value).startswith("rows.jsonl, line 3: ")
    assert said in str(raised.value)
    with database.write() as session, pytest.raises(BadExamples, match="no examples"):
        import_rows(session, tenant, StringIO("\n"), "rows.jsonl", SECRET)
    with database.read() as session:
        assert session.query(models.TrainingRow).count() == 0


def test_fields_that_no_example_has_stay_behind(database: Database, tenant: str) -> None:
    line = json.dumps({**as_row(example()), "phone": "555", "odd": float("nan")})
    with database.write() as session:
        assert import_rows(session, tenant, StringIO(line), "file", SECRET).count == 1
    with database.read() as session:
        assert session.query(models.TrainingRow).one().row == as_row(example())


def test_the_commands_import_and_list(
    tenant: str, command: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(example("c-1"), example("c-2", None)).getvalue())
    mine = ("--tenant", "t")
    assert "no examples are stored" in command("examples", "list", *mine).output
    arguments = ("examples", "import", *mine, "--examples", str(path))
    told = "imported, {} stored already, 0 of erased customers left out"
    assert f"2 {told.format(0)}" in command(*arguments).output
    assert f"0 {told.format(2)}" in command(*arguments).output
    listed = command("examples", "list", *mine).output
    assert listed == f"-  {path}  1\ngold  {path}  1\n"
    path.write_text(path.read_text() + "{}\n")
    assert f"{path}, line 3: customer is None" in command(*arguments, code=2).output


def test_publishing_says_whom_the_adapters_learnt_from(
    database: Database,
    tenant: str,
    command: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Encoder:
        digest = "base"

    monkeypatch.setattr("scoring.encoder.load_encoder", lambda base: Encoder())
    monkeypatch.setenv("FRUGALDESK_VAR", str(tmp_path / "var"))
    learnt, other = tmp_path / "learnt.jsonl", tmp_path / "other.jsonl"
    people = [example("c-1"), example("c-2")]
    learnt.write_text(lines(*people).getvalue())
    other.write_text(lines(example("c-3")).getvalue())
    version = add_adapter(Registry(tmp_path / "trained"), people)
    publish = ("adapters", "publish", "--tenant", "t", "--adapters", str(tmp_path / "trained"))
    said = command(*publish, "--examples", str(other), code=2).output
    assert f"{version} was trained on examples" in said
    assert f"none of {other}" in said
    with database.read() as session:
        assert session.query(models.Adapter).count() == 0
    assert version in command(*publish).output
    with database.read() as session:
        assert adapters.of_unknown_origin(session, tenant, [version]) == [version]
    command(*publish, "--examples", str(learnt), "--examples", str(other))
    with database.read() as session:
        assert adapters.of_unknown_origin(session, tenant, [version]) == []
        assert session.query(models.AdapterCustomer).count() == 3


def add_adapter(registry: Registry, learnt_from: list[Example]) -> str:
    """Add a shared adapter without content and make it the folder's champion."""
    manifest = Manifest(
        segment="shared",
        base="b",
        base_digest="base",
        data=digest(learnt_from),
        seed=0,
        examples=2,
        customers=2,
        metrics={},
        created="2026-01-01T00:00:00+00:00",
        files={},
    )
    version = registry.add(manifest, dict.fromkeys(FILES, b""))
    registry.set_champions({"shared": version})
    return version
