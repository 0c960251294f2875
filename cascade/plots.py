"""Pictures for a manager: the frontier, what it saves at equal quality, where one more model stops.

Each function writes one file, PNG or SVG by its suffix. matplotlib is imported only here, and only
when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.advice import Advice
from cascade.baselines import Saving, Single, StaticMix
from cascade.chains import Estimate
from cascade.errors import BadOutcomes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
OURS, OTHERS, MIX, MUTED = "#0b6e4f", "#b3541e", "#6b7280", "#9ca3af"
PER = 1000
"""Costs are shown in dollars for so many tickets."""


@dataclass(frozen=True)
class Picture:
    """What every picture says of itself: its title, and which rows it rests on."""

    path: Path
    title: str
    data: str


def check_path(path: Path) -> None:
    """Raise `BadOutcomes` unless a picture can be put there."""
    if path.suffix not in FORMATS:
        raise BadOutcomes(
            f"a picture in {path.name}; expected a name that ends in {' or '.join(FORMATS)}"
        )
    if not path.parent.is_dir():
        raise BadOutcomes(f"{path.parent} is no folder; make it, or choose another")


def frontier(
    picture: Picture, measured: Sequence[Estimate], alone: Sequence[Single], mix: StaticMix
) -> None:
    """Draw the frontier's corners, cheapest first, each model alone, and the static mix."""
    with _axes(picture) as axes:
        _line(axes, [each.estimate for each in mix.singles], MIX, "static mix of two models", "--")
        _line(axes, measured, OURS, "frugaldesk", "o-")
        costs = [PER * single.estimate.cost for single in alone]
        axes.scatter(
            costs, [100 * single.estimate.quality for single in alone],
            color=OTHERS, marker="s", s=28, zorder=3, label="one model for all",
        )  # fmt: skip
        _named(axes, alone)
        if min(costs) > 0 and max(costs) > 8 * min(costs):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        axes.set_xlabel(f"US dollars for {PER:,} tickets")
        axes.set_ylabel("answers that are right, %")
        axes.legend(loc="lower right", frameon=False)


def savings(picture: Picture, found: Sequence[Saving]) -> None:
    """Draw what is saved beside each model at the quality it was expected to have."""
    with _axes(picture) as axes:
        names = [f"{each.model}\n{_points(each)}" for each in found]
        shares = [100 * each.saved.value for each in found]
        spread = [
            [100 * (each.saved.value - each.saved.low) for each in found],
            [100 * (each.saved.high - each.saved.value) for each in found],
        ]
        equal = [each.quality.high >= 0 for each in found]
        axes.barh(names, shares, xerr=spread, color=[OURS if kept else MUTED for kept in equal],
                  ecolor="#374151", capsize=3)  # fmt: skip
        axes.set_xlim(min(0.0, *shares) * 1.1, 100)
        axes.set_xlabel("cost saved beside this model alone, % (grey: its quality was not reached)")
        axes.invert_yaxis()


def diminishing_returns(picture: Picture, advice: Advice) -> None:
    """Draw the worth of the best sets of models against their number."""
    with _axes(picture) as axes:
        places = list(range(1, len(advice.steps) + 1))
        worth = [step.worth for step in advice.steps]
        axes.fill_between(
            places, [100 * each.low for each in worth], [100 * each.high for each in worth],
            color=OURS, alpha=0.15, linewidth=0,
        )  # fmt: skip
        axes.plot(places, [100 * each.value for each in worth], color=OURS, marker="o")
        if 0 < advice.enough < len(places):
            axes.axvline(advice.enough + 0.5, color=MUTED, linestyle=":")
            axes.annotate(
                "from here on one more adds less than its noise",
                (advice.enough + 0.5, 0.04),
                xycoords=("data", "axes fraction"),
                xytext=(6, 0),
                textcoords="offset points",
                fontsize=8,
                color="#374151",
            )
        axes.set_xticks(
            places, [f"+ {step.model}" for step in advice.steps], rotation=30, ha="right"
        )
        axes.set_ylabel("right answers, %, averaged over budgets")


def _points(found: Saving) -> str:
    gained = [100 * value for value in (found.quality.value, found.quality.low, found.quality.high)]
    return "quality {:+.1f} points ({:+.1f} to {:+.1f})".format(*gained)


def _named(axes: Axes, alone: Sequence[Single]) -> None:
    """Write each model's name beside its place, below the names that stand there already."""
    written: list[tuple[float, float]] = []
    height = max(1.0, 100 * max(each.estimate.quality for each in alone)) / 40
    for single in sorted(alone, key=lambda each: -each.estimate.quality):
        cost, quality = PER * single.estimate.cost, 100 * single.estimate.quality
        near = [at for at in written if abs(at[0] - cost) < 0.4 * cost and at[1] - quality < height]
        level = min([quality, *(at[1] - height for at in near)])
        written.append((cost, level))
        axes.annotate(
            single.model,
            (cost, level),
            xytext=(6, -10),
            textcoords="offset points",
            fontsize=8,
            color=OTHERS,
        )


def _line(axes: Axes, points: Sequence[Estimate], colour: str, name: str, style: str) -> None:
    costs, qualities = [PER * each.cost for each in points], [100 * each.quality for each in points]
    axes.plot(costs, qualities, style, color=colour, label=name, markersize=4)


@contextmanager
def _axes(picture: Picture) -> Iterator[Axes]:
    """Give axes to draw on, then write the file."""
    check_path(picture.path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):  # a model's name is no formula
        figure = Figure(figsize=(8.2, 5.0), layout="constrained")
        axes = figure.add_subplot()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_title(picture.title, loc="left", fontsize=13, fontweight="bold")
        yield axes
        figure.supxlabel(picture.data, fontsize=7.5, color="#6b7280", x=0.01, ha="left")
        figure.savefig(picture.path, dpi=160, metadata={"Date": None} if _is_svg(picture) else None)


def _is_svg(picture: Picture) -> bool:
    return picture.path.suffix == ".svg"
