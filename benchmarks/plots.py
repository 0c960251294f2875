"""Plots of benchmarks as PNG and SVG, where matplotlib is installed."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Line = tuple[Sequence[float], Sequence[float]]
"""What stands along and above the axis of one line."""


def draw(
    path: Path, panels: Mapping[str, Mapping[str, Line]], *, above: str, logarithmic: bool
) -> str:
    """Draw panels side by side, each with named lines; return what was written, for a person.

    A panel's name stands below its axis, which is logarithmic; the other one is if asked for.
    """
    try:
        plots: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        return f"{path.name}: not drawn, for matplotlib is not installed"
    figure = plots.Figure(figsize=(5 * len(panels), 4), layout="constrained")
    for axes, (below, lines) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for name, (along, values) in lines.items():
            axes.plot(along, values, marker=".", label=name)
        axes.set(xscale="log", xlabel=below, ylabel=above)
        axes.set_yscale("log" if logarithmic else "linear")
        for axis in (axes.xaxis, axes.yaxis) if logarithmic else (axes.xaxis,):
            _number(axis)
        if len(lines) > 1:
            axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    for ending in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{ending}"), dpi=150)
    return f"{path}.png and .svg"


def _number(axis: Any) -> None:
    """Write plain numbers along a logarithmic axis: 1, 2 and 5 of each power of ten."""
    ticker: Any = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())
