"""What the logs say: the same optimiser over each scorer's log, measured on other customers.

A cascade without a human always answers, so what it gets wrong is wrong for a customer. Averages
are over seeds, each with customers, questions and adapters of its own; intervals are 95 % ones by
Student's t over seeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.open_question.logs import Log
from benchmarks.report import Bar
from cascade.baselines import Interval, Single, best_single, singles
from cascade.optimiser import Frontier, Search, measured, optimise
from cascade.policy import Policy
from cascade.replay import run

Numbers = NDArray[np.float64]

STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for 1, 2, … degrees of freedom."""
SHARES_OF_BEST = (0.1, 0.25, 0.5)
"""Budgets, as shares of what the best model costs alone."""
CHEAP = 2
"""So many of the cheapest models answer where half of the tickets need not be asked of others."""
CURVE = 40


@dataclass(frozen=True)
class Cascade:
    """One scorer's policies in one domain, with one seed."""

    log: Log

    @cached_property
    def frontier(self) -> Frontier:
        """What the optimiser finds on the fitting part."""
        return optimise(self.log.fit, Search())

    @cached_property
    def best(self) -> Single:
        """The model that is right most often on the fitting part, as it does on the test part."""
        name = best_single(self.log.fit)
        return next(each for each in singles(self.log.test, Search()) if each.model == name)

    def cost_as_good(self) -> tuple[float, float]:
        """What it takes to be as good as the best model, of its cost alone, and the quality gained.

        The policy is the cheapest that the fitting part expects to be as good, the best there is
        where none is; cost and quality are the test part's.
        """
        aim = self.log.fit.quality.mean(0).max()
        reached = min(aim, self.frontier.corners[-1].expected.quality)
        done = measured(self.frontier.for_quality(reached).policy, self.log.test, Search())
        return done.cost / self.best.estimate.cost, done.quality - self.best.estimate.quality

    def right_at(self, share: float) -> float:
        """The share of right answers for so much of the best model's cost alone."""
        usd = share * float(self.log.fit.cost.mean(0)[self._best_place])
        least = self.frontier.corners[0].expected.cost
        policy = self.frontier.for_budget(max(usd, least)).policy
        return measured(policy, self.log.test, Search()).quality

    def wrong_when_half_is_cheap(self) -> float:
        """The share of wrong answers among those that the cheap models are trusted with.

        Thresholds let through half of the fitting part's tickets, the surest ones.
        """
        fit = self.log.fit.of_models(_cheapest(self.log))
        test = self.log.test.of_models(_cheapest(self.log))
        both = optimise(fit, Search(depth=CHEAP)).corners[-1].policy
        sure = np.quantile(run(both, fit).chance, 0.5)
        done = run(both, test)
        return float(1 - done.quality[done.chance >= sure].mean())

    def curve(self) -> tuple[Numbers, Numbers]:
        """The test part's cost and quality over budgets up to the best model's cost alone."""
        least = self.frontier.corners[0].expected.cost
        usd = np.geomspace(least, float(self.log.fit.cost.mean(0)[self._best_place]), CURVE)
        found = [measured(self._at(each), self.log.test, Search()) for each in usd]
        return np.array([each.cost for each in found]), np.array([each.quality for each in found])

    def _at(self, usd: float) -> Policy:
        return self.frontier.for_budget(usd).policy

    @property
    def _best_place(self) -> int:
        return self.log.fit.models.index(self.best.model)


def compare(logs: Sequence[Log], out: Path | None) -> tuple[list[Bar], dict[str, object]]:
    """Print what each scorer is worth in each domain; return bars and figures, draw into `out`."""
    bars: list[Bar] = []
    figures: dict[str, object] = {}
    cascades = [Cascade(log) for log in logs]
    for domain in dict.fromkeys(log.domain for log in logs):
        own = [each for each in cascades if each.log.domain == domain]
        _print_models(domain, own)
        found = {
            scorer: _figures([each for each in own if each.log.scorer == scorer])
            for scorer in dict.fromkeys(each.log.scorer for each in own)
        }
        figures[domain] = {
            scorer: {name: asdict(value) for name, value in own_figures.items()}
            for scorer, own_figures in found.items()
        }
        _print_figures(domain, found)
        if {"ours", "blind"} <= set(found):
            bars.append(_bar(domain, own))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(cascades, out / "open_question.png")
        draw(cascades, out / "open_question.svg")
    return bars, figures


def _figures(cascades: Sequence[Cascade]) -> dict[str, Interval]:
    """Return every figure of one scorer, averaged over seeds."""
    as_good = [each.cost_as_good() for each in cascades]
    found = {
        "auc": over_seeds(each.log.figures["auc"] for each in cascades),
        "cost_as_good": over_seeds(cost for cost, _ in as_good),
        "quality_gained": over_seeds(gained for _, gained in as_good),
        "wrong_when_half_is_cheap": over_seeds(
            each.wrong_when_half_is_cheap() for each in cascades
        ),
    }
    for share in SHARES_OF_BEST:
        found[f"right_at_{share:.0%}"] = over_seeds(each.right_at(share) for each in cascades)
    return found


def _bar(domain: str, cascades: Sequence[Cascade]) -> Bar:
    """Return what ours costs of what blind costs, each as good as the best model; seed by seed."""
    by_scorer = {
        scorer: {each.log.seed: each for each in cascades if each.log.scorer == scorer}
        for scorer in ("ours", "blind")
    }
    both = sorted(set(by_scorer["ours"]) & set(by_scorer["blind"]))
    ratios = [
        by_scorer["ours"][seed].cost_as_good()[0] / by_scorer["blind"][seed].cost_as_good()[0]
        for seed in both
    ]
    found = over_seeds(ratios)
    print(f"{domain}: ours costs {found} of blind, each as good as the best model alone")
    return Bar(f"{domain}_cost_of_blind", found.value, 0.5, below=True)


def over_seeds(values: Iterable[float]) -> Interval:
    """Return the mean with its 95 % interval by Student's t; without bounds for one seed."""
    known = np.array(list(values), dtype=np.float64)
    mean = float(known.mean())
    if len(known) < 2:
        return Interval(mean, float("-inf"), float("inf"))
    freedom = min(len(known) - 1, len(STUDENT_95))
    half = float(STUDENT_95[freedom - 1] * known.std(ddof=1) / np.sqrt(len(known)))
    return Interval(mean, mean - half, mean + half)


def _print_models(domain: str, cascades: Sequence[Cascade]) -> None:
    seeds = sorted({each.log.seed for each in cascades})
    tests = list({each.log.seed: each.log.test for each in cascades}.values())
    print(f"{domain}, simulated models, {len(seeds)} seeds, {len(tests[0])} test questions each:")
    for column, model in enumerate(tests[0].models):
        right = np.mean([test.quality[:, column].mean() for test in tests])
        cost = 1e3 * np.mean([test.cost[:, column].mean() for test in tests])
        print(f"  {model:40} right {right:.1%}, {cost:.3f} dollars for 1,000")


def _print_figures(domain: str, found: dict[str, dict[str, Interval]]) -> None:
    for name in next(iter(found.values())):
        values = "   ".join(f"{scorer} {each[name]}" for scorer, each in found.items())
        print(f"  {domain} {name:26} {values}")


def _cheapest(log: Log) -> list[str]:
    order = log.fit.cost.mean(0).argsort(kind="stable")[:CHEAP]
    return [log.fit.models[place] for place in order]


COLOURS = {"ours": "#0b6e4f", "text": "#b3541e", "blind": "#6b7280"}
NAMES = {
    "ours": "scorer that knows the customer",
    "text": "customer as text",
    "blind": "question and answer only, as published",
}


def draw(cascades: Sequence[Cascade], path: Path) -> None:
    """Draw each scorer's frontier in each domain: means over seeds, bands from least to most."""
    from matplotlib.figure import Figure

    domains = list(dict.fromkeys(each.log.domain for each in cascades))
    figure = Figure(figsize=(6.2 * len(domains), 5.0), layout="constrained")
    for place, domain in enumerate(domains, start=1):
        axes = figure.add_subplot(1, len(domains), place)
        own = [each for each in cascades if each.log.domain == domain]
        for scorer in [each for each in NAMES if each in {one.log.scorer for one in own}]:
            curves = [each.curve() for each in own if each.log.scorer == scorer]
            cost = 1e3 * np.mean([curve[0] for curve in curves], axis=0)
            right = 100 * np.array([curve[1] for curve in curves])
            axes.plot(cost, right.mean(0), color=COLOURS[scorer], label=NAMES[scorer])
            axes.fill_between(
                cost, right.min(0), right.max(0), color=COLOURS[scorer], alpha=0.15, linewidth=0
            )
        first = own[0].log.test
        for single in singles(first, Search()):
            at = (1e3 * single.estimate.cost, 100 * single.estimate.quality)
            axes.plot(*at, "s", color="#111827", markersize=4)
            dear = at[0] > 1
            axes.annotate(
                single.model.replace(" (simulated)", ""),
                at,
                xytext=(0, -13) if dear else (7, -3),
                ha="right" if dear else "left",
                textcoords="offset points",
                fontsize=7,
            )
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_title(domain, loc="left", fontweight="bold")
        axes.set_xlabel("US dollars for 1,000 tickets")
        axes.set_ylabel("answers that are right for the customer, %")
        axes.legend(loc="lower right", frameon=False, fontsize=8)
    seeds = len({each.log.seed for each in cascades})
    figure.supxlabel(
        f"simulated models at real prices; {seeds} seeds, lines are means, bands the whole range; "
        "held-out customers and wordings",
        fontsize=7.5, color="#6b7280",
    )  # fmt: skip
    figure.savefig(path, dpi=160)
