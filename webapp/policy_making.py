"""What a policy file says of its making: `optimise` writes it, `certify` and `replay` read it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade import certify as certificates
from cascade.baselines import best_single
from cascade.errors import BadPolicy
from cascade.optimiser import Point, Search
from cascade.policy import Policy
from webapp import outputs
from webapp.log_reports import Report
from webapp.policy_commands import policy_text

Origin = Mapping[str, Any]
"""A file's `made_from`: the log, its rows by hash, what was asked for and counted, estimates."""


def origin_of(
    chosen: Point, report: Report, *, budget: float | None, quality: float | None
) -> Origin:
    """Return what a point on a frontier was made from: what was asked for, and what it costs."""
    asked = {"budget": budget, "quality": quality}
    choice = {name: value for name, value in asked.items() if value is not None}
    return {
        **certificates.made_from(report.train),
        "choice": choice or {"as_good_as": best_single(report.train)},
        "costs": _counted(report.frontier.search),
        **report.estimates(chosen),
    }


def write(path: Path, policy: Policy, origin: Origin) -> None:
    """Write the policy as the service loads it, with what it was made from."""
    outputs.write_json(path, json.loads(policy.to_json()) | {"made_from": origin})


def read(path: Path) -> tuple[Policy, Origin | None]:
    """Return a file's policy, and what it says it was made from; raises `BadPolicy` naming it."""
    text = policy_text(path)
    try:
        policy = Policy.from_json(text)
    except BadPolicy as exc:
        raise BadPolicy(f"{path}: {exc}") from exc
    origin = json.loads(text).get("made_from")
    if origin is not None and not isinstance(origin, dict):
        raise BadPolicy(f"{path}: made_from is {origin!r:.60}; expected an object")
    return policy, origin


def save(path: Path, certificate: certificates.Certificate, tiers: str) -> None:
    """Add what was certified to a policy's file, from which the service keeps watch over it."""
    whole = json.loads(policy_text(path))
    origin = whole["made_from"]
    told = {name: getattr(certificate, name) for name in ("max_error", "confidence", "log")}
    origin["certificate"] = told | {"rows": certificate.parts[0].rows, "tiers": tiers}
    outputs.write_json(path, whole)


def unknown(path: Path) -> BadPolicy:
    """Return what is wrong with a file that does not say which rows its policy saw."""
    return BadPolicy(
        f"{path} does not say which rows the policy was made from, so nobody can tell whether "
        "it saw these; certify a policy that `frugaldesk optimise` wrote"
    )


def other_costs(origin: Origin | None, search: Search) -> str | None:
    """Return as options what was counted as cost when a policy was made, where `search` differs."""
    made_with = (origin or {}).get("costs")
    if not isinstance(made_with, dict) or made_with == _counted(search):
        return None
    options = " ".join(f"--{name} {value}" for name, value in made_with.items())
    return options or "no costs beside the log"


def _counted(search: Search) -> dict[str, float]:
    """Return what a search counts as cost, as its options name it; nothing for what it does not."""
    human = search.human
    priced = {"scorer-cost": search.scorer_cost, "retries": search.retries}
    told = {name: value for name, value in priced.items() if value}
    if human is None:
        return told
    return {"human": human.price, "human-quality": human.quality, "capacity": human.capacity} | told
