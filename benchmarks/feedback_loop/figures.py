"""What the rounds say: each figure against the number of feedbacks, audits on beside off.

Averages are over seeds, each with customers, tickets and people of its own; intervals are 95 % ones
by Student's t over seeds, and of on less off by the differences seed by seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.feedback_loop.rounds import SHARES, Measured
from benchmarks.open_question.comparison import over_seeds
from benchmarks.report import Bar
from cascade.baselines import Interval

SHOWN = (
    "auc",
    "ece",
    "wrong_accepted",
    "right_accepted",
    "wrong_of_accepted",
    "cost_as_good",
    "quality_gained",
    "false",
)
DRAWN = {
    "auc": "AUC",
    "cost_as_good": "cost as good as the dearest model, of its own",
    "wrong_accepted": "accepted, of all wrong answers",
}
COLOURS = {"on": "#0b6e4f", "off": "#b3541e"}
NAMES = {"on": "audits on", "off": "audits off, verdicts at face value"}


def report(rows: Sequence[Measured]) -> tuple[list[Bar], dict[str, object]]:
    """Print every figure of each domain; return the bars and all that was measured."""
    averages: dict[str, object] = {}
    bars = []
    for domain in dict.fromkeys(row.domain for row in rows):
        own = [row for row in rows if row.domain == domain]
        averages[domain] = {name: _figure(own, name) for name in SHOWN}
        bars.append(_bar(own))
    return bars, {"averages": averages, "rows": [asdict(row) for row in rows]}


def _figure(rows: Sequence[Measured], name: str) -> dict[str, object]:
    """Print one figure's line per number of feedbacks, and return its intervals."""
    found: dict[str, object] = {}
    for feedbacks in sorted({row.feedbacks for row in rows}):
        at = [row for row in rows if row.feedbacks == feedbacks]
        values = {each: _average(at, name, each) for each in SHARES}
        values["on less off"] = over_seeds(_differences(at, name))
        told = "   ".join(f"{each} {value}" for each, value in values.items())
        print(f"{rows[0].domain} {name:15} after {feedbacks:4}: {told}")
        found[str(feedbacks)] = {each: asdict(value) for each, value in values.items()}
    return found


def _average(rows: Sequence[Measured], name: str, audits_are: str) -> Interval:
    return over_seeds(float(getattr(row, name)) for row in rows if row.audits_are == audits_are)


def _differences(rows: Sequence[Measured], name: str) -> list[float]:
    by = {(row.seed, row.audits_are): float(getattr(row, name)) for row in rows}
    return [by[seed, "on"] - by[seed, "off"] for seed in sorted({row.seed for row in rows})]


def _bar(rows: Sequence[Measured]) -> Bar:
    """Return by how much AUC rises from the start to most feedback, the less of on and off."""
    most = max(row.feedbacks for row in rows)
    gains = []
    for each in SHARES:
        ends = [
            _average([row for row in rows if row.feedbacks == feedbacks], "auc", each).value
            for feedbacks in (0, most)
        ]
        gains.append(ends[1] - ends[0])
    return Bar(f"{rows[0].domain}_auc_gain", min(gains), 0.0)


def draw(rows: Sequence[Measured], path: Path) -> None:
    """Draw the figures of each domain side by side: means over seeds, and every seed as a dot."""
    from matplotlib.figure import Figure

    domains = list(dict.fromkeys(row.domain for row in rows))
    figure = Figure(figsize=(4.6 * len(DRAWN), 3.6 * len(domains)), layout="constrained")
    all_axes = figure.subplots(len(domains), len(DRAWN), squeeze=False)
    for line, domain in zip(all_axes, domains, strict=True):
        own = [row for row in rows if row.domain == domain]
        rounds = sorted({row.feedbacks for row in own})
        for axes, (name, said) in zip(line, DRAWN.items(), strict=True):
            for each in SHARES:
                mine = [row for row in own if row.audits_are == each]
                means = [
                    _average([row for row in mine if row.feedbacks == at], name, each).value
                    for at in rounds
                ]
                axes.plot(range(len(rounds)), means, color=COLOURS[each], label=NAMES[each])
                places = [rounds.index(row.feedbacks) for row in mine]
                values = [getattr(row, name) for row in mine]
                axes.plot(places, values, ".", color=COLOURS[each], alpha=0.5)
            axes.set_xticks(range(len(rounds)), [str(at) for at in rounds])
            axes.set_title(f"{domain}: {said}", loc="left", fontsize=9, fontweight="bold")
            axes.set_xlabel("feedbacks", fontsize=8)
            axes.grid(alpha=0.25)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        line[0].legend(frameon=False, fontsize=8)
    seeds = len({row.seed for row in rows})
    figure.supxlabel(
        f"simulated models, simulated people; {seeds} seeds, lines are means, dots the seeds; "
        "held-out customers and wordings; the steps along the axis are not to scale",
        fontsize=7.5, color="#6b7280",
    )  # fmt: skip
    figure.savefig(path, dpi=130)
