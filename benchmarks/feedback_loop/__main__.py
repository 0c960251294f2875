"""Runs the benchmark: `python -m benchmarks.feedback_loop [--quick] [--seeds N] [--rounds N …]`."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import feedback_loop
from benchmarks.feedback_loop import people
from benchmarks.feedback_loop.figures import draw, report
from benchmarks.feedback_loop.rounds import FULL, QUICK, course
from benchmarks.open_question.domains import DOMAINS
from benchmarks.report import Options, finish, machine, options_parser
from scoring.encoder import load_encoder

SEEDS = 2
QUICK_DOMAINS = ("airline",)


def main() -> int:
    """Run every domain with every seed, print, draw, and return the exit status."""
    parser = options_parser(feedback_loop.__doc__ or "")
    parser.add_argument(
        "--keep", type=Path, help="keep what is measured here, and go on from there"
    )
    parser.add_argument(
        "--seeds", type=int, help=f"how many seeds; {SEEDS} unless said, 1 if quick"
    )
    parser.add_argument(
        "--rounds", type=int, nargs="+", help="after how many feedbacks in all to train, rising"
    )
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    if given.rounds:
        plan = replace(plan, rounds=tuple(given.rounds))
    seeds = given.seeds or (1 if given.quick else SEEDS)
    print(f"feedback loop, simulated models and people, {seeds} seeds, on {machine()}")
    print(
        f"threshold {people.THRESHOLD}, agents notice {people.NOTICES:.0%} of what is wrong, "
        f"{people.AUDITED:.0%} of the accepted audited",
        flush=True,
    )
    encoder = load_encoder()
    with ExitStack() as stack:
        kept = given.keep or Path(stack.enter_context(TemporaryDirectory()))
        folder = kept / "quick" if given.quick else kept
        rows = [
            row
            for seed in range(seeds)
            for domain in (QUICK_DOMAINS if given.quick else DOMAINS)
            for row in course(folder, domain, seed, plan, encoder, quick=given.quick)
        ]
    bars, figures = report(rows)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        for ending in ("png", "svg"):
            draw(rows, given.out / f"feedback-loop.{ending}")
    return finish("feedback_loop", bars, figures, Options(given.quick, given.out))


if __name__ == "__main__":
    sys.exit(main())
