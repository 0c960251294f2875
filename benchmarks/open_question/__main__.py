"""Runs the benchmark: `python -m benchmarks.open_question [--logs DIR] [--seeds N] [--quick]`."""

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import open_question
from benchmarks.open_question.comparison import compare
from benchmarks.open_question.logs import read_log, steps, write_logs
from benchmarks.open_question.scorers import SCORERS
from benchmarks.report import Options, finish, machine, options_parser
from scoring.encoder import load_encoder

SEEDS = 5
COMPARED = ("ours", "blind", "text")


def main() -> int:
    """Make the logs that are missing, compare, print, and return the exit status."""
    parser = options_parser(open_question.__doc__ or "")
    parser.add_argument("--logs", type=Path, help="keep the logs here, and go on from those there")
    parser.add_argument(
        "--seeds", type=int, help=f"how many seeds; {SEEDS} unless said, 1 if quick"
    )
    parser.add_argument("--only-logs", action="store_true", help="stop once the logs are there")
    parser.add_argument(
        "--scorers", nargs="+", choices=SCORERS, default=COMPARED, help="which scorers to compare"
    )
    given = parser.parse_args()
    seeds = given.seeds or (1 if given.quick else SEEDS)
    print(f"open question, simulated models, {seeds} seeds, on {machine()}", flush=True)
    with ExitStack() as stack:
        kept = given.logs or Path(stack.enter_context(TemporaryDirectory()))
        folder = kept / "quick" if given.quick else kept
        wanted = steps(folder, seeds, given.scorers, quick=given.quick)
        write_logs(wanted, load_encoder(), quick=given.quick)
        if given.only_logs:
            return 0
        bars, figures = compare([read_log(step) for step in wanted], given.out)
    return finish("open_question", bars, figures, Options(given.quick, given.out))


if __name__ == "__main__":
    sys.exit(main())
