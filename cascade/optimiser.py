"""The whole cost-quality frontier of a log: every chain, every threshold, every budget in one run.

    scores ─► chances of being right, out of fold ─► expected qualities ─► all chains' sums
           ─► the frontier ─► one policy for a budget, or a mix of two neighbours

Against the search of FrugalGPT (Chen, Zaharia, Zou; arXiv 2305.05176), which tries thresholds one
by one for one budget, chains are summed over all thresholds at once, and estimates are out of fold.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cascade.chains import Candidate, Chain, Cloud, Estimate, Rows, clouds
from cascade.chances import chances_of, expected_quality, fit_knots, out_of_fold
from cascade.errors import BadOutcomes, Infeasible
from cascade.policy import Instead, Knots, Policy, Tier
from cascade.pooling import Members, Pooled, segment_thresholds, worth_of_segments
from cascade.replay import MOST_USD, NO_SEGMENT, Human, Outcomes, check_scored, run

Numbers = NDArray[np.float64]

LEAST_ROWS = 30
MOST_POINTS = 200


@dataclass(frozen=True)
class Search:
    """What is searched and what counts as cost.

    A chain has at most `depth` models, each with at most `bins` - 1 thresholds to choose from.
    Without a `human` every chain ends with an answer. `scorer_cost` is US dollars for each scored
    answer; `retries` is how many calls per call are repeated and billed. With `by_segment` each
    segment may get thresholds of its own.
    """

    depth: int = 4
    bins: int = 20
    human: Human | None = None
    scorer_cost: float = 0.0
    retries: float = 0.0
    by_segment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 6:
            raise BadOutcomes(f"a depth of {self.depth}; expected 1 to 6 models in a chain")
        if not 2 <= self.bins <= 100:
            raise BadOutcomes(f"{self.bins} bins; expected 2 to 100")
        for name in ("scorer_cost", "retries"):
            if not 0 <= getattr(self, name) <= MOST_USD:
                raise BadOutcomes(
                    f"{name} is {getattr(self, name)!r}; expected 0 or more, at most 1e9"
                )

    def priced(self, outcomes: Outcomes) -> Outcomes:
        """The log with what scoring and retries add to the cost of every answer."""
        return replace(outcomes, cost=outcomes.cost * (1 + self.retries) + self.scorer_cost)


@dataclass(frozen=True)
class Point:
    """One policy of the frontier and what to expect of it."""

    policy: Policy
    expected: Estimate


@dataclass(frozen=True)
class Frontier:
    """No point is expected to cost less and do better than another; cheapest first.

    `chains` says how many were summed over all their thresholds, `skipped` how often a bound showed
    that a chain and all that go on from it add nothing. `pooled` says what thresholds per segment
    are worth; it is None where there is one segment, or where segments share a
    human's capacity and thresholds of their own would overrun it.
    """

    log: str
    rows: int
    search: Search
    points: tuple[Point, ...]
    chains: int
    skipped: int
    pooled: Pooled | None
    seconds: float

    def for_budget(self, usd: float) -> Point:
        """The best policy that is expected to cost at most this much a ticket, mixed to hit it.

        Raises `Infeasible` where even the cheapest point costs more.
        """
        if not usd >= 0:
            raise BadOutcomes(f"a budget of {usd!r}; expected US dollars a ticket, 0 or more")
        cheapest = self.corners[0]
        if not cheapest.expected.cost <= usd * (1 + 1e-9):
            raise Infeasible(
                f"no policy costs {usd:g} USD a ticket; the cheapest, {named(cheapest.policy)}, is "
                f"expected to cost {cheapest.expected.cost:.3g} USD with a quality of "
                f"{cheapest.expected.quality:.3f}"
            )
        return self._mixed([point.expected.cost for point in self.corners], usd)

    def for_quality(self, quality: float) -> Point:
        """The cheapest policy whose expected quality is at least this, mixed to hit it.

        Raises `Infeasible` where even the best point is worse.
        """
        if not 0 <= quality <= 1:
            raise BadOutcomes(f"a quality of {quality!r}; expected a share in [0, 1]")
        best = self.corners[-1]
        if best.expected.quality < quality - 1e-9:
            raise Infeasible(
                f"no policy has a quality of {quality:g}; the best, {named(best.policy)}, is "
                f"expected to have {best.expected.quality:.3f} for {best.expected.cost:.3g} USD a "
                "ticket"
            )
        return self._mixed([point.expected.quality for point in self.corners], quality)

    @property
    def corners(self) -> tuple[Point, ...]:
        """The points that no mix of two others beats, cheapest first."""
        kept = corners([point.expected for point in self.points])
        return tuple(self.points[place] for place in kept)

    def _mixed(self, values: Sequence[float], wanted: float) -> Point:
        """The mix of the two corners between whose rising values the wanted one lies."""
        known = self.corners
        above = int(np.searchsorted(values, wanted * (1 - 1e-9)))
        if above == len(known) or above == 0:
            return known[min(above, len(known) - 1)]
        below = above - 1
        share = (wanted - values[below]) / (values[above] - values[below])
        if not 1e-6 < share < 1 - 1e-6:
            return known[above if share > 0.5 else below]
        mix = Instead(share, known[above].policy.tiers)
        expected = known[below].expected.mixed(known[above].expected, share)
        return Point(replace(known[below].policy, instead=mix), expected)


def optimise(outcomes: Outcomes, search: Search | None = None) -> Frontier:
    """Find the frontier of a log whose answers are scored.

    A human who takes no ticket counts as none. Raises `BadOutcomes` for missing scores or fewer
    than 30 rows.
    """
    search = search or Search()
    if search.human is not None and search.human.capacity == 0:
        search = replace(search, human=None)
    started = time.perf_counter()
    check_scored(outcomes)
    check_enough(outcomes)
    log = Prepared.of(search.priced(outcomes), search)
    found, count, skipped = _search(log.rows, search)
    points = [Point(log.policy(each), each.expected) for each in found]
    pooled = None
    if search.by_segment and len(log.members) > 1 and not _shares_a_day(search.human):
        points, pooled = _with_segments(log, found, points, search)
    seconds = time.perf_counter() - started
    return Frontier(
        outcomes.name, len(outcomes), search, tuple(points), count, skipped, pooled, seconds
    )


def check_enough(outcomes: Outcomes) -> None:
    """Raise `BadOutcomes` where there are too few rows to fit thresholds to."""
    if len(outcomes) < LEAST_ROWS:
        raise BadOutcomes(
            f"{outcomes.name} has {len(outcomes)} rows; thresholds fitted to fewer than "
            f"{LEAST_ROWS} say nothing about the next ticket; log more"
        )


def measured(policy: Policy, outcomes: Outcomes, search: Search) -> Estimate:
    """What the policy costs and gets right on a log, scoring and retries included."""
    done = run(policy, search.priced(outcomes), human=search.human)
    handed = float((~done.accepted).mean())
    return Estimate(float(done.cost.mean()), float(done.quality.mean()), handed)


def corners(estimates: Sequence[Estimate]) -> list[int]:
    """The places of estimates, cheapest first, that no mix of two others beats."""
    kept: list[int] = []
    for place in undominated(
        np.array([each.cost for each in estimates]), np.array([each.quality for each in estimates])
    ):
        new = estimates[place]
        while len(kept) > 1:
            before, last = estimates[kept[-2]], estimates[kept[-1]]
            if before.slope_to(last) > last.slope_to(new):
                break
            kept.pop()
        kept.append(int(place))
    return kept


def undominated(cost: Numbers, quality: Numbers) -> NDArray[np.intp]:
    """The places of what nothing cheaper or equally cheap matches, cheapest first."""
    order = np.lexsort((-quality, cost))
    best = np.maximum.accumulate(quality[order])
    kept = np.concatenate([[True], quality[order][1:] > best[:-1] + 1e-12])
    places: NDArray[np.intp] = order[kept]
    return places


def named(policy: Policy) -> str:
    """The policy's chain for a person, thresholds as percentages."""
    tiers = [
        tier.model if tier.threshold == 0 else f"{tier.model} from {100 * tier.threshold:.3g}%"
        for tier in policy.tiers
    ]
    chain = ", then ".join(tiers)
    if policy.instead is None:
        return chain
    other = named(Policy(policy.instead.tiers))
    return f"{chain}; for {policy.instead.share:.0%} of the tickets {other}"


@dataclass(frozen=True)
class Prepared:
    """A priced log made ready for the search: what its scores are worth, each segment's rows."""

    priced: Outcomes
    rows: Rows
    knots: tuple[Knots, ...]
    members: Members

    @classmethod
    def of(cls, priced: Outcomes, search: Search) -> "Prepared":
        """Fit the calibrations and work out what answers are expected to be worth."""
        unseen = out_of_fold(priced.score, priced.quality, search.seed)
        expected = expected_quality(unseen, priced.quality, search.seed)
        knots = [
            fit_knots(scores, quality)
            for scores, quality in zip(priced.score.T, priced.quality.T, strict=True)
        ]
        members = {
            segment: np.flatnonzero(priced.of_segment(segment)) for segment in priced.segments
        }
        # Thresholds split rows as the service will, by what all rows together say of a score.
        chances = chances_of(priced.score, knots)
        rows = Rows.of(chances, expected, priced.cost, search.bins)
        return cls(priced, rows, tuple(knots), members)

    def policy(
        self, found: Candidate, of_segments: Mapping[str, tuple[float, ...]] | None = None
    ) -> Policy:
        """The candidate as a policy; segments may have thresholds that differ from its own."""
        tiers = []
        for place, model in enumerate(found.chain):
            own = {
                segment: thresholds[place]
                for segment, thresholds in (of_segments or {}).items()
                if segment != NO_SEGMENT and thresholds[place] != found.thresholds[place]
            }
            name, source = self.priced.models[model], self.priced.sources[model]
            tiers.append(Tier(name, source, found.thresholds[place], own, self.knots[model]))
        return Policy(tuple(tiers))

    def expected(
        self, found: Candidate, of_segments: Mapping[str, tuple[float, ...]], human: Human | None
    ) -> Estimate:
        """What is expected of a candidate with these thresholds for its segments."""
        sums = np.zeros(3)
        for segment, places in self.members.items():
            own, thresholds = self.rows.take(places), of_segments[segment]
            cost, quality = own.under(found.chain, thresholds, human)
            handed = own.rejected(found.chain, thresholds).sum()
            sums += (cost.sum(), quality.sum(), handed)
        return Estimate(*map(float, sums / len(self.priced)))


@dataclass
class _Front:
    """The best seen so far: costs and qualities rise along it."""

    found: list[Candidate] = field(default_factory=list)
    cost: Numbers = field(default_factory=lambda: np.empty(0))
    quality: Numbers = field(default_factory=lambda: np.empty(0))

    def quality_at(self, cost: Numbers) -> Numbers:
        """The best quality so far for at most these costs."""
        known = np.concatenate([[-1.0], self.quality])
        found: Numbers = known[np.searchsorted(self.cost, cost, side="right")]
        return found

    def add(self, cloud: Cloud, rows: Rows, most_handed: float) -> None:
        """Take in what is better, at its cost, than all that was seen."""
        cost, quality = cloud.cost.ravel(), cloud.quality.ravel()
        better = np.flatnonzero(quality > self.quality_at(cost) + 1e-9)
        better = better[cloud.handed.ravel()[better] <= most_handed + 1e-12]
        if not len(better):
            return
        better = better[undominated(cost[better], quality[better])]
        news = [cloud.candidate(int(place), rows) for place in better]
        both = [*self.found, *news]
        costs = np.array([each.expected.cost for each in both])
        qualities = np.array([each.expected.quality for each in both])
        kept = undominated(costs, qualities)
        self.found = [both[place] for place in kept]
        self.cost, self.quality = costs[kept], qualities[kept]


def _search(rows: Rows, search: Search) -> tuple[list[Candidate], int, int]:
    """Return the frontier's candidates, how many chains were summed, how often some were skipped.

    A chain pays its first model for every row, and no threshold makes it better than if the best
    answer were always known; where the frontier is that good for less, the chain is skipped.
    """
    front, count, skipped = _Front(), 0, 0
    most_handed = 1.0 if search.human is None else search.human.capacity
    paid = rows.cost.mean(0)

    def cannot_help(begun: Chain, dearer: Chain) -> bool:
        nonlocal skipped
        best = rows.quality[:, [*begun, *dearer]].max(1)
        if search.human is not None:
            best = np.maximum(best, search.human.quality)
        beaten = float(front.quality_at(paid[list(begun[:1])])[0]) >= float(best.mean())
        skipped += beaten
        return beaten

    for cloud in clouds(rows, depth=search.depth, human=search.human, skip=cannot_help):
        front.add(cloud, rows, most_handed)
        count += 1
    return _thinned(front.found), count, skipped


def _thinned(found: Sequence[Candidate]) -> list[Candidate]:
    """Leave out points that add next to nothing to their neighbours, down to `MOST_POINTS`."""
    if len(found) <= MOST_POINTS:
        return list(found)
    quality = np.array([each.expected.quality for each in found])
    cost = np.log(np.array([each.expected.cost for each in found]) + 1e-12)
    way = np.cumsum(
        np.r_[0.0, np.diff(quality) / np.ptp(quality) + np.diff(cost) / max(1e-12, np.ptp(cost))]
    )
    chosen = np.searchsorted(way, np.linspace(0, way[-1], MOST_POINTS))
    return [found[place] for place in np.unique(np.minimum(chosen, len(found) - 1))]


def _shares_a_day(human: Human | None) -> bool:
    """Whether segments share a human's capacity, which thresholds of their own would overrun."""
    return human is not None and human.capacity < 1


def _with_segments(
    log: Prepared, found: Sequence[Candidate], points: list[Point], search: Search
) -> tuple[list[Point], Pooled]:
    """Return the points with thresholds per segment at the corners, if those are worth it."""
    estimates = [each.expected for each in found]
    places = corners(estimates)
    tuned = [
        (place, _price(estimates, places, at))
        for at, place in enumerate(places)
        if len(found[place].thresholds) > 1 or found[place].last is None
    ]
    priced = [(found[place], price) for place, price in tuned]
    pooled = worth_of_segments(log.rows, log.members, priced, search.human, search.seed)
    if pooled.kept:
        return points, pooled
    for place, price in tuned:
        own = segment_thresholds(
            log.rows, log.members, found[place], price, search.human, pooled.rows
        )
        expected = log.expected(found[place], own, search.human)
        points[place] = Point(log.policy(found[place], own), expected)
    kept = undominated(
        np.array([point.expected.cost for point in points]),
        np.array([point.expected.quality for point in points]),
    )
    return [points[place] for place in kept], pooled


def _price(estimates: Sequence[Estimate], places: Sequence[int], at: int) -> float:
    """Return what quality 1 costs at a corner, in dollars: between its two neighbours' prices."""
    slopes = [
        estimates[places[one]].slope_to(estimates[places[one + 1]])
        for one in (at - 1, at)
        if 0 <= one < len(places) - 1
    ]
    return float(np.exp(-np.mean(np.log(slopes)))) if slopes else 1.0
