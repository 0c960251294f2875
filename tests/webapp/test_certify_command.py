"""`frugaldesk certify`, as a user meets it."""

import json
from pathlib import Path

import pytest

from cascade.errors import BadPolicy
from cascade.policy import Policy, Tier
from tests.webapp.log_files import call, call_json, easy, made_from, write, write_policy
from webapp import policy_files

# certify


@pytest.fixture
def certifiable(folder: Path) -> Path:
    """Logs of easy questions, and policies from careful to careless."""
    write("easy.jsonl", easy(200, "e"))
    write("new.jsonl", easy(200, "n"))
    write_policy("careful.json", Tier("large", "llm", 0.5))
    write_policy("frugal.json", Tier("small", "llm", 0.5), Tier("large", "llm", 0.5))
    write_policy("careless.json", Tier("small", "llm", 0.0))
    return folder


CERTIFY = ("certify", "--outcomes", "new.jsonl", "--policy")


def test_a_good_policy_is_certified(certifiable: Path) -> None:
    told = call(*CERTIFY, "frugal.json").stdout
    assert told.startswith("Certified: at most 5.00% of the answers")
    assert "new.jsonl, 200 rows" in told
    found = call_json(*CERTIFY, "frugal.json")
    assert found["holds"]
    assert (found["log"], found["max_error"], found["confidence"]) == ("new.jsonl", 0.05, 0.95)
    assert [part["segment"] for part in found["parts"]] == [None, "gold"]
    assert found["parts"][0] | {"bound": 0} == {
        "segment": None,
        "rows": 200,
        "accepted": 200,
        "wrong": 0,
        "bound": 0,
        "verdict": "certified",
    }
    # 200 right of 200: 1 - 0.05 ** (1 / 200).
    assert found["parts"][0]["bound"] == pytest.approx(1 - 0.05 ** (1 / 200))


def test_a_bad_policy_is_not_certified_and_nothing_is_saved(certifiable: Path) -> None:
    whole = json.loads(Path("careless.json").read_text()) | {"made_from": {"log": "x", "ids": []}}
    Path("careless.json").write_text(json.dumps(whole))
    before = Path("careless.json").read_bytes()
    told = call(*CERTIFY, "careless.json", "--save", status=1).stdout
    assert told.startswith("Not certified")
    assert not call_json(*CERTIFY, "careless.json", status=1)["holds"]
    assert Path("careless.json").read_bytes() == before


def test_a_policy_that_accepts_nothing_is_not_certified(certifiable: Path) -> None:
    write_policy("silent.json", Tier("small", "llm", 1.0))
    found = call_json(*CERTIFY, "silent.json", status=1)
    assert found["parts"][0]["verdict"] == "nothing accepted"
    assert found["parts"][0]["bound"] is None


def test_of_several_policies_the_cheapest_certified_one_is_chosen(certifiable: Path) -> None:
    frugal = Policy.from_json(Path("frugal.json").read_text())
    several = ("careful.json", "--policy", "frugal.json", "--policy", "careless.json")
    found = call_json(*CERTIFY, *several)
    assert (found["policy"], found["tried"]) == (frugal.version, 3)
    # Of several only the bound that was asked for is promised.
    assert found["parts"][0]["bound"] == 0.05


def test_where_none_of_several_can_be_certified_the_nearest_is_named(certifiable: Path) -> None:
    careless = Policy.from_json(Path("careless.json").read_text())
    write_policy("silent.json", Tier("small", "llm", 1.0))
    several = ("silent.json", "--policy", "careless.json")
    message = call(*CERTIFY, *several, status=1).stderr
    assert f"the nearest is {careless.version}" in message
    found = call_json(*CERTIFY, *several, status=1)
    assert not found["holds"]
    assert careless.version in found["reason"]


def test_a_certificate_is_saved_into_the_file_that_the_service_reads(certifiable: Path) -> None:
    call("optimise", "--train", "easy.jsonl", "--policy", "P.json")
    before = json.loads(Path("P.json").read_text())
    call(*CERTIFY, "P.json", "--save", "--max-error", "0.1", "--confidence", "0.9")
    after = json.loads(Path("P.json").read_text())
    certificate = after["made_from"].pop("certificate")
    assert after == before
    tiers = Policy.from_json(Path("P.json").read_text()).tiers_version
    assert certificate == {
        "max_error": 0.1,
        "confidence": 0.9,
        "log": "new.jsonl",
        "rows": 200,
        "tiers": tiers,
    }
    file = policy_files.read(Path("P.json").read_text(), name="P.json")
    assert file.made_from is not None
    assert file.made_from["certificate"] == certificate
    message = call("certify", "--policy", "P.json", "--outcomes", "easy.jsonl", status=2).stderr
    assert "rows of easy.jsonl" in message
    # The file can be certified again, and the newer certificate takes the older one's place.
    call(*CERTIFY, "P.json", "--save")
    assert made_from("P.json")["certificate"]["max_error"] == 0.05


def test_a_file_that_cannot_be_certified_again_says_that_it_keeps_its_certificate(
    certifiable: Path,
) -> None:
    call("optimise", "--train", "easy.jsonl", "--policy", "P.json")
    hopeless = ("--save", "--max-error", "0.001")
    assert "keeps" not in call(*CERTIFY, "P.json", *hopeless, status=1).stderr
    call(*CERTIFY, "P.json", "--save")
    before = Path("P.json").read_bytes()
    message = call(*CERTIFY, "P.json", *hopeless, status=1).stderr
    assert "P.json keeps the certificate that it had; nothing was saved" in message
    assert Path("P.json").read_bytes() == before
    assert "keeps" not in call(*CERTIFY, "P.json", *hopeless[1:], status=1).stderr


def test_of_several_the_certificate_is_saved_into_the_chosen_ones_file(certifiable: Path) -> None:
    for policy in ("careful.json", "frugal.json"):
        whole = json.loads(Path(policy).read_text()) | {"made_from": {"log": "x", "ids": []}}
        Path(policy).write_text(json.dumps(whole))
    call(*CERTIFY, "careful.json", "--policy", "frugal.json", "--save")
    assert "certificate" in made_from("frugal.json")
    assert "certificate" not in made_from("careful.json")


def test_a_policy_of_unknown_making_is_certified_but_not_saved(certifiable: Path) -> None:
    before = Path("frugal.json").read_bytes()
    message = call(*CERTIFY, "frugal.json", "--save", status=2).stderr
    assert "does not say which rows the policy was made from" in message
    assert Path("frugal.json").read_bytes() == before
    certified = call(*CERTIFY, "frugal.json")
    assert "Certified" in certified.stdout
    assert "nobody can tell" in certified.stderr


def test_customers_the_scorer_learnt_from_are_refused(certifiable: Path) -> None:
    example = {"customer": {"id": "t-c-3"}, "question": "q", "answer": "a", "label": 1}
    write("examples.jsonl", [example])
    asked = ("certify", "--policy", "careful.json", "--not-in", "examples.jsonl", "--outcomes")
    message = call(*asked, "test.jsonl", status=2).stderr
    assert "row 't-3' is by customer 't-c-3'" in message
    assert "examples.jsonl" in message
    call(*asked, "train.jsonl", status=1)
    assert "has no customer" in call(*asked, "new.jsonl", status=2).stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--max-error", "0"),
        ("--max-error", "1.5"),
        ("--max-error", "nan"),
        ("--confidence", "1"),
        ("--human", "nan"),
        ("--human", "-5"),
        ("--tried", "0"),
        ("--tried", "1" * 309),
        ("--policy", "nowhere.json"),
    ],
)
def test_certificates_that_make_no_sense_exit_with_2(
    certifiable: Path, wrong: tuple[str, ...]
) -> None:
    assert call("certify", *wrong, *CERTIFY[1:], "frugal.json", status=2).stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "Expecting"),
        (b"[1]", "cannot be read"),
        (b"{}", "no 'tiers'"),
        (b"\xe4", "UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"tiers": [], "deadline_s": 30}', "no tiers"),
        (b"null", "expected an object with tiers"),
        (b'{"tiers": [], "deadline_s": 30, "budgets": []}', "expected budgets as an object"),
        (b'{"tiers": [], "deadline_s": 30, "budgets": {"per_ticket": "x"}}', "expected money"),
    ],
)
@pytest.mark.parametrize("command", ["certify", "replay"])
def test_a_bad_policy_file_is_named(
    certifiable: Path, command: str, content: bytes, said: str
) -> None:
    Path("bad.json").write_bytes(content)
    message = call(command, "--policy", "bad.json", "--outcomes", "new.jsonl", status=2).stderr
    assert "bad.json" in message
    assert said in message
    assert len(message) < 400


@pytest.mark.parametrize("origin", [[1], {"ids": 3}, {"ids": [1]}, {}])
def test_a_policy_whose_making_cannot_be_read_is_not_certified(
    certifiable: Path, origin: object
) -> None:
    whole = json.loads(Path("frugal.json").read_text()) | {"made_from": origin}
    Path("frugal.json").write_text(json.dumps(whole))
    assert "made_from" in call(*CERTIFY, "frugal.json", status=2).stderr


def test_a_policy_file_may_start_with_a_byte_order_mark(certifiable: Path) -> None:
    Path("frugal.json").write_text(Path("frugal.json").read_text(), encoding="utf-8-sig")
    call(*CERTIFY, "frugal.json")


def test_a_certificate_is_bound_to_the_tiers_it_was_made_for(certifiable: Path) -> None:
    call("optimise", "--train", "easy.jsonl", "--policy", "P.json")
    call(*CERTIFY, "P.json", "--max-error", "0.1", "--confidence", "0.9", "--save")
    whole = json.loads(Path("P.json").read_text())
    whole["tiers"][0]["threshold"] = 0.01
    with pytest.raises(BadPolicy, match="changed since; certify the policy again"):
        policy_files.read(json.dumps(whole), name="P.json")


def test_policies_tried_before_raise_the_bar(certifiable: Path) -> None:
    once = call_json(*CERTIFY, "frugal.json", "--max-error", "0.2")
    often = call_json(*CERTIFY, "frugal.json", "--max-error", "0.2", "--tried", "10")
    assert often["level"] == pytest.approx(once["level"] / 10)
    call(*CERTIFY, "frugal.json", "--policy", "careful.json", "--tried", "3", status=2)
