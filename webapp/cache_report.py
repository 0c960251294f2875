"""What the cache is worth: how often it answers, how often it is wrong, what it saves."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from cascade.bounds import binomial_upper
from webapp.drift import wrongness_where
from webapp.models import CacheEntry, Suggestion, SuggestionStep

CONFIDENCE = 0.95
ID = 36
"""The length of a suggestion's id, with which the name of each entry begins."""


@dataclass(frozen=True)
class Report:
    """What came of the cache.

    Of `suggestions` it answered `hits`. People judged `judged` of them and found `wrong` wrong; the
    share is between `lower` and `upper` with 95 % confidence (Clopper & Pearson). `saved` is what
    making those answers had cost in US dollars.
    """

    suggestions: int
    hits: int
    judged: int
    wrong: int
    lower: float
    upper: float
    saved: Decimal

    @property
    def hit_rate(self) -> float:
        """The share of suggestions that the cache answered."""
        return self.hits / self.suggestions if self.suggestions else 0.0


def report(session: Session, tenant_id: str, *, since: datetime) -> Report:
    """Return what the cache did for suggestions that ended since then."""
    mine = (
        Suggestion.tenant_id == tenant_id,
        Suggestion.status != "running",
        Suggestion.created_at >= since,
    )
    from_cache = (*mine, Suggestion.status == "suggested", Suggestion.source == "cache")
    values = wrongness_where(session, *from_cache)
    wrong, judged = round(sum(values)), len(values)
    lower, upper = interval(wrong, judged)
    return Report(
        suggestions=_count(session, *mine),
        hits=_count(session, *from_cache),
        judged=judged,
        wrong=wrong,
        lower=lower,
        upper=upper,
        saved=_saved(session, *from_cache),
    )


def interval(wrong: int, n: int) -> tuple[float, float]:
    """Return between which shares the truth is, with 95 % confidence, after `wrong` of n."""
    if not n:
        return 0.0, 1.0
    level = (1 - CONFIDENCE) / 2
    return 1 - binomial_upper(n - wrong, n, level=level), binomial_upper(wrong, n, level=level)


def entries(
    session: Session, tenant_id: str, *, search: str = "", limit: int = 50
) -> list[CacheEntry]:
    """Return the entries whose question or answer has the text, the last used first."""
    query = select(CacheEntry).where(CacheEntry.tenant_id == tenant_id)
    if search:
        columns = (CacheEntry.question, CacheEntry.answer)
        query = query.where(or_(*(each.icontains(search, autoescape=True) for each in columns)))
    last_used = (CacheEntry.used_at.desc(), CacheEntry.name)
    return list(session.scalars(query.order_by(*last_used).limit(limit)))


def _count(session: Session, *which: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Suggestion).where(*which)) or 0


def _saved(session: Session, *which: ColumnElement[bool]) -> Decimal:
    made_by = aliased(Suggestion)
    query = (
        select(func.sum(made_by.cost))
        .select_from(Suggestion)
        .join(
            SuggestionStep,
            (SuggestionStep.tenant_id == Suggestion.tenant_id)
            & (SuggestionStep.suggestion_id == Suggestion.id)
            & SuggestionStep.accepted,
        )
        .join(
            made_by,
            (made_by.tenant_id == Suggestion.tenant_id)
            & (made_by.id == func.substr(SuggestionStep.origin, 1, ID)),
        )
        .where(*which)
    )
    return session.scalar(query) or Decimal(0)
