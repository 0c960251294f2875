"""Whom the cache serves: pairs of questions to the demo shop, one answered before, the other asked.

The pairs are the shop's held-out wordings of one topic, each wording beside the nearest of another
topic, and the groups of `cache_questions.txt`: the same in other words, the opposite, another
number, date or order. Each pair is alone in its cache, whose entry everybody may see: no scope
stands between an asker and a wrong answer, only nearness, the guards and the scorer. All wordings,
answers and customers are left out of training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np

from cascade import Cache, Deadline, DraftRequest
from cascade.bounds import binomial_upper
from cascade.cache import Embed
from cascade.memory_store import MemoryStore
from scoring.examples import Pair
from scoring.scorer import Scorer
from webapp.demo.phrasings import PHRASINGS
from webapp.demo.phrasings.other import ITEMS
from webapp.demo.policy import TOPICS, right_answer_is
from webapp.demo.records import DemoCustomer, Shop
from webapp.demo.seeding import as_scored

QUESTIONS = Path(__file__).with_name("cache_questions.txt")
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEVEL = 0.025
"""The chance that an interval's end lies on the wrong side of the truth, at each end."""

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
Kind = Literal["same", "opposite", "number", "topic"]
Label = Literal["right", "other customer", "opposite", "number", "topic"]
LABELS: tuple[Label, ...] = (
    "right",
    "other customer",
    "opposite",
    "number",
    "topic",
)


@dataclass(frozen=True)
class Asked:
    """Two questions: one that was answered before, and the one that is asked now."""

    kind: Kind
    topic: str
    before: str
    now: str


@dataclass(frozen=True)
class Trial:
    """A pair with its answer, whom that was made for and who asks; only `right` may be served."""

    asked: Asked
    label: Label
    answer: str
    made_for: DemoCustomer
    asker: DemoCustomer


@dataclass(frozen=True)
class Tried:
    """What became of a trial: the guards' note, and the score, 0 where nothing was scored."""

    trial: Trial
    note: str | None
    near: bool
    score: float


@dataclass(frozen=True)
class Share:
    """How many of so many, with a 95 % interval (Clopper and Pearson)."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share itself, 0 of none."""
        return self.count / max(1, self.of)

    @property
    def interval(self) -> tuple[float, float]:
        """Its ends; everything is possible where nothing was tried."""
        if not self.of:
            return 0.0, 1.0
        below = binomial_upper(self.of - self.count, self.of, level=LEVEL)
        return 1 - below, binomial_upper(self.count, self.of, level=LEVEL)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count}/{self.of} {self.value:.1%} [{low:.1%}, {high:.1%}]"


def all_pairs(embed: Embed) -> list[Asked]:
    """Every pair; the same for the same encoder."""
    wordings = _held_out()
    return [*_of_one_topic(wordings), *_of_another_topic(wordings, embed), *written()]


def all_trials(pairs: Sequence[Asked], shop: Shop) -> list[Trial]:
    """Each pair with an answer and its askers, drawn anew for each pair from the same seed.

    The answer is one that the policy has for the customer it was made for. It is asked for by
    somebody for whom it would be right too, and where the questions mean the same also by somebody
    for whom it is wrong.
    """
    customers = [each for each in shop.customers if each.held_out]
    return [trial for n, pair in enumerate(pairs) for trial in _trials(pair, customers, n)]


def _trials(pair: Asked, customers: Sequence[DemoCustomer], number: int) -> Iterator[Trial]:
    random = Random(f"pairs:7:{number}")
    by_stance: dict[str, list[DemoCustomer]] = {}
    for each in customers:
        by_stance.setdefault(right_answer_is(pair.topic, each), []).append(each)
    stance = random.choice(sorted(by_stance))
    answer = random.choice(PHRASINGS[pair.topic].answers[stance].heldout)
    made_for, asker = random.sample(by_stance[stance], 2)
    label: Label = "right" if pair.kind == "same" else pair.kind
    yield Trial(pair, label, answer, made_for, asker)
    if pair.kind == "same":
        others = [each for name, of in by_stance.items() if name != stance for each in of]
        yield Trial(pair, "other customer", answer, made_for, random.choice(others))


def tried(
    trials: Sequence[Trial], embed: Embed, scorer: Scorer, champions: Mapping[str, str]
) -> list[Tried]:
    """Ask the cache in each trial, and score what it offers as the cascade does."""
    offered = [_offered(trial, embed) for trial in trials]
    places = [place for place, (texts, _) in enumerate(offered) if texts]
    pairs = [
        Pair(trials[at].asked.now, trials[at].answer, as_scored(trials[at].asker)) for at in places
    ]
    scores = dict(zip(places, scorer.score(pairs, champions), strict=True))
    return [
        Tried(
            trial,
            note,
            near=bool(texts or note),
            score=scores[place].value if place in scores else 0.0,
        )
        for place, (trial, (texts, note)) in enumerate(zip(trials, offered, strict=True))
    ]


def _offered(trial: Trial, embed: Embed) -> tuple[tuple[str, ...], str | None]:
    """What the cache offers the asker, and its note on what the guards refused."""
    cache = Cache(MemoryStore(), embed, tenant="t", knowledge="v", now=lambda: NOON)
    cache.remember("e", trial.asked.before, trial.answer, as_scored(trial.made_for), "public")
    request = DraftRequest(trial.asked.now, as_scored(trial.asker), ())
    drafts = cache.draft(request, deadline=Deadline.after(60))
    return drafts.texts, drafts.note


def served(results: Sequence[Tried], label: Label, threshold: float) -> Share:
    """How many trials of a label are served at a threshold."""
    mine = [each for each in results if each.trial.label == label]
    return Share(sum(each.score >= threshold for each in mine), len(mine))


def wrong_of_served(results: Sequence[Tried], threshold: float) -> Share:
    """How many of all that are served at a threshold should not have been."""
    out = [each for each in results if each.score >= threshold]
    return Share(sum(each.trial.label != "right" for each in out), len(out))


def refused(results: Sequence[Tried], label: Label) -> tuple[Share, Share]:
    """How many trials of a label are near enough, and how many of those the guards refuse."""
    mine = [each for each in results if each.trial.label == label]
    near = [each for each in mine if each.near]
    return Share(len(near), len(mine)), Share(sum(bool(e.note) for e in near), len(near))


def _held_out() -> dict[str, list[str]]:
    """The held-out questions of each topic, each with its own product."""
    random = Random("pairs:7")
    return {
        topic.name: [
            question.replace("{item}", random.choice(ITEMS.heldout))
            for question in PHRASINGS[topic.name].questions.heldout
        ]
        for topic in TOPICS
    }


def _of_one_topic(wordings: Mapping[str, Sequence[str]]) -> Iterator[Asked]:
    for topic, questions in wordings.items():
        for before, now in combinations(questions, 2):
            yield Asked("same", topic, before, now)


def _of_another_topic(wordings: Mapping[str, Sequence[str]], embed: Embed) -> Iterator[Asked]:
    """Each question beside the nearest of another topic, which is asked."""
    every = [(topic, question) for topic, questions in wordings.items() for question in questions]
    vectors = embed([question for _, question in every])
    near = np.asarray(vectors @ vectors.T)
    for row, (topic, before) in enumerate(every):
        order = (int(at) for at in np.argsort(-near[row]))
        yield Asked(
            "topic", topic, before, next(every[at][1] for at in order if every[at][0] != topic)
        )


def written() -> Iterator[Asked]:
    """The pairs within each group of the file."""
    for topic, group in read_groups(QUESTIONS):
        alike = [*group["?"], *group["~"]]
        kinds: tuple[tuple[Kind, Iterator[tuple[str, str]]], ...] = (
            ("same", combinations(alike, 2)),
            ("opposite", ((one, other) for one in alike for other in group["!"])),
            ("number", combinations(group["#"], 2)),
        )
        for kind, pairs in kinds:
            for before, now in pairs:
                yield Asked(kind, topic, before, now)


def read_groups(path: Path) -> Iterator[tuple[str, Mapping[str, list[str]]]]:
    """Each group of a file with its topic: its lines by the sign they begin with."""
    topic, group = "", dict[str, list[str]]()
    # What stands above the first topic is said to the reader.
    lines = path.read_text(encoding="utf-8").partition("\n= ")[2]
    for line in f"= {lines}\n? ".splitlines():
        sign, said = line[:1], line[2:]
        if sign in ("=", "?") and group:
            yield topic, group
            group = {}
        if sign == "=":
            topic = said
        elif said:
            group = group or {"?": [], "~": [], "!": [], "#": []}
            group[sign].append(said)


Say = Callable[[str], None]


def told(results: Sequence[Tried], say: Say) -> None:
    """Say what was near, what the guards refused, and what is served at each threshold."""
    for label in LABELS:
        near, taken_out = refused(results, label)
        say(f"{label}: near enough {near}; of those refused by the guards {taken_out}")
    for threshold in THRESHOLDS:
        shares = "; ".join(f"{label} {served(results, label, threshold)}" for label in LABELS)
        say(f"served at {threshold}: {shares}; wrong of all {wrong_of_served(results, threshold)}")


def as_figures(results: Sequence[Tried]) -> dict[str, object]:
    """What JSON says of each threshold: counts by label."""
    return {
        str(threshold): {
            label: [(share := served(results, label, threshold)).count, share.of, *share.interval]
            for label in LABELS
        }
        for threshold in THRESHOLDS
    }
