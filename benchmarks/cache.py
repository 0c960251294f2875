"""The cache: whom it serves, how long a ticket takes in it, and how look-ups grow with entries.

Parts: `pairs`, who is served what of questions that are alike (`cache_pairs`); `once`, looking up
and scoring one ticket (`cache_once`); `growth`, look-ups among more and more entries of many
tenants (`cache_growth`). The adapters are the demo's: those of `--adapters DIR`, or trained here;
with `--quick` on a quarter of the examples. With `--out`, sizes measured before are kept.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cache_growth import TENANTS, Looked, build_world, embedded_topics, measured
from benchmarks.cache_once import measured_once
from benchmarks.cache_pairs import (
    THRESHOLDS,
    all_pairs,
    all_trials,
    as_figures,
    served,
    told,
    tried,
)
from benchmarks.demo_shop import read
from benchmarks.plots import Line, draw
from benchmarks.report import Bar, Options, finish, less, machine, options_parser
from scoring.encoder import load_encoder
from scoring.registry import Registry
from scoring.scorer import with_champions
from scoring.training import train
from webapp.demo.records import Shop
from webapp.demo.seeding import write_examples
from webapp.demo.shop import build_shop

PARTS = ("pairs", "once", "growth")
SIZES = (10_000, 50_000, 200_000, 1_000_000)
QUICK = (10_000,)
P95_MS = {"sqlite": 40.0, "postgresql": 15.0}
RECALL = 0.99
TICKET_MS = 25.0

Figures = dict[str, object]


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = options_parser(__doc__ or "")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS, help="not all")
    parser.add_argument("--adapters", type=Path, help="the demo's, instead of training them")
    parser.add_argument("--sizes", type=int, nargs="+", help="how many entries, instead of all")
    parser.add_argument("--tenants", type=int, default=TENANTS, help="how many tenants")
    parser.add_argument("--only", choices=sorted(P95_MS), help="one of the databases")
    given = parser.parse_args()
    options = Options(given.quick, given.out)
    sizes: Sequence[int] = given.sizes or (QUICK if given.quick else SIZES)
    kinds: Sequence[str] = [given.only] if given.only else sorted(P95_MS)
    print(f"the cache, on {machine()}")
    bars: list[Bar] = []
    figures: Figures = {}
    with TemporaryDirectory() as folder:
        shop, registry = build_shop(), Registry(given.adapters or Path(folder) / "adapters")
        if given.adapters is None and {"pairs", "once"} & set(given.parts):
            trained(shop, registry, Path(folder), options)
        if "pairs" in given.parts:
            _take(pairs(shop, registry), bars, figures)
        if "once" in given.parts:
            _take(once(kinds, shop, registry), bars, figures)
    if "growth" in given.parts:
        _take(growth(kinds, sizes, given.tenants, options.out), bars, figures)
    return finish("cache", bars, figures, options)


def _take(found: tuple[list[Bar], Figures], bars: list[Bar], figures: Figures) -> None:
    bars.extend(found[0])
    figures.update(found[1])


def trained(shop: Shop, registry: Registry, folder: Path, options: Options) -> None:
    """Train the demo's adapters."""
    examples = less(read(write_examples(shop, folder)[0]), options)
    started = time.perf_counter()
    train(examples, encoder=load_encoder(), registry=registry, created=datetime.now(UTC))
    seconds = time.perf_counter() - started
    print(f"trained on {len(examples)} examples in {seconds:.0f} s", flush=True)


def pairs(shop: Shop, registry: Registry) -> tuple[list[Bar], Figures]:
    """Ask what is alike, and count what is served; the bars are those of the least threshold."""
    encoder = load_encoder()
    scorer, champions = with_champions(encoder, registry)
    every = all_pairs(encoder.embed)
    results = tried(all_trials(every, shop), encoder.embed, scorer, champions)
    versions = ", ".join(sorted(champions.values()))
    print(f"pairs of the demo shop, {len(every)}, seed 7, adapters {versions}")
    told(results, print)
    bars = [Bar("pairs", len(every), 500)]
    for label in ("opposite", "number"):
        count = served(results, label, min(THRESHOLDS)).count
        bars.append(Bar(f"{label}s_served", count, 0, below=True))
    return bars, {"pairs": as_figures(results)}


def once(kinds: Sequence[str], shop: Shop, registry: Registry) -> tuple[list[Bar], Figures]:
    """Time a ticket in the cache, embedding and scoring included."""
    bars: list[Bar] = []
    figures: Figures = {}
    for kind in kinds:
        found = measured_once(kind, shop, registry)
        print(f"{kind}, looking up and scoring: {found}", flush=True)
        bars.append(Bar(f"{kind}_ticket_p50_ms", found.median_ms, TICKET_MS, below=True))
        figures[kind] = {"median_ms": found.median_ms, "p95_ms": found.p95_ms}
    return bars, {"once": figures}


def growth(
    kinds: Sequence[str], sizes: Sequence[int], tenants: int, out: Path | None
) -> tuple[list[Bar], Figures]:
    """Look up among more and more entries; the bars are those of the largest number."""
    print(f"look-ups, {tenants} tenants, seed 0")
    topics = embedded_topics()
    found: dict[str, dict[int, Looked]] = {kind: {} for kind in kinds}
    before = Before(out / f"cache-growth-{tenants}.jsonl" if out else None)
    for size in sorted(sizes):
        for kind in kinds:
            looked = before.of(kind, size) or measured(
                kind, build_world(size, tenants, topics), topics
            )
            before.keep(kind, size, looked)
            found[kind][size] = looked
            print(f"{kind}, {size:,} entries: {looked}", flush=True)
    if out is not None:
        print(draw(out / "cache-growth", panels(found), above="milliseconds", logarithmic=True))
    bars = []
    for kind, grown in found.items():
        last = grown[max(sizes)]
        bars.append(Bar(f"{kind}_{max(sizes)}_p95_ms", last.p95_ms, P95_MS[kind], below=True))
        bars.append(Bar(f"{kind}_{max(sizes)}_recall_at_1", last.recall_at_1, RECALL))
    figures = {kind: {n: asdict(each) for n, each in of.items()} for kind, of in found.items()}
    return bars, {"growth": figures}


class Before:
    """What was measured before, a line for each: a million entries take minutes to load."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[tuple[str, int], Looked] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self._known[row["kind"], row["size"]] = Looked(**row["looked"])

    def of(self, kind: str, size: int) -> Looked | None:
        """What was measured of so many entries, None if nothing was."""
        return self._known.get((kind, size))

    def keep(self, kind: str, size: int, looked: Looked) -> None:
        """Write down what was measured, once."""
        if self._path is None or (kind, size) in self._known:
            return
        self._known[kind, size] = looked
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as out:
            out.write(json.dumps({"kind": kind, "size": size, "looked": asdict(looked)}) + "\n")


def panels(found: dict[str, dict[int, Looked]]) -> dict[str, dict[str, Line]]:
    """What is drawn over the number of entries: looking up and adding, a line per database."""
    looking: dict[str, Line] = {}
    adding: dict[str, Line] = {}
    for kind, grown in found.items():
        looking[f"{kind}, median"] = list(grown), [each.p50_ms for each in grown.values()]
        looking[f"{kind}, 95 %"] = list(grown), [each.p95_ms for each in grown.values()]
        adding[f"{kind}, median"] = list(grown), [each.add_p50_ms for each in grown.values()]
    return {"entries: looking up": looking, "entries: adding one": adding}


if __name__ == "__main__":
    sys.exit(main())
