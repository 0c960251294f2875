"""How values read on a page: scores, money, durations, ages, features, and what is missing.

Pure functions; `install` makes those of them that templates use into Jinja filters.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from flask import Flask

from cascade.pricing import dollars
from scoring.customer import Feature
from webapp.models import Feedback, Suggestion, utc_now
from webapp.reference import operations_by_tag

SOURCES = {
    "cache": "Cached answer",
    "macro": "Macro",
    "llm": "Language model",
    "simulated": "Simulated model",
}
HASH_SHOWN = 8


def install(app: Flask) -> None:
    """Make the filters known to the app's templates."""
    for each in FILTERS:
        app.add_template_filter(each)
    app.add_template_global(SOURCES, "SOURCES")  # type: ignore[arg-type]


def percent(share: float) -> str:
    """Return a share of 1 as percent, rounded down, to a tenth where it has one: "80 %"."""
    return f"{_rounded_down(share, 10):g}\N{NO-BREAK SPACE}%"


def score(value: float, threshold: float) -> str:
    """Return a score as whole percent, to a tenth where only that tells it from its threshold."""
    whole = _rounded_down(value, 1)
    close = whole == _rounded_down(threshold, 1)
    return f"{_rounded_down(value, 10) if close else whole:g}\N{NO-BREAK SPACE}%"


def _rounded_down(share: float, per_point: int) -> float:
    # The small summand keeps 0.29 * 100 = 28.999… from becoming 28.
    return math.floor(share * 100 * per_point + 1e-6) / per_point


def money(amount: Decimal) -> str:
    """Return US dollars to the last digit that was charged: "$0.000043"."""
    return f"${dollars(amount)}"


def took(milliseconds: int | None) -> str:
    """Return a duration: "412 ms", "2.4 s"."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds}\N{NO-BREAK SPACE}ms"
    return f"{milliseconds / 1000:.1f}\N{NO-BREAK SPACE}s"


def lasting(seconds: float) -> str:
    """Return how long something takes, in whole seconds or minutes: "42 s", "3 min"."""
    if seconds < 90:
        return f"{max(round(seconds), 1)}\N{NO-BREAK SPACE}s"
    return f"{round(seconds / 60)}\N{NO-BREAK SPACE}min"


def capitalize_first(text: str) -> str:
    """Return a text that begins like a sentence; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def ago(at: datetime, now: datetime | None = None) -> str:
    """Return how long ago something was, in the largest unit that fits: "3 h ago"."""
    passed = (now or utc_now()) - at
    if passed < timedelta(minutes=1):
        return "just now"
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if passed >= length:
            return f"{passed // length}\N{NO-BREAK SPACE}{unit} ago"
    return f"{passed // timedelta(minutes=1)}\N{NO-BREAK SPACE}min ago"


def moment(at: datetime) -> str:
    """Return a time in full: "1 Apr 2026, 09:00 UTC"."""
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def feature_name(name: str) -> str:
    """Return a feature's name in words: "Days since purchase"."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def feature_value(value: Feature) -> str:
    """Return a feature's value in words: "Yes", "45", "in transit"."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value).replace("_", " ")


def version(name: str | None) -> str:
    """Return a version with its hash cut to a readable length: "gold@3f9c21ab"."""
    label, at, digest = (name or "–").rpartition("@")
    return f"{label}{at}{digest[:HASH_SHOWN]}" if at else digest[: 2 * HASH_SHOWN]


def missing(suggestion: Suggestion) -> list[str]:
    """Return what an escalated suggestion lacks to be good enough, one thing each."""
    if suggestion.score is None or suggestion.threshold is None:
        lacks = ["An answer: no tier offered one that could be scored"]
    else:
        reached = score(suggestion.score, suggestion.threshold)
        lacks = [f"An answer that scores {percent(suggestion.threshold)}; the best has {reached}"]
    lacks += [
        f"An answer from {step.model}: {step.error}" for step in suggestion.steps if step.error
    ]
    if suggestion.steps and all(step.source in ("cache", "macro") for step in suggestion.steps):
        lacks.append("A language model: only written answers were asked for")
    return lacks


def verdict_shown(suggestion: Suggestion) -> Feedback | None:
    """Return the last verdict on a draft that changed its ticket; an audit changes none."""
    given = [each for each in suggestion.feedback if each.action != "audited"]
    return given[-1] if given else None


FILTERS: tuple[Callable[..., object], ...] = (
    percent,
    score,
    money,
    took,
    lasting,
    capitalize_first,
    ago,
    moment,
    feature_name,
    feature_value,
    version,
    missing,
    verdict_shown,
    operations_by_tag,
)
