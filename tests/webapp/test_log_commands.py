"""`frugaldesk optimise`, `certify`, `replay` and `advise`, as a user meets them."""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cascade.policy import Instead, Policy, Tier
from cascade.replay import read_outcomes
from webapp import policy_files
from webapp.cli import main

RIGHT = {"small": 0.6, "large": 0.9}
"""How often each model of the usual log is right."""
COST = {"small": 0.0001, "large": 0.002, "useless": 0.01}
HAND_MADE = Policy(
    (Tier("small", "llm", 0.7, {"gold": 0.5}), Tier("large", "llm", 0.6)),
    instead=Instead(0.3, (Tier("large", "llm", 0.0),)),
)


def log_line(
    name: str, answers: dict[str, tuple[float, float, float | None]], **fields: Any
) -> dict[str, Any]:
    """One question; of each model cost, quality and score, which None leaves out."""
    told = [
        {"model": model, "text": f"by {model}", "cost": cost, "quality": quality}
        | ({} if score is None else {"score": score})
        for model, (cost, quality, score) in answers.items()
    ]
    return {"id": name, "segment": "gold", "answers": told} | fields


def usual(
    count: int, *, seed: int, prefix: str = "q", models: Sequence[str] = ("small", "large")
) -> list[dict[str, Any]]:
    """Questions of two segments; scores tell right from wrong, but not always."""
    chance = random.Random(seed)

    def answer(model: str) -> tuple[float, float, float]:
        right = float(chance.random() < RIGHT.get(model, 0.0))
        score = min(1.0, max(0.0, chance.gauss(0.3 + 0.4 * right, 0.15)))
        return COST[model] * chance.uniform(0.5, 1.5), right, score

    return [
        log_line(
            f"{prefix}-{number}",
            {model: answer(model) for model in models},
            segment=("gold", "guest")[number % 2],
            customer={"id": f"{prefix}-c-{number}"},
            question="May I?",
        )
        for number in range(count)
    ]


def easy(count: int, prefix: str) -> list[dict[str, Any]]:
    """Questions that the dear model always gets right, and the cheap one wherever it is sure."""
    return [
        log_line(
            f"{prefix}-{number}",
            {"small": (0.001, *((1, 0.9) if number % 2 else (0, 0.1))), "large": (0.01, 1, 0.9)},
        )
        for number in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the commands run in, with a log to choose on and one to measure on."""
    monkeypatch.chdir(tmp_path)
    write("train.jsonl", usual(120, seed=1))
    write("test.jsonl", usual(80, seed=2, prefix="t"))
    return tmp_path


def write(name: str, lines: Sequence[object]) -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    Path(name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return name


def write_policy(name: str, *tiers: Tier) -> str:
    Path(name).write_text(Policy(tiers).to_json())
    return name


def call(*arguments: str, status: int = 0) -> Result:
    """Run a command that must end with this status, and without a traceback."""
    result = CliRunner().invoke(main, arguments)
    unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
    assert unexpected is None, repr(unexpected)
    assert result.exit_code == status, result.output
    return result


def call_json(*arguments: str, status: int = 0) -> dict[str, Any]:
    """Run a command and read the strict JSON it prints."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    printed = call(*arguments, "--json", status=status).stdout
    found: dict[str, Any] = json.loads(printed, parse_constant=refuse)
    return found


def made_from(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(name).read_text())["made_from"]
    return found


OPTIMISE = ("optimise", "--train", "train.jsonl")


# optimise


def test_the_frontier_is_told_cheapest_first_with_what_each_point_does(folder: Path) -> None:
    found = call_json(*OPTIMISE, "--test", "test.jsonl")
    assert found["train"] == {"log": "train.jsonl", "rows": 120}
    assert found["test"] == {"log": "test.jsonl", "rows": 80}
    assert found["seconds"] > 0
    points = found["frontier"]
    assert len(points) > 2
    for point in points:
        assert len(point["chain"]) == len(point["thresholds"]) > 0
        assert set(point["chain"]) <= {"small", "large"}
        for split in ("train", "test"):
            assert point[split]["cost"] > 0
            assert 0 <= point[split]["quality"] <= 1
        # What is spent needs no estimate: the log says it.
        assert point["train"]["cost"] == pytest.approx(point["expected"]["cost"])
    costs = [point["train"]["cost"] for point in points]
    assert costs == sorted(costs)
    assert points[0]["chain"] == ["small"]


def test_models_alone_and_their_mix_are_what_the_log_says(folder: Path) -> None:
    found = call_json(*OPTIMISE, "--test", "test.jsonl")
    assert [single["model"] for single in found["singles"]] == ["small", "large"]
    for split in ("train", "test"):
        lines = [json.loads(line) for line in Path(f"{split}.jsonl").read_text().splitlines()]
        for place, single in enumerate(found["singles"]):
            answers = [line["answers"][place] for line in lines]
            for figure in ("cost", "quality"):
                mean = sum(answer[figure] for answer in answers) / len(answers)
                assert single[split][figure] == pytest.approx(mean)
    assert [single["model"] for single in found["static_mix"]] == ["small", "large"]
    assert found["best_single"] == "large"


def test_without_json_the_report_names_logs_rows_and_seed(folder: Path) -> None:
    told = call(*OPTIMISE, "--test", "test.jsonl", "--seed", "3").stdout
    assert "train.jsonl: 120 rows, seed 3" in told
    assert "test.jsonl, 80 rows" in told
    assert "chosen:" in told


def test_a_policy_file_is_what_the_service_reads_and_remembers_its_rows(folder: Path) -> None:
    found = call_json(*OPTIMISE, "--test", "test.jsonl", "--policy", "P.json")
    file = policy_files.read(Path("P.json").read_text(), name="P.json")
    assert file.policy == Policy.from_json(Path("P.json").read_text())
    assert file.policy.version == found["policy"]["version"]
    assert [tier.model for tier in file.policy.tiers] == found["policy"]["chain"]
    assert file.made_from is not None
    assert (file.made_from["log"], file.made_from["rows"]) == ("train.jsonl", 120)
    for split in ("expected", "train", "test"):
        assert file.made_from[split] == found["policy"][split]
    assert len(made_from("P.json")["ids"]) == 120
    message = call("certify", "--policy", "P.json", "--outcomes", "train.jsonl", status=2).stderr
    assert "120 of 120 rows" in message
    assert "from which the policy was made" in message
    assert [path.name for path in folder.glob("P.json*")] == ["P.json"]


def test_the_same_seed_gives_the_same_policy(folder: Path) -> None:
    first, second = (call_json(*OPTIMISE)["policy"]["version"] for _ in range(2))
    assert first == second


def test_rows_of_one_log_are_not_measured_on_as_another(folder: Path) -> None:
    write("test.jsonl", [*usual(40, seed=2, prefix="t"), *usual(1, seed=1)])
    message = call(*OPTIMISE, "--test", "test.jsonl", status=2).stderr
    assert "share 1 rows, 'q-0' among them" in message


def test_a_budget_is_met_exactly(folder: Path) -> None:
    call(*OPTIMISE, "--budget", "0.001", "--policy", "P.json")
    estimate = made_from("P.json")
    assert estimate["expected"]["cost"] == pytest.approx(0.001)
    # The mix sends tickets by their names, so that a log hits its share only roughly.
    assert estimate["train"]["cost"] == pytest.approx(0.001, rel=0.2)


def test_a_quality_is_met_at_the_least_cost(folder: Path) -> None:
    low = call_json(*OPTIMISE, "--quality", "0.7")["policy"]["expected"]
    high = call_json(*OPTIMISE, "--quality", "0.85")["policy"]["expected"]
    assert low["quality"] == pytest.approx(0.7)
    assert high["quality"] == pytest.approx(0.85)
    assert low["cost"] < high["cost"]


@pytest.mark.parametrize(
    ("option", "value", "said", "nearest"),
    [
        ("--budget", "0.000001", "the cheapest, small, is expected to cost", ["small"]),
        ("--budget", "nan", "the cheapest, small, is expected to cost", ["small"]),
        ("--quality", "0.999", "the best, ", None),
    ],
)
def test_what_cannot_be_met_exits_with_3_and_names_the_nearest(
    folder: Path, option: str, value: str, said: str, nearest: list[str] | None
) -> None:
    asked = (*OPTIMISE, option, value, "--policy", "P.json")
    assert said in call(*asked, status=3).stderr
    found = call_json(*asked, status=3)
    assert said in found["infeasible"]
    assert "policy" not in found
    at_the_end = found["frontier"][0 if option == "--budget" else -1]
    assert found["nearest"]["expected"] == at_the_end["expected"]
    assert nearest in (None, found["nearest"]["chain"])
    assert not Path("P.json").exists()


def test_a_log_that_is_not_there_is_a_usage_error(folder: Path) -> None:
    message = call("optimise", "--train", "nowhere.jsonl", status=2).stderr
    assert "'--train': 'nowhere.jsonl': No such file" in message


@pytest.mark.parametrize(
    "wrong",
    [
        ("--budget", "1", "--quality", "0.5"),
        ("--quality", "1.5"),
        ("--quality", "nan"),
        ("--depth", "9"),
        ("--bins", "1"),
        ("--seed", "-1"),
        ("--human", "-1"),
        ("--human", "1", "--capacity", "2"),
        ("--human", "1", "--capacity", "2", "--tickets-a-day", "0"),
        ("--capacity", "0.2"),
        ("--scorer-cost", "nan"),
        ("--retries", "-0.1"),
    ],
)
def test_options_that_make_no_sense_exit_with_2(folder: Path, wrong: tuple[str, ...]) -> None:
    assert call("optimise", *wrong, *OPTIMISE[1:], "--policy", "P.json", status=2).stderr
    assert not Path("P.json").exists()


def test_with_a_human_the_dearest_policies_hand_tickets_over(folder: Path) -> None:
    found = call_json(*OPTIMISE, "--human", "0.5", "--capacity", "0.25")
    handed = [point["expected"]["escalated"] for point in found["frontier"]]
    assert handed[0] == 0
    assert 0 < handed[-1] <= 0.25 + 1e-9
    for point in found["frontier"]:
        assert point["train"]["cost"] == pytest.approx(point["expected"]["cost"])
        assert point["train"]["escalated"] == pytest.approx(point["expected"]["escalated"])


def test_a_humans_capacity_may_be_given_in_tickets_a_day(folder: Path) -> None:
    share = call_json(*OPTIMISE, "--human", "0.5", "--capacity", "0.25")
    a_day = call_json(*OPTIMISE, "--human", "0.5", "--capacity", "50", "--tickets-a-day", "200")
    assert share["frontier"] == a_day["frontier"]


def test_with_thresholds_per_segment_the_humans_share_is_what_it_will_be(folder: Path) -> None:
    write("apart.jsonl", apart(300))
    found = call_json("optimise", "--train", "apart.jsonl", "--human", "0.05")
    assert not found["by_segment"]["one_for_all"]
    assert any("segment_thresholds" in point for point in found["frontier"])
    for point in found["frontier"]:
        assert point["train"]["cost"] == pytest.approx(point["expected"]["cost"])
        assert point["train"]["escalated"] == pytest.approx(point["expected"]["escalated"])


def apart(count: int) -> list[dict[str, Any]]:
    """Questions of two segments, in one of which scores flatter and models are worse."""
    chance = random.Random(0)

    def answer(cost: float, share: float, more: float) -> tuple[float, float, float]:
        right = float(chance.random() < share)
        return cost, right, min(1.0, max(0.0, chance.gauss(0.35 + 0.3 * right, 0.15) + more))

    return [
        log_line(
            f"q-{number}",
            {
                "small": answer(0.001, (0.5, 0.7)[number % 2], (0.3, 0)[number % 2]),
                "large": answer(0.01, (0.6, 0.97)[number % 2], (0.3, 0)[number % 2]),
            },
            segment=("gold", "guest")[number % 2],
        )
        for number in range(count)
    ]


# Pictures


@pytest.mark.parametrize(("name", "magic"), [("F.png", b"\x89PNG\r\n"), ("F.svg", b"<?xml")])
def test_the_frontier_and_what_it_saves_are_drawn(folder: Path, name: str, magic: bytes) -> None:
    call(*OPTIMISE, "--test", "test.jsonl", "--plot", name)
    beside = name.replace("F", "F-savings")
    for path in (Path(name), Path(beside)):
        assert path.read_bytes().startswith(magic)
        assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "said"), [("F.jpg", ".png or .svg"), ("none/F.png", "none is no folder")]
)
@pytest.mark.parametrize(
    "command", [(*OPTIMISE, "--policy", "P.json"), ("advise", "--outcomes", "train.jsonl")]
)
def test_a_picture_that_cannot_be_written_is_said_first(
    folder: Path, command: tuple[str, ...], name: str, said: str
) -> None:
    before = sorted(folder.iterdir())
    result = call(*command, "--plot", name, status=2)
    assert said in result.stderr
    assert result.stdout == ""
    assert sorted(folder.iterdir()) == before


def test_a_policy_in_a_missing_folder_is_said_first(folder: Path) -> None:
    result = call(*OPTIMISE, "--policy", "none/P.json", "--plot", "F.png", status=2)
    assert "none is no folder" in result.stderr
    assert result.stdout == ""
    assert not Path("F.png").exists()


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


def test_a_certificate_is_saved_into_the_file_that_the_service_reads(certifiable: Path) -> None:
    call("optimise", "--train", "easy.jsonl", "--policy", "P.json")
    before = json.loads(Path("P.json").read_text())
    call(*CERTIFY, "P.json", "--save", "--max-error", "0.1", "--confidence", "0.9")
    after = json.loads(Path("P.json").read_text())
    certificate = after["made_from"].pop("certificate")
    assert after == before
    assert certificate == {"max_error": 0.1, "confidence": 0.9, "log": "new.jsonl", "rows": 200}
    file = policy_files.read(Path("P.json").read_text(), name="P.json")
    assert file.made_from is not None
    assert file.made_from["certificate"] == certificate
    message = call("certify", "--policy", "P.json", "--outcomes", "easy.jsonl", status=2).stderr
    assert "rows of easy.jsonl" in message
    # The file can be certified again, and the newer certificate takes the older one's place.
    call(*CERTIFY, "P.json", "--save")
    assert made_from("P.json")["certificate"]["max_error"] == 0.05


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


# replay


def test_a_replay_equals_a_count_by_hand(folder: Path) -> None:
    Path("P.json").write_text(HAND_MADE.to_json())
    found = call_json("replay", "--policy", "P.json", "--outcomes", "test.jsonl")
    lines = [json.loads(line) for line in Path("test.jsonl").read_text().splitlines()]
    by_hand = [walked(line) for line in lines]
    assert (found["log"], found["rows"]) == ("test.jsonl", 80)
    assert found["policy"] == HAND_MADE.version
    assert found["cost"] == pytest.approx(sum(each["cost"] for each in by_hand) / 80)
    assert found["quality"] == pytest.approx(sum(each["quality"] for each in by_hand) / 80)
    assert found["escalated"] == pytest.approx(1 - sum(each["accepted"] for each in by_hand) / 80)
    assert [tier["model"] for tier in found["tiers"]] == ["small", "large"]
    for tier in found["tiers"]:
        given = [each for each in by_hand if each["model"] == tier["model"] and each["accepted"]]
        assert tier["accepted"] == pytest.approx(len(given) / 80)
        right = sum(each["quality"] for each in given) / len(given)
        assert tier["right"] == pytest.approx(right)
    assert found["quality_interval"]["low"] < found["quality"] < found["quality_interval"]["high"]
    text = call("replay", "--policy", "P.json", "--outcomes", "test.jsonl").stdout
    assert f"test.jsonl, 80 rows, policy {HAND_MADE.version}" in text


def walked(line: dict[str, Any]) -> dict[str, Any]:
    """What `HAND_MADE` makes of a line, tier by tier."""
    answers: dict[str, dict[str, Any]] = {answer["model"]: answer for answer in line["answers"]}
    cost, best = 0.0, None
    for tier in HAND_MADE.for_ticket(line["id"]).tiers:
        answer = answers[tier.model]
        cost += answer["cost"]
        if best is None or answer["score"] > best["score"]:
            best = answer
        if answer["score"] >= tier.threshold_for(line["segment"]):
            return answer | {"cost": cost, "accepted": True}
    assert best is not None
    return best | {"cost": cost, "accepted": False}


def test_a_replay_says_of_a_chosen_policy_what_optimise_said(folder: Path) -> None:
    human = ("--human", "0.05", "--human-quality", "0.95")
    priced = (*human, "--retries", "0.1", "--scorer-cost", "0.0001")
    found = call_json(
        *OPTIMISE, "--test", "test.jsonl", "--budget", "0.0041", "--policy", "P.json", *priced
    )["policy"]
    replay = ("replay", "--policy", "P.json", *priced, "--outcomes")
    for split in ("train", "test"):
        again = call_json(*replay, f"{split}.jsonl")
        assert again["cost"] == pytest.approx(found[split]["cost"])
        assert again["quality"] == pytest.approx(found[split]["quality"])
        assert again["escalated"] == pytest.approx(found[split]["escalated"])


def test_a_model_that_the_log_does_not_hold_is_named(folder: Path) -> None:
    write_policy("P.json", Tier("huge", "llm", 0.5))
    message = call("replay", "--policy", "P.json", "--outcomes", "test.jsonl", status=2).stderr
    assert "asks 'huge', which test.jsonl does not hold; it has: small, large" in message


def test_a_single_row_is_replayed(folder: Path) -> None:
    write("one.jsonl", usual(1, seed=3))
    write_policy("P.json", Tier("large", "llm", 0.0))
    found = call_json("replay", "--policy", "P.json", "--outcomes", "one.jsonl")
    assert (found["rows"], found["escalated"]) == (1, 0)


# advise


def test_a_dear_model_that_is_never_right_does_not_pay(folder: Path) -> None:
    write("three.jsonl", usual(120, seed=4, models=("useless", "small", "large")))
    found = call_json("advise", "--outcomes", "three.jsonl", "--prices")
    assert (found["log"], found["rows"], found["split"]) == ("three.jsonl", 120, "5 folds")
    pays = {each["model"]: each["pays"] for each in found["without"]}
    assert pays == {"useless": False, "small": True, "large": True}
    assert next(each for each in found["without"] if not each["pays"])["pays_at"] is None
    assert [step["model"] for step in found["steps"]][2] == "useless"
    assert found["enough"] == 2
    assert found["steps"][2]["gain"]["low"] <= 0 < found["steps"][1]["gain"]["low"]
    told = call("advise", "--outcomes", "three.jsonl", "--plot", "A.svg").stdout
    assert "useless: adds less than its noise" in told
    assert "2 are enough: " in told
    assert "three.jsonl, 120 rows in 5 folds" in told
    assert Path("A.svg").read_bytes().startswith(b"<?xml")


# Scores


def unscored(count: int, prefix: str = "q") -> list[dict[str, Any]]:
    return [
        log_line(
            f"{prefix}-{number}",
            {"small": (0.0001, number % 2, None), "large": (0.002, 1, None)},
            segment=None,
            customer={
                "id": f"{prefix}-c-{number}",
                "segment": "gold",
                "features": {"membership": "gold", "days_since_purchase": 3 * number},
            },
            question="Can I return my jacket?",
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("optimise", "--policy", "P.json", "--train"),
        ("certify", "--policy", "given.json", "--outcomes"),
        ("replay", "--policy", "given.json", "--outcomes"),
        ("advise", "--outcomes"),
    ],
)
def test_without_scores_the_way_to_them_is_told(folder: Path, command: tuple[str, ...]) -> None:
    write_policy("given.json", Tier("large", "llm", 0.5))
    write("bare.jsonl", unscored(40))
    message = call(*command, "bare.jsonl", status=2).stderr
    assert "bare.jsonl: 80 answers have no score, the first is 'small''s in 'q-0'" in message
    assert "--adapters" in message
    assert not Path("P.json").exists()
    empty = call(*command, "bare.jsonl", "--adapters", "no-such-folder", status=2).stderr
    assert "no-such-folder" in empty


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one shared adapter, trained on few examples of an invented domain."""
    from scoring.encoder import load_encoder
    from scoring.registry import Registry
    from scoring.training import train
    from tests.scoring.conftest import returns

    registry = Registry(tmp_path_factory.mktemp("adapters"))
    examples = returns(120, customers=40, seed=1)
    train(
        examples,
        encoder=load_encoder(),
        registry=registry,
        progress=False,
        created=datetime(2026, 11, 1, tzinfo=UTC),
    )
    return registry.root


def test_missing_scores_are_filled_in_by_trained_adapters(folder: Path, adapters: Path) -> None:
    from scoring.encoder import load_encoder
    from scoring.examples import Pair
    from scoring.registry import Registry
    from scoring.scorer import with_champions

    lines = unscored(40)
    write("bare.jsonl", lines)
    found = call_json(
        "optimise", "--train", "bare.jsonl", "--adapters", str(adapters), "--policy", "P.json"
    )
    assert found["train"]["rows"] == 40
    read = read_outcomes(map(json.dumps, lines), name="bare.jsonl")
    scorer, champions = with_champions(load_encoder(), Registry(adapters))
    for line, row in zip(lines, read.rows, strict=True):
        assert row.customer is not None
        pairs = [Pair(line["question"], text, row.customer) for text in row.answers]
        for answer, score in zip(line["answers"], scorer.score(pairs, champions), strict=True):
            answer["score"] = score.value
    write("full.jsonl", lines)
    again = call_json("optimise", "--train", "full.jsonl")
    # Scores of other batches differ in their last digits.
    for ours, theirs in zip(found["frontier"], again["frontier"], strict=True):
        assert ours["chain"] == theirs["chain"]
        assert ours["expected"] == pytest.approx(theirs["expected"], rel=1e-3)


def test_a_row_that_cannot_be_scored_is_named(folder: Path, adapters: Path) -> None:
    lines = unscored(40)
    del lines[7]["question"]
    write("bare.jsonl", lines)
    asked = ("advise", "--outcomes", "bare.jsonl", "--adapters", str(adapters))
    message = call(*asked, status=2).stderr
    assert "bare.jsonl: row 'q-7' has no score for 'small'" in message


# Bad lines


BAD_LINES = [
    ("nonsense", "Expecting value"),
    ('"text"', "expected a JSON object"),
    (log_line("x", {"small": (0.1, 1, 0.5)}), "expected small, large"),
    (log_line("x", {"small": (0.1, 1, 0.5), "huge": (0.1, 1, 0.5)}), "expected small, large"),
    (log_line("x", {"small": (-0.1, 1, 0.5), "large": (0.1, 1, 0.5)}), "cost of 'small' is -0.1"),
    (log_line("x", {"small": (0.1, 1.2, 0.5), "large": (0.1, 1, 0.5)}), "quality of 'small'"),
    (log_line("x", {"small": (0.1, 1, 1.5), "large": (0.1, 1, 0.5)}), "score of 'small' is 1.5"),
    (log_line("q-1", {"small": (0.1, 1, 0.5), "large": (0.1, 1, 0.5)}), "id is 'q-1'"),
    (log_line("", {"small": (0.1, 1, 0.5), "large": (0.1, 1, 0.5)}), "id is ''"),
    ("[" * 100_000, "recursion"),
]


@pytest.mark.parametrize(("line", "said"), BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_written(folder: Path, line: Any, said: str) -> None:
    write_policy("given.json", Tier("large", "llm", 0.5))
    bad = write("bad.jsonl", [*usual(40, seed=1), line, *usual(3, seed=5, prefix="more")])
    for command in (
        ("optimise", "--policy", "P.json", "--plot", "F.png", "--train", bad),
        ("optimise", "--policy", "P.json", "--train", "test.jsonl", "--test", bad),
        ("certify", "--policy", "given.json", "--save", "--outcomes", bad),
        ("replay", "--policy", "given.json", "--outcomes", bad),
        ("advise", "--plot", "F.png", "--outcomes", bad),
    ):
        before = sorted(folder.iterdir())
        result = call(*command, status=2)
        assert "frugaldesk: bad.jsonl, line 41: " in result.stderr
        assert said in result.stderr
        assert len(result.stderr) < 400
        assert result.stdout == ""
        assert sorted(folder.iterdir()) == before


def test_a_line_that_is_not_utf_8_is_named(folder: Path) -> None:
    lines = [json.dumps(line) for line in usual(40, seed=1)]
    lines[20] = lines[20].replace("May I?", "Darf ich, J\u00fcrgen?")
    Path("latin.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    asked = ("optimise", "--policy", "P.json", "--train")
    message = call(*asked, "latin.jsonl", status=2).stderr
    assert "latin.jsonl, line 21: " in message
    assert "UTF-8" in message
    done = frugaldesk(*asked, "-", given=Path("latin.jsonl").read_bytes())
    assert done.returncode == 2
    assert b"<stdin>, line 21: " in done.stderr
    assert not Path("P.json").exists()


def test_a_log_may_hold_any_utf_8_and_start_with_a_byte_order_mark(folder: Path) -> None:
    lines = usual(40, seed=1)
    lines[3]["question"] = "Darf ich, J\u00fcrgen? \U0001f600"
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    Path("marked.jsonl").write_text(text, encoding="utf-8-sig")
    assert call_json("optimise", "--train", "marked.jsonl")["train"]["rows"] == 40


def test_ten_rows_are_too_few_to_choose_on(folder: Path) -> None:
    write("few.jsonl", usual(10, seed=1))
    for command in (("optimise", "--policy", "P.json", "--train"), ("advise", "--outcomes")):
        message = call(*command, "few.jsonl", status=2).stderr
        assert "few.jsonl has 10 rows" in message
    assert not Path("P.json").exists()


# Odd logs


def test_one_model_only_is_its_own_frontier(folder: Path) -> None:
    write("one.jsonl", usual(60, seed=1, models=["large"]))
    found = call_json("optimise", "--train", "one.jsonl", "--policy", "P.json")
    assert [point["chain"] for point in found["frontier"]] == [["large"]]
    assert found["policy"]["chain"] == ["large"]
    assert found["static_mix"] == found["singles"]
    replayed = call_json("replay", "--policy", "P.json", "--outcomes", "one.jsonl")
    assert replayed["quality"] == pytest.approx(found["singles"][0]["train"]["quality"])
    message = call("advise", "--outcomes", "one.jsonl", status=2).stderr
    assert "one.jsonl holds one model, 'large'; advice compares two or more" in message


def odd_logs() -> dict[str, list[dict[str, Any]]]:
    def each(small: tuple[float, ...], large: tuple[float, ...]) -> list[dict[str, Any]]:
        return [
            log_line(
                f"{number}",
                {"small": small, "large": large},  # type: ignore[dict-item]
                segment=("gold", None)[number % 2],
            )
            for number in range(40)
        ]

    varied = usual(40, seed=1)
    return {
        "all wrong": [
            {**line, "answers": [{**answer, "quality": 0} for answer in line["answers"]]}
            for line in varied
        ],
        "all right": [
            {**line, "answers": [{**answer, "quality": 1} for answer in line["answers"]]}
            for line in varied
        ],
        "all free": [
            {**line, "answers": [{**answer, "cost": 0} for answer in line["answers"]]}
            for line in varied
        ],
        "ties": each((0.001, 0.5, 0.5), (0.001, 0.5, 0.5)),
        "free ties": each((0, 1, 1), (0, 1, 1)),
        "certain and wrong": each((0.001, 0, 1), (0.002, 0, 1)),
    }


@pytest.mark.parametrize("name", odd_logs())
def test_odd_logs_have_defined_results(folder: Path, name: str) -> None:
    lines = odd_logs()[name]
    write("odd.jsonl", lines)
    write("new.jsonl", [line | {"id": f"new-{line['id']}"} for line in lines])
    perfect = name in ("all right", "free ties")
    found = call_json(
        "optimise", "--train", "odd.jsonl", "--test", "new.jsonl", "--policy", "P.json"
    )
    policy = Policy.from_json(Path("P.json").read_text())
    best = max(single["train"]["quality"] for single in found["singles"])
    assert found["policy"]["train"]["quality"] >= best - 0.1
    assert found["frontier"][0]["train"]["cost"] == pytest.approx(
        min(single["train"]["cost"] for single in found["singles"])
    )
    if name != "all free":
        # Where no model is better than another, none but the cheapest is asked.
        assert [tier.model for tier in policy.tiers] == ["small"]
    again = call_json("replay", "--policy", "P.json", "--outcomes", "new.jsonl")
    assert again["quality"] == pytest.approx(found["policy"]["test"]["quality"])
    advice = call_json("advise", "--outcomes", "odd.jsonl")
    assert 0 <= advice["enough"] <= 2
    certified = call_json(
        "certify", "--policy", "P.json", "--outcomes", "new.jsonl", "--max-error", "0.2",
        status=0 if perfect else 1,
    )  # fmt: skip
    assert certified["holds"] == perfect


# A process of its own


def frugaldesk(*arguments: str, given: bytes) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "webapp.cli", *arguments],
        input=given,
        capture_output=True,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_standard_input_is_a_log(folder: Path) -> None:
    good = Path("train.jsonl").read_bytes()
    done = frugaldesk("optimise", "--train", "-", "--budget", "1e-9", "--json", given=good)
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert found["train"] == {"log": "<stdin>", "rows": 120}
    assert found["nearest"]["chain"] == ["small"]
    assert done.stderr.startswith(b"frugaldesk: no policy costs 1e-09 USD a ticket")
    done = frugaldesk("optimise", "--train", "-", given=good + b"{\n")
    assert done.returncode == 2
    assert done.stderr.startswith(b"frugaldesk: <stdin>, line 121: ")
    assert b"Traceback" not in done.stderr
