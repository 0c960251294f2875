"""How every benchmark reports: what it measured and on what, then a line per number with a bar."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Bar:
    """One number that must reach a bar: at least it, or at most it with `below`."""

    name: str
    value: float
    bar: float
    below: bool = False

    @property
    def reached(self) -> bool:
        """Whether the number is good enough."""
        return self.value <= self.bar if self.below else self.value >= self.bar

    def __str__(self) -> str:
        verdict = "ok" if self.reached else "short"
        return f"{self.name} {self.value:.4g} {self.bar:g} {verdict}"


@dataclass(frozen=True)
class Options:
    """How a benchmark was asked for: on less data, and where to leave its figures."""

    quick: bool
    out: Path | None


def read_options(description: str) -> Options:
    """Read the command line every benchmark shares."""
    given = options_parser(description).parse_args()
    return Options(given.quick, given.out)


def options_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of what every benchmark shares, for one that has options of its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="less data, under two minutes")
    parser.add_argument("--out", type=Path, help="write the figures as JSON into this folder")
    return parser


def less(rows: Sequence[T], options: Options) -> list[T]:
    """Return all rows, or a quarter of them drawn at random where it must be quick."""
    return Random(0).sample(list(rows), len(rows) // 4) if options.quick else list(rows)


def machine() -> str:
    """Return what the benchmark runs on, as far as a figure depends on it."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def finish(name: str, bars: list[Bar], figures: dict[str, object], options: Options) -> int:
    """Print the bars, write the figures, and return the exit status: 1 if any bar is missed."""
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        rows = [asdict(bar) | {"reached": bar.reached} for bar in bars]
        report = {"machine": machine(), "bars": rows, "figures": figures}
        (options.out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
    for bar in bars:
        print(bar)
    return int(not all(bar.reached for bar in bars))
