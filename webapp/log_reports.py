"""What the commands on outcome logs print and draw: frontiers, replays, advice."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cascade.advice import Advice
from cascade.baselines import (
    Saving,
    area,
    best_single,
    budgets,
    cheapest_as_good,
    qualities_at,
    resampled,
    saving,
    singles,
    static_mix,
)
from cascade.chains import Estimate
from cascade.optimiser import Frontier, Point, Search, measured, named
from cascade.policy import Policy, Tier
from cascade.replay import Outcomes, Replayed, run
from webapp.outputs import naming


class Report:
    """What a frontier is worth on its own rows and on others, beside the baselines."""

    def __init__(
        self,
        frontier: Frontier,
        train: Outcomes,
        test: Outcomes | None,
        chosen: Point,
        problem: str | None = None,
    ) -> None:
        self.frontier, self.train, self.test, self.chosen = frontier, train, test, chosen
        self.search, self.problem = frontier.search, problem

    def as_json(self) -> dict[str, Any]:
        """Return everything; costs are US dollars a ticket."""
        report: dict[str, Any] = {
            "train": {"log": self.train.name, "rows": len(self.train)},
            "test": None if self.test is None else {"log": self.test.name, "rows": len(self.test)},
            "seed": self.search.seed,
            "frontier": [self._point(point) for point in self.frontier.points],
            "singles": self._singles(),
            "static_mix": self._static_mix(),
            "best_single": best_single(self.train),
            "cheapest_as_good": cheapest_as_good(self.train),
            "by_segment": self._pooled(),
            "chains": self.frontier.chains,
            "skipped": self.frontier.skipped,
            "seconds": round(self.frontier.seconds, 3),
        }
        if self.test is not None:
            report |= self._beside(self.test)
        report["static_mix_at_the_policys_cost"] = self._mix_at_its_cost()
        report["policy"] = self._point(self.chosen) | {"version": self.chosen.policy.version}
        if self.problem is not None:
            report["infeasible"] = self.problem
            report["nearest"] = report.pop("policy")
        return report

    def as_text(self) -> str:
        """Return the corners of the frontier, the baselines, and the policy that was chosen."""
        lines = [
            f"{self.train.name}: {len(self.train)} rows, seed {self.search.seed}; "
            f"{self.frontier.chains} chains with all their thresholds in "
            f"{self.frontier.seconds:.1f} s",
            self._heading(),
            *(self._line(point) for point in self.frontier.corners),
            "",
            "one model for all:",
            *(self._single_line(single) for single in self._singles()),
            "",
            f"best alone on {self.train.name}: {best_single(self.train)}; the cheapest that is not "
            f"significantly worse: {cheapest_as_good(self.train)}",
            *self._segment_lines(),
            *([] if self.test is None else self._beside_lines(self.test)),
            "",
            "chosen:" if self.problem is None else "the nearest that can be had:",
            self._line(self.chosen),
            f"no tier accepts an answer to {self.chosen.expected.escalated:.1%} of the tickets; "
            + self._exhausted(),
            f"best static mix at its cost, by {self.train.name}: {self._mix_at_its_cost():.4f}",
        ]
        return "\n".join(lines)

    def estimates(self, point: Point) -> dict[str, Any]:
        """Return what a point is expected to do, and did on each log."""
        found: dict[str, Any] = {"expected": _estimate(point.expected)}
        found["train"] = _estimate(measured(point.policy, self.train, self.search))
        if self.test is not None:
            found["test"] = _estimate(measured(point.policy, self.test, self.search))
        return found

    def _point(self, point: Point) -> dict[str, Any]:
        policy = point.policy
        return _chain(policy.tiers) | self.estimates(point) | _instead(policy)

    def _singles(self) -> list[dict[str, Any]]:
        test = singles(self.test, self.search) if self.test else [None] * len(self.train.models)
        return [
            {"model": own.model, "train": _estimate(own.estimate)}
            | ({} if other is None else {"test": _estimate(other.estimate)})
            for own, other in zip(singles(self.train, self.search), test, strict=True)
        ]

    def _static_mix(self) -> list[dict[str, Any]]:
        mix = static_mix(singles(self.train, self.search)).singles
        return [{"model": each.model, "train": _estimate(each.estimate)} for each in mix]

    def _pooled(self) -> dict[str, Any] | None:
        pooled = self.frontier.pooled
        return None if pooled is None else asdict(pooled) | {"one_for_all": pooled.kept}

    def _beside(self, test: Outcomes) -> dict[str, Any]:
        """Return the averages over budgets and the savings, on the test rows."""
        spending = budgets(self.train, self.search)
        ours = qualities_at(self.frontier, spending, test)
        mix = static_mix(singles(test, self.search))
        by_budget = [mix.quality_at(float(usd)) for usd in spending]
        return {
            "budgets": {
                "usd": [float(usd) for usd in spending],
                "frontier": asdict(area(ours)),
                "static_mix_in_hindsight": sum(by_budget) / len(by_budget),
            },
            "savings": [_saving(each) for each in self._savings(test)],
        }

    def _savings(self, test: Outcomes) -> list[Saving]:
        models = dict.fromkeys([best_single(self.train), cheapest_as_good(self.train)])
        return [saving(self.frontier, model, self.train, test) for model in models]

    def _heading(self) -> str:
        where = ["expected", self.train.name, *([] if self.test is None else [self.test.name])]
        return "".join(f"{Path(name).name[-20:]:>22}" for name in where) + "   (USD/1,000, right)"

    def _line(self, point: Point) -> str:
        found = [point.expected, measured(point.policy, self.train, self.search)]
        found += [] if self.test is None else [measured(point.policy, self.test, self.search)]
        pairs = "".join(_pair(each.cost, each.quality) for each in found)
        return f"{pairs}   {named(point.policy)}"

    def _mix_at_its_cost(self) -> float:
        mix = static_mix(singles(self.train, self.search))
        return mix.quality_at(self.chosen.expected.cost)

    def _exhausted(self) -> str:
        if self.search.human is not None:
            return "they go to the human, whose price is in the cost"
        return "the best-scored answer counts, and the service lets a person look at it first"

    def _single_line(self, single: Mapping[str, Any]) -> str:
        found = [single[part] for part in ("train", "test") if part in single]
        pairs = "".join(_pair(each["cost"], each["quality"]) for each in found)
        return f"{'':22}{pairs}   {single['model']}"

    def _segment_lines(self) -> list[str]:
        pooled = self.frontier.pooled
        if pooled is None:
            return []
        verdict = "one threshold for all is kept" if pooled.kept else "segments have their own"
        return [
            f"thresholds per segment, drawn to all by {pooled.rows:g} rows: {pooled.gain:+.4f} "
            f"in quality at equal cost (standard error {pooled.error:.4f}), across folds of "
            f"{self.train.name}; {verdict}"
        ]

    def _beside_lines(self, test: Outcomes) -> list[str]:
        found = self._beside(test)["budgets"]
        ours = found["frontier"]
        lines = [
            f"{test.name}, {len(test)} rows, averaged over {len(found['usd'])} budgets: frontier "
            f"{ours['value']:.4f} ({ours['low']:.4f} to {ours['high']:.4f}); best static mix in "
            f"hindsight {found['static_mix_in_hindsight']:.4f}"
        ]
        for each in self._savings(test):
            lines.append(
                f"beside {each.model} on {test.name}: saves {each.saved}, quality differs by "
                f"{each.quality}"
            )
        return lines


def replayed(policy: Policy, outcomes: Outcomes, search: Search) -> dict[str, Any]:
    """Return what a policy does on a log, beside the best model alone and the static mix."""
    done = run(policy, search.priced(outcomes), human=search.human)
    alone = singles(outcomes, search)
    best = next(each for each in alone if each.model == best_single(outcomes))
    cost, escalated = float(done.cost.mean()), float((~done.accepted).mean())
    human = search.human
    return {
        "log": outcomes.name,
        "rows": len(outcomes),
        "policy": policy.version,
        "chain": named(policy),
        "cost": cost,
        "cost_interval": asdict(_interval(done.cost)),
        "quality": float(done.quality.mean()),
        "quality_interval": asdict(_interval(done.quality)),
        "escalated": escalated,
        "beyond_capacity": None if human is None else max(0.0, escalated - human.capacity),
        "tiers": _shares(done, outcomes),
        "best_single": {"model": best.model} | _estimate(best.estimate),
        "cheapest_as_good": cheapest_as_good(outcomes),
        "singles": [{"model": each.model} | _estimate(each.estimate) for each in alone],
        "static_mix_at_this_cost": static_mix(alone).quality_at(cost),
    }


def _shares(done: Replayed, outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return in what share each model's answers are accepted, and how often they are right."""
    found = []
    for place in sorted(set(done.model.tolist())):
        given = (done.model == place) & done.accepted
        right = float(outcomes.quality[given, place].mean()) if given.any() else None
        found.append(
            {
                "model": outcomes.models[place],
                "accepted": float(given.mean()),
                "right": right,
                "best_of_escalated": float(((done.model == place) & ~done.accepted).mean()),
            }
        )
    return found


def _interval(values: Any) -> Any:
    return resampled(values, lambda sample: float(sample.mean()))


def replay_text(found: Mapping[str, Any]) -> str:
    """Return a replay for a person."""
    quality, best = found["quality_interval"], found["best_single"]
    lines = [
        f"{found['log']}, {found['rows']} rows, policy {found['policy']}: {found['chain']}",
        f"right {found['quality']:.4f} ({quality['low']:.4f} to {quality['high']:.4f}) for "
        f"{1000 * found['cost']:.4g} USD per 1,000; escalated {found['escalated']:.1%}",
    ]
    if found["beyond_capacity"]:
        lines.append(
            f"that is {found['beyond_capacity']:.1%} of all tickets more than the human takes; "
            "they are counted here as if answered all the same"
        )
    for tier in found["tiers"]:
        right = "-" if tier["right"] is None else f"{tier['right']:.1%}"
        lines.append(f"  {tier['model']}: answers {tier['accepted']:.1%}, of those right {right}")
    lines.append(
        f"best alone: {best['model']}, right {best['quality']:.4f} for {1000 * best['cost']:.4g} "
        f"USD per 1,000; best static mix at the policy's cost: "
        f"{found['static_mix_at_this_cost']:.4f}; cheapest that is as good as the best: "
        f"{found['cheapest_as_good']}"
    )
    if found.get("rows_it_was_made_from"):
        lines.append(
            f"{found['rows_it_was_made_from']} of these rows are rows the policy was made from, "
            "which flatters it"
        )
    return "\n".join(lines)


def advice_json(advice: Advice) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "log": advice.log,
        "rows": advice.rows,
        "split": "5 folds",
        "without": [asdict(each) | {"pays": each.pays} for each in advice.without],
        "steps": [asdict(each) for each in advice.steps],
        "enough": advice.enough,
    }


def advice_text(advice: Advice) -> str:
    """Return the advice for a person."""
    lines = [f"{advice.log}, {advice.rows} rows in 5 folds: quality averaged over budgets"]
    lines.append("left out, the frontier loses:")
    for each in sorted(advice.without, key=lambda without: -without.loss.value):
        verdict = "pays" if each.pays else "adds less than its noise"
        if each.pays_at is not None and not each.pays:
            verdict += f"; would pay at {each.pays_at:.0%} of its price"
        lines.append(f"  {each.loss}  {each.model}: {verdict}")
    lines.append("one more at a time, the most helpful first:")
    for number, step in enumerate(advice.steps, start=1):
        lines.append(f"  {number}: {step.worth}, gains {step.gain}  {step.model}")
    return "\n".join([*lines, _enough(advice)])


def _enough(advice: Advice) -> str:
    if not advice.enough:
        return "none adds more than its noise"
    names = ", ".join(step.model for step in advice.steps[: advice.enough])
    return f"{advice.enough} {'is' if advice.enough == 1 else 'are'} enough: {names}"


def draw_frontier(path: Path, frontier: Frontier, train: Outcomes, test: Outcomes | None) -> None:
    """Draw the frontier, and beside it, where there are other rows, what it saves."""
    from cascade import plots

    log, split = (train, "rows it was chosen on") if test is None else (test, "held-out rows")
    search, data = frontier.search, described(log, split)
    alone = singles(log, search)
    points = [measured(point.policy, log, search) for point in frontier.corners]
    with naming(path):
        plots.frontier(
            plots.Picture(path, "What an answer costs, and how often it is right", data),
            points,
            alone,
            static_mix(alone),
        )
    if test is None:
        return
    cheapest_first = sorted(singles(train, search), key=lambda each: each.estimate.cost)
    found = [saving(frontier, each.model, train, test) for each in cheapest_first]
    beside = savings_place(path)
    with naming(beside):
        plots.savings(plots.Picture(beside, "Saved beside one model for all", data), found)


def savings_place(plot: Path) -> Path:
    """Return where the picture of what a frontier saves goes, beside the frontier's own."""
    return plot.with_name(f"{plot.stem}-savings{plot.suffix}")


def draw_advice(path: Path, advice: Advice, log: Outcomes) -> None:
    """Draw what one more model adds."""
    from cascade import plots

    with naming(path):
        plots.diminishing_returns(
            plots.Picture(path, "What one more model adds", described(log, "5 folds")), advice
        )


def described(log: Outcomes, split: str) -> str:
    """Return which rows a picture rests on."""
    return f"{Path(log.name).name}, {len(log)} rows, {split}"


def _estimate(estimate: Estimate) -> dict[str, float]:
    return asdict(estimate)


def _chain(tiers: Sequence[Tier]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "chain": [tier.model for tier in tiers],
        "thresholds": [float(tier.threshold) for tier in tiers],
    }
    own = [dict(tier.segment_thresholds) for tier in tiers]
    return found | ({"segment_thresholds": own} if any(own) else {})


def _instead(policy: Policy) -> dict[str, Any]:
    if policy.instead is None:
        return {}
    return {"instead": {"share": policy.instead.share} | _chain(policy.instead.tiers)}


def _saving(found: Saving) -> dict[str, Any]:
    return {
        "model": found.model,
        "policy": named(found.policy),
        "saved": asdict(found.saved),
        "quality": asdict(found.quality),
    }


def _pair(cost: float, quality: float) -> str:
    return f"{1000 * cost:>13.4g} {quality:8.4f}"
