"""What can be promised about the answers a policy accepts, and from which rows."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from cascade.bounds import Numbers, betting_upper, binomial_upper
from cascade.errors import BadOutcomes, BadPolicy, Infeasible
from cascade.policy import Policy
from cascade.replay import Human, Outcomes, Replayed, run

Verdict = Literal["certified", "not certified", "nothing accepted"]

Bound = Callable[[Numbers], float]
"""Gives an upper bound on the mean from values (n,) in [0, 1]."""


@dataclass(frozen=True)
class Part:
    """The claim about one segment, or about all rows where `segment` is None.

    Of `rows` rows an answer was accepted in `accepted`; the share `wrong` of those was wrong, and
    in the long run at most the share `bound` is. Without accepted answers both are None.
    """

    segment: str | None
    rows: int
    accepted: int
    wrong: float | None
    bound: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Certificate:
    """With this confidence no part's share of wrong answers is above its bound.

    The first part is the whole log, the others are its segments. `tried` policies were looked at on
    this and `level` is the chance of being too low that each bound was given.
    """

    policy: str
    log: str
    max_error: float
    confidence: float
    tried: int
    claims: int
    level: float
    parts: tuple[Part, ...]

    @property
    def holds(self) -> bool:
        """Whether answers were accepted, and wherever they were the bound is low enough."""
        verdicts = [part.verdict for part in self.parts]
        return verdicts[0] == "certified" and "not certified" not in verdicts

    def as_json(self) -> dict[str, object]:
        """Everything the certificate says, as values that JSON knows."""
        return asdict(self) | {"holds": self.holds}

    def as_text(self) -> str:
        """The certificate for a person: one sentence, then a line a part."""
        width = max(len(_name(part)) for part in self.parts)
        lines = [_line(part, width) for part in self.parts]
        return "\n".join([self._sentence(), *lines])

    def _sentence(self) -> str:
        verdict = "Certified" if self.holds else "Not certified"
        return (
            f"{verdict}: at most {self.max_error:.2%} of the answers that policy {self.policy} "
            f"accepts are wrong, overall and in each segment, with {self.confidence:.2%} "
            f"confidence ({self.log}, {self.parts[0].rows} rows; policies tried: {self.tried}, "
            f"claims corrected for: {self.claims})"
        )


@dataclass(frozen=True)
class Chosen:
    """A certified policy, and what a ticket costs with it on the log, in US dollars."""

    policy: Policy
    certificate: Certificate
    cost: float


def certify(
    policy: Policy,
    outcomes: Outcomes,
    *,
    max_error: float = 0.05,
    confidence: float = 0.95,
    tried: int = 1,
) -> Certificate:
    """Bound the share of wrong answers among those the policy accepts, overall and by segment.

    The rows must be new to the scorer and to the thresholds, and like those to come. An answer is
    wrong by 1 - quality. All bounds hold together, for every number of rows: by Bonferroni over the
    log's segments and the whole, accepted answers or not, and over the policies `tried` on this
    log. Raises `BadOutcomes` for missing scores and for options that make no sense.
    """
    _check_options(max_error, confidence, tried)
    done = run(policy, outcomes)
    return _certificate(
        policy, outcomes, done, max_error, confidence, tried, (1 - confidence) / tried
    )


def cheapest(
    policies: Sequence[Policy],
    outcomes: Outcomes,
    *,
    max_error: float = 0.05,
    confidence: float = 0.95,
    human: Human | None = None,
) -> Chosen:
    """The cheapest of the policies that is certified overall and for each segment.

    Name the policies in an order that is fixed before this log is seen, the most careful first.
    Each starts with an equal part of the error chance and a certified one hands its own on to the
    next, which certifies whatever Bonferroni would and more, in any such order (the fallback
    procedure: Wiens, Pharmaceutical Statistics 2003). Only `max_error` itself is certified of
    several policies at once, so that is the parts' bound. A ticket that is not accepted costs the
    human's price too. Raises `Infeasible`, naming the nearest, where no policy is certified.
    """
    _check_options(max_error, confidence, len(policies))
    share = (1 - confidence) / len(policies)
    seen: list[Chosen] = []
    left = 0.0
    for policy in policies:
        level = share + left
        done = run(policy, outcomes, human=human)
        made = _certificate(policy, outcomes, done, max_error, confidence, len(policies), level)
        seen.append(Chosen(policy, made, float(done.cost.mean())))
        left = level if made.holds else 0.0
    certified = [each for each in seen if each.certificate.holds]
    if not certified:
        raise Infeasible(_nearest([each.certificate for each in seen]))
    best = min(certified, key=lambda each: each.cost)
    return replace(best, certificate=_at_most(best.certificate))


def fingerprint(row_id: str) -> str:
    """Twelve hex digits by which a policy file remembers a row it was made from."""
    # JSON can spell half of a surrogate pair, which plain UTF-8 refuses.
    return hashlib.sha256(row_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def made_from(outcomes: Outcomes) -> dict[str, object]:
    """What a policy file says about the log it was made from, for `check_unseen` to read."""
    ids = [fingerprint(row.id) for row in outcomes.rows]
    return {"log": outcomes.name, "rows": len(outcomes), "ids": ids}


def check_unseen(outcomes: Outcomes, origin: Mapping[str, object]) -> None:
    """Raise `BadOutcomes` if a row is among those that the policy was made from.

    `origin` is what `made_from` gave; raises `BadPolicy` for anything else.
    """
    ids = origin.get("ids")
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise BadPolicy(
            f"the policy's made_from has ids {ids!r:.60}; expected a list of strings, as "
            "`frugaldesk optimise` writes them"
        )
    known = set(ids)
    both = [row.id for row in outcomes.rows if fingerprint(row.id) in known]
    if both:
        raise BadOutcomes(
            f"{outcomes.name}: {len(both)} of {len(outcomes)} rows, {both[0]!r} among them, are "
            f"rows of {origin.get('log')}, from which the policy was made; a certificate needs "
            "rows that thresholds never saw; split the log by id"
        )


def check_unseen_customers(outcomes: Outcomes, customers: Collection[str], *, name: str) -> None:
    """Raise `BadOutcomes` if a row's customer is among these, or if a row has no customer.

    `customers` are the ids that occur in the examples the scorer learned from, `name` their file.
    """
    known = set(customers)
    for row in outcomes.rows:
        if row.customer is None:
            raise BadOutcomes(
                f"{outcomes.name}: row {row.id!r} has no customer, so nobody can tell whether the "
                f"scorer learned from them in {name}; add the customers to the log"
            )
        if row.customer.id in known:
            raise BadOutcomes(
                f"{outcomes.name}: row {row.id!r} is by customer {row.customer.id!r}, whom the "
                f"scorer knows from {name}; a certificate needs customers it never saw"
            )


def check_share(name: str, value: float) -> None:
    """Raise `BadOutcomes` unless the value is in (0, 1)."""
    if not 0 < value < 1:
        raise BadOutcomes(f"{name} is {value!r}; expected a share in (0, 1), such as 0.05")


def _certificate(
    policy: Policy,
    outcomes: Outcomes,
    done: Replayed,
    max_error: float,
    confidence: float,
    tried: int,
    chance: float,
) -> Certificate:
    """The certificate whose bounds are all high enough, except with this chance."""
    segments = (None, *outcomes.segments)
    # The only segment of a log is the whole of it, and its claim the same one.
    claims = len(segments) if len(segments) > 2 else 1
    bound = _bound(outcomes, chance / claims)
    parts = tuple(_part(segment, outcomes, done, bound, max_error) for segment in segments)
    return Certificate(
        policy=policy.version,
        log=outcomes.name,
        max_error=max_error,
        confidence=confidence,
        tried=tried,
        claims=claims * tried,
        level=chance / claims,
        parts=parts,
    )


def _bound(outcomes: Outcomes, level: float) -> Bound:
    """The bound that suits how the log is graded: right or wrong, or by degrees."""
    # The whole log is asked and not the accepted answers, so that they don't choose their bound.
    if np.isin(outcomes.quality, (0, 1)).all():
        return lambda wrong: binomial_upper(int(wrong.sum()), len(wrong), level=level)
    return lambda wrong: betting_upper(wrong, level=level)


def _part(
    segment: str | None, outcomes: Outcomes, done: Replayed, bound: Bound, max_error: float
) -> Part:
    rows = np.ones(len(outcomes), bool) if segment is None else outcomes.of_segment(segment)
    wrong = 1 - done.quality[rows & done.accepted]
    if not len(wrong):
        return Part(segment, int(rows.sum()), 0, None, None, "nothing accepted")
    most = bound(wrong)
    verdict: Verdict = "certified" if most <= max_error else "not certified"
    return Part(segment, int(rows.sum()), len(wrong), float(wrong.mean()), most, verdict)


def _at_most(made: Certificate) -> Certificate:
    """The certificate that promises `max_error` and nothing below it."""
    parts = tuple(
        part if part.bound is None else replace(part, bound=made.max_error) for part in made.parts
    )
    return replace(made, parts=parts)


def _nearest(made: Sequence[Certificate]) -> str:
    """Which of the certificates that don't hold is nearest to it, and what it lacks."""
    worst = {
        each.policy: max((part for part in each.parts if part.bound is not None), key=_height)
        for each in made
        if each.parts[0].accepted
    }
    asked = f"none of {len(made)} policies is certified at {made[0].max_error:.2%} on {made[0].log}"
    if not worst:
        return f"{asked}: none accepts an answer; lower their thresholds"
    policy, part = min(worst.items(), key=lambda each: _height(each[1]))
    return (
        f"{asked}; the nearest is {policy}, whose bound {_name(part)} is {_height(part):.2%} from "
        f"{part.accepted} accepted answers, {part.wrong:.2%} of them wrong; take more rows or "
        "higher thresholds"
    )


def _height(part: Part) -> float:
    return 1.0 if part.bound is None else part.bound


def _name(part: Part) -> str:
    return "overall" if part.segment is None else f"in {part.segment}"


def _line(part: Part, width: int) -> str:
    seen = f"  {_name(part):<{width}}  {part.accepted} of {part.rows} rows accepted"
    if part.wrong is None or part.bound is None:
        return f"{seen}: {part.verdict}"
    return f"{seen}, {part.wrong:.2%} wrong, bound {part.bound:.2%}: {part.verdict}"


def _check_options(max_error: float, confidence: float, tried: int) -> None:
    check_share("max_error", max_error)
    check_share("confidence", confidence)
    if tried < 1:
        raise BadOutcomes(f"{tried} policies were tried; expected at least one")
