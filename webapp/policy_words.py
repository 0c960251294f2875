"""A policy in words: what holds for a ticket, what a change changes, what was measured.

Pure functions over values, for the admin's page and the command line.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from cascade import Policy, Tier
from cascade.policy import OTHER_SEGMENTS
from webapp.display import money, percent
from webapp.drift import Drift

NONE = "none"
LONGEST_CHOICE = 200
"""Characters of `made_from.choice` that are shown."""


def facts(policy: Policy) -> dict[str, str]:
    """Return everything that holds under a policy, by what it is about."""
    told = dict(_chain(policy.tiers, ""))
    if policy.instead:
        told["Tickets that go another way"] = share(policy.instead.share)
        told |= dict(_chain(policy.instead.tiers, "Another way: "))
    return told | limits(policy)


def limits(policy: Policy) -> dict[str, str]:
    """Return the budgets and the deadline in words."""
    per_ticket, per_day = policy.budgets.per_ticket, policy.budgets.per_segment_day
    told = {"Budget for a ticket": NONE if per_ticket is None else money(per_ticket)}
    if not per_day:
        told["Budget a day"] = NONE
    for segment, limit in sorted(per_day.items()):
        whose = "every other segment" if segment == OTHER_SEGMENTS else segment
        told[f"Budget a day for {whose}"] = money(limit)
    return {**told, "Deadline": f"{policy.deadline_s:g}\N{NO-BREAK SPACE}s"}


def changes(before: Policy, after: Policy) -> list[str]:
    """Return what is no longer as it was, one thing each; empty where the policies are equal."""
    if before == after:
        return []
    old, new = facts(before), facts(after)
    told = [
        f"{about}: {old.get(about, NONE)} → {new.get(about, NONE)}"
        for about in {**new, **old}
        if old.get(about, NONE) != new.get(about, NONE)
    ]
    return told or ["Something smaller than what is shown here"]


def estimates(made_from: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what was measured when the policy was chosen, and on what; may be empty."""
    if made_from is None:
        return {}
    told = {
        "Log": ", ".join(_log(made_from)),
        "Certified": _certified(made_from.get("certificate")),
        "Chosen by": _choice(made_from.get("choice")),
        "On the rows it was chosen on": _measured(made_from.get("train")),
        "On rows kept out": _measured(made_from.get("test")),
    }
    return {about: text for about, text in told.items() if text}


def watched(drift: Drift) -> dict[str, str]:
    """Return what was certified and what feedback has said of it since."""
    told = {
        "Certified": f"at most {share(drift.max_error)} of accepted answers are wrong, with "
        f"{share(drift.confidence)} confidence",
        "Judged since": f"{drift.judged} accepted answers, {drift.wrong} of them wrong",
    }
    if drift.judged:
        told["So the share wrong is"] = f"{share(drift.lower)} to {share(drift.upper)}"
    if drift.corrected is not None:
        told["As audits let expect"] = f"{share(drift.corrected)}, from {drift.audited} audited"
    return told


def share(part: float) -> str:
    """Return a share of 1 as percent to three digits, so that a small one is not 0: "0.04 %"."""
    return f"{100 * part:.3g}\N{NO-BREAK SPACE}%"


def threshold(tier: Tier) -> str:
    """Return what an answer of this tier needs, segments with their own threshold after it."""
    own = [f"{name} {percent(value)}" for name, value in sorted(tier.segment_thresholds.items())]
    return ", ".join([percent(tier.threshold), *own])


def calibration(tier: Tier) -> str:
    """Return between which chances a calibrated tier's scores are read; empty without one."""
    if not tier.calibration:
        return ""
    least, most = tier.calibration[0][1], tier.calibration[-1][1]
    points = len(tier.calibration)
    return f"{percent(least)} to {percent(most)}, {points} point{'s' if points != 1 else ''}"


def _chain(tiers: tuple[Tier, ...], way: str) -> Iterator[tuple[str, str]]:
    yield f"{way}asked in this order".capitalize(), ", ".join(tier.model for tier in tiers)
    for tier in tiers:
        yield f"{way}{tier.model} needs", threshold(tier)
        if tier.calibration:
            yield f"{way}scores of {tier.model} stand for", calibration(tier)


def _certified(certificate: Any) -> str:
    if not certificate:
        return ""
    return (
        f"at most {share(certificate['max_error'])} wrong, with "
        f"{share(certificate['confidence'])} confidence, on {certificate['log']}, "
        f"{certificate['rows']} rows"
    )


def _log(made_from: Mapping[str, Any]) -> Iterator[str]:
    if made_from.get("log"):
        yield str(made_from["log"])
    if made_from.get("rows") is not None:
        yield f"{made_from['rows']} rows"


def _choice(choice: object) -> str:
    if isinstance(choice, dict):
        choice = ", ".join(f"{name} {_plain(value)}" for name, value in choice.items())
    elif choice is not None and not isinstance(choice, str):
        choice = json.dumps(choice)
    return str(choice or "")[:LONGEST_CHOICE]


def _plain(value: object) -> str:
    """Return a value as text, small numbers without an exponent."""
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)


def _measured(figures: Mapping[str, float] | None) -> str:
    if figures is None:
        return ""
    cost = money(Decimal(f"{figures['cost']:.3g}"))
    return f"{cost} a ticket, {percent(figures['quality'])} right"
