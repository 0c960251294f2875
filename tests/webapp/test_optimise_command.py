"""`frugaldesk optimise`, as a user meets it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cascade.policy import Policy
from tests.webapp.log_files import OPTIMISE, call, call_json, log_line, made_from, usual, write
from webapp import policy_files

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


def test_the_order_in_which_the_test_log_names_its_models_does_not_matter(folder: Path) -> None:
    lines = [json.loads(line) for line in Path("test.jsonl").read_text().splitlines()]
    for line in lines:
        line["answers"].reverse()
    write("reversed.jsonl", lines)
    found = call_json(*OPTIMISE, "--test", "test.jsonl")
    other = call_json(*OPTIMISE, "--test", "reversed.jsonl")
    for figures in ("frontier", "singles", "savings", "budgets"):
        assert found[figures] == other[figures]


def test_a_model_that_only_one_of_the_logs_holds_is_left_out_or_named(folder: Path) -> None:
    more = usual(80, seed=1, prefix="t", models=("useless", "small", "large"))
    write("more.jsonl", more)
    assert [each["model"] for each in call_json(*OPTIMISE, "--test", "more.jsonl")["singles"]] == [
        "small",
        "large",
    ]
    write("less.jsonl", usual(80, seed=1, prefix="t", models=("small",)))
    failed = call(*OPTIMISE, "--test", "less.jsonl", status=2)
    assert "less.jsonl does not hold large; it has: small" in failed.stderr


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


def test_one_log_cannot_be_both_what_is_chosen_on_and_what_is_measured_on(folder: Path) -> None:
    message = call(*OPTIMISE, "--test", "train.jsonl", status=2).stderr
    assert "--train and --test are both train.jsonl; give two logs" in message


@pytest.mark.parametrize(
    "wrong",
    [
        ("--budget", "1", "--quality", "0.5"),
        ("--budget", "nan"),
        ("--budget", "-1"),
        ("--quality", "1.5"),
        ("--quality", "nan"),
        ("--depth", "9"),
        ("--bins", "1"),
        ("--seed", "-1"),
        ("--human", "-1"),
        ("--human", "1", "--capacity", "2"),
        ("--human", "1", "--capacity", "2", "--tickets-a-day", "0"),
        ("--human", "1", "--capacity", "nan", "--tickets-a-day", "100"),
        ("--human", "1", "--capacity", "-5", "--tickets-a-day", "100"),
        ("--human", "1e300"),
        ("--human-quality", "0.9"),
        ("--capacity", "0.2"),
        ("--human", "1", "--tickets-a-day", "200"),
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


def test_a_models_name_is_no_formula(folder: Path) -> None:
    lines = Path("train.jsonl").read_text().replace('"small"', '"$x_{$"')
    Path("train.jsonl").write_text(lines)
    call(*OPTIMISE, "--plot", "F.svg")
    assert Path("F.svg").stat().st_size > 1000


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
