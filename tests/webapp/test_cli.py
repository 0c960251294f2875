"""The `frugaldesk` command, run as a user runs it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scoring.examples import read_examples
from scoring.registry import Registry
from tests.conftest import run_frugaldesk
from webapp import Settings
from webapp.cli import main
from webapp.errors import BadSettings


def fails(*arguments: str, **environment: str) -> str:
    """Run a command that must exit with 2 and no traceback; returns what it said."""
    done = CliRunner().invoke(main, arguments, env=environment)
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 2, done.output
    return done.stderr


def fails_on(given: str, *arguments: str, **environment: str) -> str:
    """The same where this is on its standard input, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "webapp.cli", *arguments],
        env={"PATH": "", **environment},
        input=given,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def few(demo_var: Path, tmp_path: Path) -> Path:
    """Forty held-out examples of the demo."""
    lines = (demo_var / "demo" / "examples.heldout.jsonl").read_text().splitlines()[:40]
    path = tmp_path / "few.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_score_adds_score_and_adapter_to_each_line(
    demo_var: Path, few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scored.jsonl"
    adapters = str(demo_var / "adapters")
    run_frugaldesk("score", "--examples", str(few), "--adapters", adapters, "--out", str(out))
    before = [json.loads(line) for line in few.read_text().splitlines()]
    after = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert 0 <= new["score"] <= 1
        assert new["adapter"].startswith((old["customer"]["segment"], "shared"))
        assert {**new, **old} == new


def test_evaluate_names_data_rows_and_controls(demo_var: Path, few: Path) -> None:
    adapters = str(demo_var / "adapters")
    arguments = ("evaluate", "--examples", str(few), "--adapters", adapters)
    report = json.loads(run_frugaldesk(*arguments, "--json"))
    assert report["rows"] == 40
    names = {control["name"] for control in report["controls"]}
    assert names == {"customer hidden", "customers shuffled", "shared adapter only"}
    text = run_frugaldesk(*arguments)
    assert str(few) in text
    assert "Knowing the customer is worth" in text


@pytest.mark.parametrize("command", ["train", "score", "evaluate"])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2"),
        ('{"customer": {"id": "c"}, "question": "q", "answer": 1, "label": 1}', "answer is 1"),
        ('{"customer": {"id": "c"}, "question": "q", "answer": "a", "label": 2}', "label is 2"),
        ('{"question": "q", "answer": "a", "label": 1}', "customer"),
        (
            '{"customer": {"id": "c", "features": {"x": NaN}}, "question": "q", "answer": "a",'
            ' "label": 1}',
            "'x' is no finite number",
        ),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(
    command: str, line: str, said: str, few: Path, tmp_path: Path
) -> None:
    few.write_text(few.read_text().splitlines()[0] + "\n" + line + "\n")
    out, adapters = tmp_path / "out.jsonl", tmp_path / "adapters"
    extra = ("--out", str(out)) if command == "score" else ()
    message = fails(command, "--examples", str(few), "--adapters", str(adapters), *extra)
    assert f"{few}, line 2" in message
    assert said in message
    assert not out.exists()
    assert not list(adapters.glob("*"))


def test_standard_input_is_read(tmp_path: Path) -> None:
    arguments = ("train", "--examples", "-", "--adapters", str(tmp_path / "a"))
    assert "no examples" in fails_on("\n", *arguments)
    assert "<stdin>, line 1" in fails_on("nonsense\n", *arguments)


TICKETS = """customer_id,segment,question,reply,feature.days
c-1,gold,Can I still return my jacket?,"Sure, send it back to us.",3
c-2,guest,Can I still return my jacket?,"Sorry, it is too late for a return.",90
c-2,guest,How do I wash a down sleeping bag?,By hand.,90
"""


def test_import_tickets_writes_examples_and_counts(tmp_path: Path) -> None:
    source, out = tmp_path / "tickets.csv", tmp_path / "examples.jsonl"
    source.write_text("\ufeff" + TICKETS, encoding="utf-8")
    said = run_frugaldesk("import-tickets", "--tickets", str(source), "--out", str(out))
    assert said == (
        f"{out}: 3 tickets of 2 customers, 3 positives, 2 negatives; "
        "tickets without a differing reply: 1\n"
    )
    with out.open(encoding="utf-8") as written:
        examples = read_examples(written, name="examples.jsonl")
    assert [(each.pair.customer.id, each.label) for each in examples] == [
        ("c-1", 1),
        ("c-1", 0),
        ("c-2", 1),
        ("c-2", 0),
        ("c-2", 1),
    ]


def test_import_tickets_says_that_no_negatives_were_found(tmp_path: Path) -> None:
    source, out = tmp_path / "tickets.txt", tmp_path / "examples.jsonl"
    source.write_text(TICKETS.replace("Sorry, it is too late for a return.", "Yes, you can."))
    arguments = ("import-tickets", "--tickets", str(source), "--out", str(out))
    assert "No negatives" in run_frugaldesk(*arguments, "--format", "csv")
    assert len(out.read_text().splitlines()) == 3


def test_import_tickets_names_what_is_bad_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "examples.jsonl"
    source = tmp_path / "tickets"
    whence, whither = ("import-tickets", "--tickets", str(source)), ("--out", str(out))

    def said(tickets: bytes, *more: str) -> str:
        source.write_bytes(tickets)
        return fails(*whence, *(more or whither))

    good = TICKETS.encode()
    assert "--format" in said(good)
    bad = good + b"c-3,gold,Can I?,,1\n"
    assert f"{source}, line 5: reply is None" in said(bad, *whither, "--format", "csv")
    assert f"{source}, line 1" in said(good, *whither, "--format", "jsonl")
    assert "no tickets" in said(b"\n", *whither, "--format", "csv")
    assert "is no folder" in said(good, "--out", str(tmp_path / "none" / "g.jsonl"))
    latin = TICKETS.replace("hand", "h\u00e4nd").encode("latin-1")
    assert "utf-8" in said(latin, *whither, "--format", "csv")
    assert "<stdin>, line 5: reply is None" in fails_on(
        bad.decode(), "import-tickets", "--tickets", "-", *whither, "--format", "csv"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["tickets"]


def test_an_operator_sets_up_a_tenant_of_their_own(tmp_path: Path) -> None:
    environment = {"FRUGALDESK_VAR": str(tmp_path)}
    macros = tmp_path / "macros.jsonl"
    macros.write_text(
        json.dumps({"id": "m", "title": "t", "questions": ["q?"], "body": "b"}) + "\n"
    )
    run_frugaldesk("db", "upgrade", **environment)
    run_frugaldesk("tenants", "create", "acme", "Acme", **environment)
    ada = ("users", "put", "--tenant", "acme", "ada@acme.example", "--role", "admin")
    run_frugaldesk(*ada, "--password", "long enough", **environment)
    key = run_frugaldesk("keys", "create", "--tenant", "acme", "helpdesk", **environment)
    assert key.startswith("fd_")
    told = run_frugaldesk("keys", "revoke", "--tenant", "acme", "helpdesk", **environment)
    assert "1 revoked" in told
    arguments = ("knowledge", "import", "--tenant", "acme", "--macros", str(macros))
    assert "1 imported" in run_frugaldesk(*arguments, **environment)
    macros.write_text(macros.read_text() + '{"id": "n"}\n')
    assert "line 2" in fails(*arguments, **environment)
    assert "no tenant 'nobody'" in fails("keys", "create", "--tenant", "nobody", "k", **environment)
    bob = ("users", "put", "--tenant", "acme", "bob@acme.example", "--password", "short")
    assert "at least 10" in fails(*bob, **environment)


def test_policies_are_published_listed_and_rolled_back(tmp_path: Path) -> None:
    environment = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_DEADLINE_S": "45"}
    run_frugaldesk("db", "upgrade", **environment)
    run_frugaldesk("tenants", "create", "acme", "Acme", **environment)
    mine = ("--tenant", "acme")
    assert "no policies yet" in run_frugaldesk("policies", "list", *mine, **environment)
    assert "no policy" in fails("policies", "rollback", *mine, **environment)
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    policy = {
        "tiers": [{"model": "macros", "source": "macro", "threshold": 0.7}],
        "budgets": {"per_ticket": "0.01"},
        "deadline_s": 30.0,
    }
    measured = {"cost": 0.00002, "quality": 0.9}
    made_from = {"log": "o.jsonl", "rows": 9, "ids": ["a1"], "train": measured, "choice": "all"}
    first.write_text(json.dumps({**policy, "made_from": made_from}))
    publish = ("policies", "publish", *mine, "--policy")
    told = run_frugaldesk(*publish, str(first), **environment).replace("\N{NO-BREAK SPACE}", " ")
    assert "(optimised), before: none" in told
    assert "macros needs: 70 %" in told
    assert "Log: o.jsonl, 9 rows" in told
    assert "On the rows it was chosen on: $0.00002 a ticket, 90 % right" in told
    assert "Deadline: 45 s" in told
    old = told.split()[1]
    assert "no policy was live before" in fails("policies", "rollback", *mine, **environment)

    tier = {"model": "gone", "source": "llm", "threshold": 0.5}
    second.write_text(json.dumps({**policy, "tiers": [tier]}))
    message = fails(*publish, str(second), **environment)
    assert "asks 'gone', for which this service has no provider; it has: cache, macros" in message
    second.write_text("{")
    assert f"{second}: Expecting" in fails(*publish, str(second), **environment)
    tier = {"model": "macros", "source": "macro", "threshold": 0.5}
    second.write_text(json.dumps({"tiers": [tier], "deadline_s": 30.0}))
    told = run_frugaldesk(*publish, str(second), "--limits-as-written", **environment)
    assert f"(written), before: {old}" in told
    assert "Budget for a ticket: none" in told

    listed = run_frugaldesk("policies", "list", *mine, **environment).splitlines()
    assert [line.split()[1] for line in listed] == ["live", "optimised"]
    assert f"live: {old}" in run_frugaldesk("policies", "rollback", *mine, **environment)
    assert "nothing has changed" in run_frugaldesk(
        "policies", "rollback", *mine, old, **environment
    )
    message = fails("policies", "rollback", *mine, "0123", **environment)
    assert "no policy '0123' is stored here" in message


def test_a_bad_line_of_knowledge_is_named_with_what_was_got(tmp_path: Path) -> None:
    environment = {"FRUGALDESK_VAR": str(tmp_path)}
    run_frugaldesk("db", "upgrade", **environment)
    run_frugaldesk("tenants", "create", "acme", "Acme", **environment)
    good = {"id": "m", "title": "t", "questions": ["q?"], "body": "b"}
    arguments = ("knowledge", "import", "--tenant", "acme", "--macros", "-")
    for line, said in (
        (json.dumps({**good, "body": "\ud800"}), "Invalid JSON"),
        (json.dumps({**good, "body": "a\x00"}), "body is 'a\\x00': holds the control character"),
        (json.dumps({**good, "id": "x" * 201}), "expected 1 to 200 characters"),
        (json.dumps({**good, "questions": [None]}), "questions.0 is None"),
        (json.dumps({"id": "m"}), "title is missing"),
        ("[1]", "the line is [1]"),
        ("[" * 100_000, "line 2"),
    ):
        message = fails_on(f"{json.dumps(good)}\n{line}\n", *arguments, **environment)
        assert "<stdin>, line 2" in message
        assert said in message
        assert len(message) < 400


@pytest.mark.parametrize(
    "command",
    [
        ("tenants", "create", "acme", "Acme"),
        ("users", "end", "--tenant", "acme", "ada@acme.example"),
        ("keys", "create", "--tenant", "acme", "helpdesk"),
    ],
)
def test_without_its_schema_the_database_is_not_used(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    assert "db upgrade" in fails(*command, FRUGALDESK_VAR=str(tmp_path))


def test_a_database_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    url = "postgresql://u:secret@127.0.0.1:1/n"
    environment = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_DATABASE_URL": url}
    message = fails("db", "upgrade", **environment)
    assert "FRUGALDESK_DATABASE_URL" in message
    assert "secret" not in message


def test_adapters_of_another_base_are_not_published(demo_var: Path, tmp_path: Path) -> None:
    trained, foreign = Registry(demo_var / "adapters"), Registry(tmp_path / "foreign")
    version = trained.champions()["shared"]
    manifest, files = trained.read(version, trained.manifest(version).base_digest)
    foreign.set_champions(
        {"shared": foreign.add(replace(manifest, base="other", base_digest="f" * 64), files)}
    )
    environment = {"FRUGALDESK_VAR": str(tmp_path)}
    run_frugaldesk("db", "upgrade", **environment)
    run_frugaldesk("tenants", "create", "acme", "Acme", **environment)
    publish = ("adapters", "publish", "--tenant", "acme", "--adapters")
    message = fails(*publish, str(foreign.root), **environment)
    assert "made for base other" in message
    assert "SCORER_BASE" in message
    assert not (tmp_path / "adapters").exists()
    assert version in run_frugaldesk(*publish, str(trained.root), **environment)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "http", "PORT is 'http'"),
        ("PORT", "80.7", "whole number"),
        ("FRUGALDESK_COOKIE_SECURE", "on please", "true"),
        ("FRUGALDESK_DATABASE_URL", "postgres://u:secret@h/n", "postgresql://"),
        ("FRUGALDESK_DATABASE_URL", "postgresql://u:secret@h:port/n", "postgresql://"),
        ("FRUGALDESK_DATABASE_URL", "secret", "sqlite:///"),
        ("FRUGALDESK_THRESHOLD", "1.5", "from 0 to 1"),
        ("FRUGALDESK_BUDGET_PER_TICKET", "free", "US dollars"),
        ("FRUGALDESK_BUDGET_PER_SEGMENT_DAY", "gold", "segment=dollars"),
        ("FRUGALDESK_LLM_MODEL", "llama3.2", "FRUGALDESK_LLM_BASE_URL"),
        ("FRUGALDESK_PRICES", "/nowhere/prices.toml", "FRUGALDESK_PRICES"),
    ],
)
def test_a_bad_setting_stops_the_service_with_its_name(
    variable: str, value: str, said: str, tmp_path: Path
) -> None:
    message = fails("serve", FRUGALDESK_VAR=str(tmp_path), **{variable: value})
    assert variable in message
    assert said in message
    assert "secret" not in message


def test_two_models_of_one_name_and_a_model_named_like_the_macros_are_refused(
    tmp_path: Path,
) -> None:
    var = {"FRUGALDESK_VAR": str(tmp_path)}
    first = {**var, "FRUGALDESK_LLM_MODEL": "m", "FRUGALDESK_LLM_BASE_URL": "http://127.0.0.1:1"}
    second = {"FRUGALDESK_LLM_2_MODEL": "m", "FRUGALDESK_LLM_2_BASE_URL": "http://127.0.0.1:2"}
    with pytest.raises(BadSettings, match="FRUGALDESK_LLM_2_MODEL is 'm', which is taken"):
        Settings.from_env(first | second)
    with pytest.raises(BadSettings, match="FRUGALDESK_LLM_MODEL is 'macros'"):
        Settings.from_env({**first, "FRUGALDESK_LLM_MODEL": "macros"})


@pytest.mark.parametrize(
    ("value", "secure"), [("1", True), ("True", True), ("0", False), ("no", False), ("", False)]
)
def test_a_flag_is_on_or_off(value: str, secure: bool, tmp_path: Path) -> None:
    environment = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_COOKIE_SECURE": value}
    assert Settings.from_env(environment).cookie_secure is secure
