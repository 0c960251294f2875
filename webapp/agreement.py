"""How far two reviewers who judged the same answer found the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from cascade.bounds import binomial_upper
from webapp.models import Review
from webapp.rubric import CRITERIA

CONFIDENCE = 0.95

Pair = tuple[bool, bool]
"""What the first and the second reviewer found."""


@dataclass(frozen=True)
class Alike:
    """Of `judged` answers the two agree on `agree`, a share between `lower` and `upper`.

    These bound it with `CONFIDENCE`. `kappa` is the agreement beyond chance, 1 at most; None where
    nothing was judged and where both found the same of every answer, so that chance explains all.
    """

    judged: int
    agree: int
    lower: float
    upper: float
    kappa: float | None

    @property
    def share(self) -> float:
        """The share they agree on; 1 where nothing was judged twice."""
        return self.agree / self.judged if self.judged else 1.0


@dataclass(frozen=True)
class Agreement:
    """How far reviewers agree on whether an answer suits, and on each criterion by its name."""

    suits: Alike
    criteria: dict[str, Alike]

    @property
    def twice(self) -> int:
        """How many answers were judged twice."""
        return self.suits.judged


def agreement(session: Session, tenant_id: str) -> Agreement:
    """Return how far the tenant's reviewers agree on the audits that two of them have closed."""
    first, second = aliased(Review), aliased(Review)
    twice = session.execute(
        select(first.suits, second.suits, first.rubric, second.rubric)
        .join(
            second,
            (second.tenant_id == first.tenant_id) & (second.suggestion_id == first.suggestion_id),
        )
        .where(
            first.tenant_id == tenant_id,
            *(each.kind == "audit" for each in (first, second)),
            *(each.status == "resolved" for each in (first, second)),
            first.round == 1,
            second.round == 2,
        )
    ).all()
    return Agreement(
        alike([(bool(one), bool(other)) for one, other, _, _ in twice]),
        {
            each.name: alike(
                [
                    (one[each.name], other[each.name])
                    for _, _, one, other in twice
                    if one and other and each.name in one and each.name in other
                ]
            )
            for each in CRITERIA
        },
    )


def alike(pairs: Sequence[Pair]) -> Alike:
    """Return how far the pairs agree, with the Clopper-Pearson interval of the share."""
    n, agree = len(pairs), sum(one == other for one, other in pairs)
    if not n:
        return Alike(0, 0, 0.0, 1.0, None)
    beyond = (1 - CONFIDENCE) / 2
    return Alike(
        judged=n,
        agree=agree,
        lower=1 - binomial_upper(n - agree, n, level=beyond),
        upper=binomial_upper(agree, n, level=beyond),
        kappa=kappa(pairs),
    )


def kappa(pairs: Sequence[Pair]) -> float | None:
    """Cohen's kappa (Educational and Psychological Measurement 1960); None where it is undefined.

    >>> kappa([(True, True), (True, True), (False, False), (True, False)])
    0.5
    """
    n = len(pairs)
    if not n:
        return None
    seen = sum(one == other for one, other in pairs) / n
    yes_first, yes_second = (sum(each[place] for each in pairs) / n for place in (0, 1))
    by_chance = yes_first * yes_second + (1 - yes_first) * (1 - yes_second)
    return None if by_chance == 1 else (seen - by_chance) / (1 - by_chance)
