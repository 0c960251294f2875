"""Logs and policies in files, and the commands that read them."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cascade.policy import Instead, Policy, Tier
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
