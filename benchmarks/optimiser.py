"""The optimiser: how fast it is, and what its policies are worth on rows it has not seen.

Speed, on synthetic logs: a whole frontier, against the published search (`published_search`, timed
on a sample of its chains and scaled), and as rows, models and depth grow. Worth, on recorded logs
(`--logs DIR` with NAME_train.jsonl and NAME_test.jsonl): quality on held-out rows, averaged over 30
budgets between the cheapest and the best model, against the plain search (`plain_search`), the
published one and the static mix, on the given split and on fresh ones; what each ingredient adds;
and the saving at the best model's quality.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.held_out import (
    SEARCHES,
    WITHOUT,
    Choose,
    Measured,
    Over,
    at_its_spending,
    averaged,
    fresh_splits,
    joined,
    measure,
    over_rows,
    over_splits,
)
from benchmarks.plots import Line, draw
from benchmarks.report import Bar, Options, finish, machine, options_parser
from benchmarks.search_speed import (
    Size,
    beside_published,
    exponent,
    growth,
    seconds_of,
    whole_frontier,
)
from benchmarks.synthetic_logs import synthetic_log
from cascade.baselines import (
    Saving,
    best_single,
    budgets,
    cheapest_as_good,
    saving,
    singles,
)
from cascade.errors import BadOutcomes
from cascade.optimiser import Search, optimise
from cascade.replay import Outcomes, read_outcomes

CHAIN_SECONDS_A_ROW = 1.5 / 600
"""What the published code was seen to take for one chain of three; ours in its place is leaner."""

PARTS = ("speed", "growth", "logs")

Figures = dict[str, object]
Splits = Sequence[tuple[Outcomes, Outcomes]]


@dataclass(frozen=True)
class Asked(Options):
    """What is to be measured: some of `PARTS`, the last one on the logs in a folder."""

    logs: Path | None
    parts: tuple[str, ...]


def main() -> int:
    """Measure, print, and return the exit status."""
    asked = read()
    print(f"optimiser, seed 0, on {machine()}")
    bars: list[Bar] = []
    figures: Figures = {}
    if "speed" in asked.parts:
        bars += whole(figures, asked) + against_published(figures, asked)
    if "growth" in asked.parts:
        bars += grown(figures, asked)
    if "logs" in asked.parts and asked.logs is None:
        print("recorded logs: left out, for --logs names no folder")
    elif "logs" in asked.parts:
        bars += on_logs(figures, asked)
    return finish("optimiser", bars, figures, asked)


def read() -> Asked:
    """Read the command line."""
    parser = options_parser(__doc__ or "")
    parser.add_argument("--logs", type=Path, help="a folder with NAME_train.jsonl, NAME_test.jsonl")
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    given = parser.parse_args()
    parts = (given.only,) if given.only else PARTS
    return Asked(given.quick, given.out, given.logs, parts)


def whole(figures: Figures, asked: Asked) -> list[Bar]:
    """Time a whole frontier in a process of its own."""
    size = Size(2_500 if asked.quick else 10_000, 12, 4)
    found = whole_frontier(size)
    print(
        f"{size}: {found.seconds:.1f} s, peak {found.megabytes:.0f} MB, {found.chains} chains with "
        f"all thresholds, {found.points} points"
    )
    figures["whole"] = asdict(size) | asdict(found)
    return [
        Bar("whole_frontier_seconds", found.seconds, 30, below=True),
        Bar("whole_frontier_gigabytes", found.megabytes / 1000, 2, below=True),
    ]


def against_published(figures: Figures, asked: Asked) -> list[Bar]:
    """Time the published search for one budget beside ours for all of them.

    It knows no segments, so ours is timed without any for the bar, and with four beside it.
    """
    size = Size(1_250 if asked.quick else 5_000, 10, 3, segments=False)
    log = synthetic_log(size.rows, size.models)
    search = Search(size.depth, by_segment=False)
    found = beside_published(log, search, timed=2 if asked.quick else 8)
    with_segments = seconds_of(replace(size, segments=True))
    documented = CHAIN_SECONDS_A_ROW * size.rows * found.chains
    print(
        f"{size}, seconds of processor time: published search {found.seconds:.0f} for one budget "
        f"({found.timed} of {found.chains} chains timed, {found.seconds_a_chain:.2f} each, and "
        f"scaled; its own code {documented:.0f} by what was noted of it); ours {found.ours:.2f} "
        f"for all budgets; with thresholds for four segments {with_segments:.2f}"
    )
    figures["published"] = (
        asdict(size)
        | asdict(found)
        | {"seconds": found.seconds, "documented": documented, "with_segments": with_segments}
    )
    return [Bar("times_faster_than_published", found.seconds / found.ours, 1000)]


def grown(figures: Figures, asked: Asked) -> list[Bar]:
    """Time whole frontiers as rows, models and depth grow, one at a time, on the processor."""
    rows = (1_000, 3_000, 10_000) if asked.quick else (1_000, 3_000, 10_000, 30_000, 100_000)
    among = 1_000 if asked.quick else 5_000
    found = growth(
        {
            "rows": [Size(count, 8, 3) for count in rows],
            "models": [Size(among, count, 4) for count in (4, 6, 8, 10, 12)],
            "depth": [Size(among, 12, count) for count in (1, 2, 3, 4)],
        }
    )
    slope, last = exponent(found["rows"]), exponent(dict(list(found["rows"].items())[-2:]))
    print(f"seconds grow as rows to the power {slope:.2f}, {last:.2f} between the last two")
    figures["growth"] = found | {"exponent": slope, "last_exponent": last}
    if asked.out:
        panels = {name: {"": (list(each), list(each.values()))} for name, each in found.items()}
        print(
            draw(
                asked.out / "optimiser_growth", panels, above="processor seconds", logarithmic=True
            )
        )
    return [Bar("exponent_over_rows", slope, 1.15, below=True)]


def on_logs(figures: Figures, asked: Asked) -> list[Bar]:
    """Measure on every recorded log what the searches' policies are worth."""
    bars: list[Bar] = []
    panels: dict[str, dict[str, Line]] = {}
    clear = 0
    for name, (train, test) in read_logs(asked).items():
        given = compared(f"{name}, given split", [(train, test)], SEARCHES)
        splits = list(fresh_splits(joined(train, test), len(train), 3 if asked.quick else 10))
        fresh = compared(f"{name}, {len(splits)} fresh splits", splits, SEARCHES)
        gains = {"given": over_rows(given["ours"][0], given["plain"][0])}
        gains["fresh"] = over_splits(fresh["ours"], fresh["plain"])
        bars += [Bar(f"{name}_{split}_over_plain", gain.value, 0) for split, gain in gains.items()]
        clear += sum(bool(gain.low > 0) for gain in gains.values())
        figures[name] = {
            "given": as_figures(given),
            "fresh": as_figures(fresh),
            "ingredients": ingredients(name, splits, fresh["ours"]),
            "saving": savings(name, train, test),
            "fresh_saving": fresh_savings(name, splits),
        }
        panels[f"{name}: US dollars spent on 1,000 tickets"] = lines(given)
    if asked.out:
        path = asked.out / "optimiser_quality"
        print(draw(path, panels, above="held-out quality", logarithmic=False))
    return [*bars, Bar("clearly_over_plain", clear, 1)]


def read_logs(asked: Asked) -> dict[str, tuple[Outcomes, Outcomes]]:
    """Return training and test rows by the log's name; raises `BadOutcomes` where there is none."""
    folder = asked.logs or Path()
    found = {}
    for path in sorted(folder.glob("*_train.jsonl")):
        name = path.name.removesuffix("_train.jsonl")
        found[name] = _read(path), _read(folder / f"{name}_test.jsonl")
    if not found:
        raise BadOutcomes(f"{folder} has no NAME_train.jsonl; expected recorded logs there")
    return found


def _read(path: Path) -> Outcomes:
    with path.open(encoding="utf-8") as source:
        return read_outcomes(source, name=path.name)


def compared(
    title: str, splits: Splits, searches: Mapping[str, Choose]
) -> dict[str, list[Measured]]:
    """Measure searches on the same splits, print what they are worth, and return it."""
    found: dict[str, list[Measured]] = {name: [] for name in searches}
    for train, test in splits:
        spending = budgets(train, Search())
        for name, choose in searches.items():
            found[name].append(measure(choose, train, test, spending))
    train, test = splits[0]
    print(f"{title}, {len(train)} training rows, {len(test)} held out, {len(spending)} budgets:")
    print(f"  {'':26}quality    gap  spent  ours over it, at its real spending, at its budgets")
    for name, measured in found.items():
        quality, gap, spent = averages(measured)
        more = "" if name == "ours" else f"{_even(found['ours'], measured):+.4f}  "
        more += "" if name == "ours" else str(_over(found["ours"], measured))
        print(f"  {name:26}{quality:.4f} {gap:+.4f} {spent:6.1%}  {more}")
    return found


def _over(better: Sequence[Measured], worse: Sequence[Measured]) -> Over:
    if len(better) == 1:
        return over_rows(better[0], worse[0])
    return over_splits(better, worse)


def _even(better: Sequence[Measured], worse: Sequence[Measured]) -> float:
    """Return by how much one is better at what the other really spends, averaged over splits."""
    pairs = zip(better, worse, strict=True)
    return float(np.mean([at_its_spending(one, other) for one, other in pairs]))


def averages(measured: Sequence[Measured]) -> tuple[float, float, float]:
    """Return quality, gap and share of the budget spent, averaged over splits."""
    every = np.array([(each.average, each.gap, each.spent) for each in measured])
    quality, gap, spent = every.mean(0).tolist()
    return quality, gap, spent


def as_figures(found: Mapping[str, Sequence[Measured]]) -> Figures:
    """Return what JSON says of each search."""
    figures: Figures = {}
    for name, measured in found.items():
        quality, gap, spent = averages(measured)
        figures[name] = {
            "quality": quality,
            "gap": gap,
            "spent": spent,
            "ours_over_it": asdict(_over(found["ours"], measured)),
            "ours_over_it_at_its_spending": _even(found["ours"], measured),
        }
    return figures


def ingredients(name: str, splits: Splits, whole: Sequence[Measured]) -> Figures:
    """Print and return what the optimiser loses without one of its ingredients."""
    figures: Figures = {}
    print(f"{name}, the same fresh splits, what each ingredient adds:")
    for without, choose in WITHOUT.items():
        less = [measure(choose, train, test, budgets(train, Search())) for train, test in splits]
        gain = over_splits(whole, less)
        print(f"  {without:26}{gain}")
        figures[without] = asdict(gain)
    return figures


def savings(name: str, train: Outcomes, test: Outcomes) -> Figures:
    """Print and return the saving at the best model's quality, and at the cheapest's as good."""
    frontier, figures = optimise(train, Search()), {}
    for role, model in {
        "best model": best_single(train),
        "cheapest model as good": cheapest_as_good(train),
    }.items():
        found: Saving = saving(frontier, model, train, test)
        alone = {each.model: each.estimate for each in singles(test, Search())}[model]
        print(
            f"{name}, {role}, {model}, quality {alone.quality:.4f} at {alone.cost:.3g} USD on "
            f"{len(test)} held-out rows: saved {found.saved}, quality {found.quality}"
        )
        figures[role] = {
            "model": model,
            "saved": asdict(found.saved),
            "quality": asdict(found.quality),
        }
    return dict(figures)


def fresh_savings(name: str, splits: Splits) -> Figures:
    """Print and return the saving at the best model's quality, averaged over fresh splits."""
    found = [
        saving(optimise(train, Search()), best_single(train), train, test) for train, test in splits
    ]
    saved = averaged([each.saved.value for each in found])
    quality = averaged([each.quality.value for each in found])
    print(f"{name}, {len(splits)} fresh splits, best model: saved {saved}, quality {quality}")
    return {"saved": asdict(saved), "quality": asdict(quality)}


def lines(found: Mapping[str, Sequence[Measured]]) -> dict[str, Line]:
    """Return held-out quality over the dollars really spent on 1,000 tickets, a line a search."""
    drawn: dict[str, Line] = {}
    for name, (measured, *_) in found.items():
        spent = 1000 * measured.cost.mean(1)
        drawn[name] = (spent.tolist(), measured.quality.mean(1).tolist())
    return drawn


if __name__ == "__main__":
    sys.exit(main())
