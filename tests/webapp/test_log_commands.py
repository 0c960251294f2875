"""`frugaldesk replay` and `advise`, and what all commands on logs say of bad ones."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cascade.policy import Policy, Tier
from cascade.replay import read_outcomes
from tests.webapp.log_files import (
    HAND_MADE,
    OPTIMISE,
    call,
    call_json,
    log_line,
    usual,
    write,
    write_policy,
)

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


def test_a_replay_says_what_the_policy_was_made_with(folder: Path) -> None:
    human = ("--human", "0.0005")
    call(*OPTIMISE, *human, "--policy", "P.json")
    replay = ("replay", "--policy", "P.json", "--outcomes", "train.jsonl")
    assert "made with --human 0.0005" in call(*replay).stderr
    assert not call(*replay, *human).stderr
    call(*OPTIMISE, "--policy", "P.json")
    assert "no costs" in call(*replay, *human).stderr
    call(*OPTIMISE, *human, "--capacity", "0", "--policy", "P.json")
    assert not call(*replay).stderr


def test_a_replay_says_how_many_tickets_the_human_has_no_time_for(folder: Path) -> None:
    Path("P.json").write_text(HAND_MADE.to_json())
    replay = ("replay", "--policy", "P.json", "--outcomes", "test.jsonl")
    human = ("--human", "0.05", "--capacity")
    escalated = call_json(*replay)["escalated"]
    assert call_json(*replay)["beyond_capacity"] is None
    assert call_json(*replay, *human, "1")["beyond_capacity"] == 0
    assert "more than the human takes" not in call(*replay, *human, "1").stdout
    found = call_json(*replay, *human, "0.01")
    assert found["beyond_capacity"] == pytest.approx(escalated - 0.01)
    assert found["beyond_capacity"] > 0
    assert "more than the human takes" in call(*replay, *human, "0.01").stdout


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


def test_where_scoring_is_dear_a_cheap_model_saves_less(folder: Path) -> None:
    write("two.jsonl", usual(120, seed=4, models=("small", "large")))
    lost = [
        next(each for each in found["without"] if each["model"] == "small")["loss"]["value"]
        for cost in ("0", "0.01")
        for found in [call_json("advise", "--outcomes", "two.jsonl", "--scorer-cost", cost)]
    ]
    assert lost[0] > 2 * lost[1]


def test_where_no_model_helps_the_advice_says_so(folder: Path) -> None:
    write("wrong.jsonl", odd_logs()["all wrong"])
    told = call("advise", "--outcomes", "wrong.jsonl").stdout
    assert told.endswith("none adds more than its noise\n")


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
    from tests.returns import returns

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
    pairs = [
        Pair(line["question"], text, row.customer)
        for line, row in zip(lines, read.rows, strict=True)
        if row.customer is not None
        for text in row.answers
    ]
    # All at once, as the command does it: scores of other batches differ in their last digits.
    scores = iter(scorer.score(pairs, champions))
    for line in lines:
        for answer in line["answers"]:
            answer["score"] = next(scores).value
    write("full.jsonl", lines)
    again = call_json("optimise", "--train", "full.jsonl")
    assert found["frontier"] == again["frontier"]


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
