"""The cache: how long a look-up takes, what it finds, and whom it serves.

Parts: `growth`, look-ups among more and more entries of many tenants in both databases
(`cache_growth`).
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.cache_growth import TENANTS, Looked, build_world, embedded_topics, measured
from benchmarks.plots import Line, draw
from benchmarks.report import Bar, Options, finish, machine, options_parser

SIZES = (10_000, 50_000, 200_000, 1_000_000)
QUICK = (10_000,)
P95_MS = {"sqlite": 40.0, "postgresql": 15.0}
RECALL = 0.99

Figures = dict[str, object]


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = options_parser(__doc__ or "")
    parser.add_argument("--sizes", type=int, nargs="+", help="how many entries, instead of all")
    parser.add_argument("--tenants", type=int, default=TENANTS, help="how many tenants")
    parser.add_argument("--only", choices=sorted(P95_MS), help="one of the databases")
    given = parser.parse_args()
    options = Options(given.quick, given.out)
    sizes: Sequence[int] = given.sizes or (QUICK if given.quick else SIZES)
    kinds: Sequence[str] = [given.only] if given.only else sorted(P95_MS)
    print(f"the cache, on {machine()}")
    bars, figures = growth(kinds, sizes, given.tenants, options.out)
    return finish("cache", bars, figures, options)


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
