"""Policy files: what one holds, which limits it takes over, and whether it can be served here."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from cascade import Budgets, Policy, Tier
from cascade.errors import BadPolicy
from cascade.policy import Source
from cascade.text import UNREADABLE
from webapp import contracts, policies
from webapp.errors import Refused
from webapp.settings import LONGEST_DEADLINE_S

LONGEST_MADE_FROM = 20_000
"""Characters that `made_from` may have as JSON, without `ids`."""


@dataclass(frozen=True)
class PolicyFile:
    """A policy, and what it says of its making; `made_from` is None for one written by hand."""

    policy: Policy
    made_from: Mapping[str, Any] | None

    @property
    def origin(self) -> str:
        """How a version that comes from this file is called."""
        return policies.WRITTEN if self.made_from is None else policies.OPTIMISED


def read(text: str, *, name: str) -> PolicyFile:
    """Return what a policy file holds, without the `ids` of the rows it was chosen on.

    Raises `BadPolicy` naming the file, what was got and what was expected.
    """
    try:
        data = json.loads(text)
        _check_storable(data)
        policy = Policy.from_json(text)
        made_from = _made_from(data.get("made_from"))
        _check_certificate(policy, made_from)
        return PolicyFile(policy, made_from)
    except RecursionError:
        raise BadPolicy(f"{name}: nested too deeply for a policy") from None
    except (ValueError, BadPolicy) as exc:
        raise BadPolicy(f"{name}: {exc}") from exc


def with_limits_of(policy: Policy, served: Policy) -> Policy:
    """Return the policy with the served one's limits wherever it has none of its own.

    Each for itself: no budget for a ticket, no daily budgets, or the deadline that a policy has
    when nothing else is said (30 s).
    """
    own, theirs = policy.budgets, served.budgets
    budgets = Budgets(
        theirs.per_ticket if own.per_ticket is None else own.per_ticket,
        own.per_segment_day or theirs.per_segment_day,
    )
    unsaid = policy.deadline_s == Policy.deadline_s
    return replace(
        policy, budgets=budgets, deadline_s=served.deadline_s if unsaid else policy.deadline_s
    )


def check_servable(policy: Policy, sources: Mapping[str, Source]) -> None:
    """Raise `Refused` for a model without a provider here, and for too long a deadline.

    `sources` says what kind of source each provider is, by its model's name.
    """
    for tier in tiers_of(policy):
        source = sources.get(tier.model)
        if source is None:
            known = ", ".join(sorted(sources))
            raise Refused(
                f"the policy asks {tier.model!r}, for which this service has no provider; it has: "
                f"{known}. Configure the model (docs/settings.md), or choose a policy without it"
            )
        if source != tier.source:
            raise Refused(f"the policy calls {tier.model!r} {tier.source}; here it is {source}")
    if policy.deadline_s > LONGEST_DEADLINE_S:
        raise Refused(
            f"deadline_s is {policy.deadline_s:g}; expected at most {LONGEST_DEADLINE_S} seconds"
        )


def tiers_of(policy: Policy) -> tuple[Tier, ...]:
    """Return every tier a ticket can meet, those of `instead` last."""
    return policy.tiers + (policy.instead.tiers if policy.instead else ())


def _made_from(data: object) -> dict[str, Any] | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise BadPolicy(f"made_from is {type(data).__name__}; expected an object")
    kept = {name: value for name, value in data.items() if name != "ids"}
    try:
        contracts.MadeFrom.model_validate(kept)
    except ValidationError as exc:
        error = exc.errors()[0]
        field = ".".join(map(str, ("made_from", *error["loc"])))
        raise BadPolicy(f"{field}: {error['msg']}") from None
    if (length := len(json.dumps(kept))) > LONGEST_MADE_FROM:
        raise BadPolicy(
            f"made_from has {length} characters without ids; expected at most {LONGEST_MADE_FROM}"
        )
    return kept


def _check_certificate(policy: Policy, made_from: Mapping[str, Any] | None) -> None:
    certificate = (made_from or {}).get("certificate")
    if certificate is not None and certificate["tiers"] != policy.tiers_version:
        raise BadPolicy(
            f"the certificate is about tiers {certificate['tiers']}, the file has "
            f"{policy.tiers_version}: they were changed since; certify the policy again, or take "
            "the certificate out of made_from"
        )


def _check_storable(value: object) -> None:
    """Raise `BadPolicy` for text and numbers that a database refuses or no page can show."""
    if isinstance(value, dict):
        for name, each in value.items():
            _check_storable(name)
            _check_storable(each)
    elif isinstance(value, list):
        for each in value:
            _check_storable(each)
    elif isinstance(value, str) and (found := UNREADABLE.search(value)):
        raise BadPolicy(f"a text holds the control character U+{ord(found[0]):04X}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadPolicy(f"a number is {value}; expected finite ones")
