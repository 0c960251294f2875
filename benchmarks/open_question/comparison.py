"""What the logs say."""

from collections.abc import Sequence

from benchmarks.open_question.logs import Log
from benchmarks.report import Bar


def compare(logs: Sequence[Log]) -> list[Bar]:
    """Print what the simulated models are worth, from the logs of all scorers, and return bars."""
    for log in {log.domain: log for log in reversed(logs)}.values():
        print(f"{log.domain}, seed {log.seed}, {len(log.fit)} fitting questions:")
        for column, model in enumerate(log.fit.models):
            right, cost = log.fit.quality[:, column].mean(), log.fit.cost[:, column].mean()
            print(f"  {model:40} right {right:.1%}, {cost * 1e3:.3f} dollars for 1,000")
    return []
