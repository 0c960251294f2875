"""Which models are asked in which order, what is good enough, and what it may cost."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Literal, TypeGuard, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.errors import BadPolicy
from cascade.pricing import dollars

Source = Literal["cache", "macro", "llm", "simulated"]
"""Where a tier's answers come from."""

MOST_DIGITS = 30
"""Before or behind the point, of an amount of money."""

OTHER_SEGMENTS = "*"
"""The key in `Budgets.per_segment_day` for every segment that has none of its own."""


Knots = tuple[tuple[float, float], ...]
"""Points (score, chance), both rising, between which a score's chance lies on straight lines."""


@dataclass(frozen=True)
class Tier:
    """One model of the chain and the chance of being right from which its answer is accepted.

    A score is that chance itself, unless the tier has a `calibration`, which says for this model's
    scores what they are worth. Segments may have thresholds of their own.

    >>> Tier("gpt-4o-mini", "llm", 0.8, {"guest": 0.9}).threshold_for("guest")
    0.9

    Raises `BadPolicy` for a threshold outside [0, 1], or knots that don't rise within [0, 1].
    """

    model: str
    source: Source
    threshold: float
    segment_thresholds: Mapping[str, float] = field(default_factory=dict)
    calibration: Knots = ()

    def __post_init__(self) -> None:
        if not self.model:
            raise BadPolicy("a tier has no model; name the provider that answers")
        if self.source not in get_args(Source):
            expected = ", ".join(get_args(Source))
            raise BadPolicy(f"tier {self.model!r} has source {self.source!r}; expected {expected}")
        for value in (self.threshold, *self.segment_thresholds.values()):
            _check_threshold(self.model, value)
        _check_knots(self.model, self.calibration)

    def chances(self, scores: ArrayLike) -> NDArray[np.float64]:
        """The chances of being right that scores (n,) stand for, (n,)."""
        given = np.asarray(scores, dtype=np.float64)
        if not self.calibration:
            return given
        known, worth = np.array(self.calibration, dtype=np.float64).T
        worths: NDArray[np.float64] = np.interp(given, known, worth)
        return worths

    def threshold_for(self, segment: str | None) -> float:
        """The segment's own threshold where it has one, else the tier's."""
        if segment is None:
            return self.threshold
        return self.segment_thresholds.get(segment, self.threshold)


@dataclass(frozen=True)
class Budgets:
    """Limits in US dollars: for one ticket, and for a segment's tickets of one day (UTC).

    None, or a segment that is not named, is no limit; the segment "*" speaks for all that are not
    named, customers without a segment included. Raises `BadPolicy` for negative limits.
    """

    per_ticket: Decimal | None = None
    per_segment_day: Mapping[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = [("per_ticket", self.per_ticket), *self.per_segment_day.items()]
        for name, limit in limits:
            if limit is not None and not _is_money(limit):
                raise BadPolicy(f"budget {name!r} is {limit!r}; expected a Decimal, 0 or more")

    def for_segment(self, segment: str | None) -> Decimal | None:
        """The daily limit that counts for a customer of this segment."""
        others = self.per_segment_day.get(OTHER_SEGMENTS)
        return others if segment is None else self.per_segment_day.get(segment, others)


@dataclass(frozen=True)
class Instead:
    """For a share of all tickets, in (0, 1), these tiers are asked instead of the policy's own."""

    share: float
    tiers: tuple["Tier", ...]

    def __post_init__(self) -> None:
        if not _is_number(self.share) or not 0 < self.share < 1:
            raise BadPolicy(f"a share of {self.share!r} of the tickets; expected one in (0, 1)")
        _check_chain(self.tiers)


@dataclass(frozen=True)
class Policy:
    """The chain of tiers in the order they are asked, the budgets, and seconds per ticket.

    With `instead` a share of the tickets goes another way, so that the mix hits a budget exactly.
    Raises `BadPolicy` for an empty chain, a model that occurs twice, or no time.
    """

    tiers: tuple[Tier, ...]
    budgets: Budgets = field(default_factory=Budgets)
    deadline_s: float = 30.0
    instead: Instead | None = None

    def __post_init__(self) -> None:
        _check_chain(self.tiers)
        if not _is_number(self.deadline_s) or not 0 < self.deadline_s <= sys.float_info.max:
            raise BadPolicy(
                f"deadline_s is {self.deadline_s!r:.60}; expected seconds above 0, as a float"
            )

    def for_ticket(self, name: str) -> "Policy":
        """The policy without `instead` that this ticket meets: always the same for one name."""
        if self.instead is None:
            return self
        goes_instead = _place_of(name) < self.instead.share
        tiers = self.instead.tiers if goes_instead else self.tiers
        return replace(self, tiers=tiers, instead=None)

    @property
    def version(self) -> str:
        """Twelve hex digits that change whenever anything in the policy does."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @property
    def tiers_version(self) -> str:
        """The version of the tiers and `instead` alone: what a certificate is about."""
        return Policy(self.tiers, instead=self.instead).version

    def to_json(self) -> str:
        """The policy as canonical JSON: equal policies give equal text."""
        return json.dumps(_fields(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Policy":
        """The policy that `to_json` wrote; raises `BadPolicy` for anything else."""
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise TypeError(f"expected an object with tiers, got {data!r:.60}")
            return cls(
                _tiers(data["tiers"]),
                _budgets(data.get("budgets", {})),
                _number(data["deadline_s"]),
                _instead(data.get("instead")),
            )
        except RecursionError:
            raise BadPolicy("nested too deeply for a policy") from None
        except KeyError as exc:
            raise BadPolicy(f"the policy has no {exc.args[0]!r}") from exc
        except (AttributeError, TypeError, ValueError) as exc:
            raise BadPolicy(f"the policy cannot be read: {exc}") from exc


def _fields(policy: Policy) -> dict[str, object]:
    budgets, instead = policy.budgets, policy.instead
    fields: dict[str, object] = {
        "tiers": [_tier_fields(tier) for tier in policy.tiers],
        "budgets": {
            "per_ticket": None if budgets.per_ticket is None else dollars(budgets.per_ticket),
            "per_segment_day": {
                name: dollars(value) for name, value in budgets.per_segment_day.items()
            },
        },
        "deadline_s": float(policy.deadline_s),
    }
    # What a policy does without is left out, so that its version stays what it was.
    if instead is not None:
        tiers = [_tier_fields(tier) for tier in instead.tiers]
        fields["instead"] = {"share": float(instead.share), "tiers": tiers}
    return fields


def _tier_fields(tier: Tier) -> dict[str, object]:
    own = {name: float(value) for name, value in tier.segment_thresholds.items()}
    fields: dict[str, object] = {
        "model": tier.model,
        "source": tier.source,
        "threshold": float(tier.threshold),
        "segment_thresholds": own,
    }
    if tier.calibration:
        fields["calibration"] = [[float(score), float(worth)] for score, worth in tier.calibration]
    return fields


def _place_of(name: str) -> float:
    """A place in [0, 1) that looks random and is always the same for one name."""
    # JSON can spell half of a surrogate pair, which plain UTF-8 refuses.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _tiers(data: object) -> tuple[Tier, ...]:
    if not isinstance(data, list):
        raise TypeError(f"expected a list of tiers, got {data!r}")
    return tuple(_tier(each) for each in data)


def _tier(data: Mapping[str, object]) -> Tier:
    model, thresholds = data["model"], data.get("segment_thresholds", {})
    if not isinstance(model, str) or not isinstance(thresholds, dict):
        raise TypeError(f"expected a model's name and thresholds by segment, got {data!r}")
    segments = {name: _number(value) for name, value in thresholds.items()}
    knots = _knots(data.get("calibration", []))
    return Tier(model, _source(data["source"]), _number(data["threshold"]), segments, knots)


def _knots(data: object) -> Knots:
    pairs: list[Any] = data if isinstance(data, list) else [data]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise TypeError(f"expected a calibration as pairs of score and chance, got {data!r}")
    return tuple((_number(score), _number(worth)) for score, worth in pairs)


def _instead(data: object) -> Instead | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise TypeError(f"expected a share and tiers to ask instead, got {data!r}")
    return Instead(_number(data["share"]), _tiers(data["tiers"]))


def _budgets(data: object) -> Budgets:
    if not isinstance(data, dict):
        raise TypeError(f"expected budgets as an object, got {data!r:.60}")
    per_ticket, per_day = data.get("per_ticket"), data.get("per_segment_day", {})
    if not isinstance(per_day, dict):
        raise TypeError(f"expected budgets by segment, got {per_day!r}")
    return Budgets(
        None if per_ticket is None else _decimal(per_ticket),
        {name: _decimal(value) for name, value in per_day.items()},
    )


def _source(value: object) -> Source:
    for source in get_args(Source):
        if value == source:
            return cast(Source, source)
    raise ValueError(f"expected a source out of {', '.join(get_args(Source))}, got {value!r}")


def _number(value: object) -> float:
    if not _is_number(value):
        raise TypeError(f"expected a number, got {value!r}")
    return value


def _decimal(value: object) -> Decimal:
    # A JSON number has been through binary by now, and money that was rounded is refused.
    if not isinstance(value, str):
        raise TypeError(f'expected money as a string such as "0.01", got {value!r:.60}')
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError(f'expected money such as "0.01", got {value!r:.60}') from None


def _is_money(amount: object) -> bool:
    if not (isinstance(amount, Decimal) and amount.is_finite() and amount >= 0):
        return False
    # Written out, a far exponent would be megabytes of digits.
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and abs(exponent) <= MOST_DIGITS


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_chain(tiers: tuple[Tier, ...]) -> None:
    if not tiers:
        raise BadPolicy("the policy has no tiers; name at least one model")
    models = [tier.model for tier in tiers]
    twice = next((model for model in models if models.count(model) > 1), None)
    if twice is not None:
        raise BadPolicy(f"model {twice!r} stands in two tiers; every tier has its own model")


def _check_knots(model: str, knots: Knots) -> None:
    pairs = all(len(knot) == 2 for knot in knots)
    within = all(_is_number(value) and 0 <= value <= 1 for knot in knots for value in knot)
    if not (pairs and within and _rise(knots)):
        raise BadPolicy(
            f"tier {model!r} has the calibration {knots!r}; expected pairs of score and chance in "
            "[0, 1], scores rising, chances not falling"
        )


def _rise(knots: Knots) -> bool:
    return all(low[0] < high[0] and low[1] <= high[1] for low, high in pairwise(knots))


def _check_threshold(model: str, value: object) -> None:
    if not _is_number(value) or not 0 <= value <= 1:
        raise BadPolicy(f"tier {model!r} has threshold {value!r}; expected a number in [0, 1]")
