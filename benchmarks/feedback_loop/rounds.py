"""One domain with one seed: rounds of tickets, feedback, training and measuring, audits on and off.

A course that is kept in a folder is not run again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.feedback_loop.people import (
    AUDITED,
    THRESHOLD,
    Lesson,
    Served,
    Ticket,
    is_audited,
    lessons,
    serve,
    tickets,
)
from benchmarks.open_question.comparison import Cascade
from benchmarks.open_question.domains import Domain
from benchmarks.open_question.logs import PARTS, Log, Step, asked, drawn, log_rows
from benchmarks.open_question.tiers import Question
from cascade.replay import Outcomes, read_outcomes
from scoring.encoder import Encoder
from scoring.examples import Example, Pair
from scoring.metrics import auc, expected_calibration_error
from scoring.registry import Registry
from scoring.scorer import Scorer, with_champions
from scoring.training import train
from webapp.demo.chance import stream
from webapp.labels import Row, capped

Numbers = NDArray[np.float64]

SHARES = {"on": AUDITED, "off": 0.0}
"""The share of accepted answers that is audited, by what the figures call it."""


@dataclass(frozen=True)
class Plan:
    """Of how many imported examples the first scorer learns, and after which feedbacks the next."""

    start: int
    rounds: tuple[int, ...]


FULL = Plan(start=150, rounds=(100, 400))
QUICK = Plan(start=100, rounds=(120,))


@dataclass(frozen=True)
class Measured:
    """A scorer after so many feedbacks, on held-out customers and wordings; shares in [0, 1].

    `wrong_accepted` and `right_accepted` are shares of all wrong and all right answers that reach
    the threshold, `wrong_of_accepted` how many of those that reach it are wrong. `cost_as_good` is
    what it takes to be as right as the dearest model, of its cost alone, and `quality_gained` how
    much more is right then. Of the feedback so far: how many answers were accepted and how many of
    these were wrong, how many `audits` there were, and by weight the share of its labels that are
    `false`. `examples` is what was learnt from in all.
    """

    domain: str
    seed: int
    audits_are: str
    feedbacks: int
    auc: float
    ece: float
    wrong_accepted: float
    right_accepted: float
    wrong_of_accepted: float
    cost_as_good: float
    quality_gained: float
    examples: int
    accepted: int
    accepted_wrong: int
    audits: int
    false: float
    train_seconds: float


def course(
    folder: Path, name: str, seed: int, plan: Plan, encoder: Encoder, *, quick: bool
) -> tuple[Measured, ...]:
    """Return all that is measured in one domain with one seed, from the folder if it is there."""
    kept = folder / f"{name}-{seed}-after-{'-'.join(map(str, plan.rounds))}.json"
    if not kept.exists():
        rows = list(_measured(name, seed, plan, encoder, quick=quick))
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return tuple(Measured(**row) for row in json.loads(kept.read_text("utf-8")))


def _measured(
    name: str, seed: int, plan: Plan, encoder: Encoder, *, quick: bool
) -> Iterator[Measured]:
    domain = drawn(name, seed, quick=quick)
    random = stream(f"feedback loop, {name}", seed)
    start = random.sample(domain.training, plan.start)
    arriving = tickets(domain, plan.rounds[-1], random)
    held_out = HeldOut.of(domain, arriving)
    with TemporaryDirectory() as temporary:
        trainer = Trainer(encoder, Path(temporary), start, seed)
        first = Loop(trainer.after(()), (), ())
        begun = held_out.measure("on", first, AUDITED)
        for audits_are, share in SHARES.items():
            loop = first
            yield _said(replace(begun, audits_are=audits_are))
            for before, now in zip((0, *plan.rounds), plan.rounds, strict=False):
                loop = loop.on(arriving[before:now], share, trainer)
                yield _said(held_out.measure(audits_are, loop, share))


def _said(row: Measured) -> Measured:
    print(
        f"{row.domain}, seed {row.seed}, audits {row.audits_are}, {row.feedbacks} feedbacks: "
        f"AUC {row.auc:.3f}, ECE {row.ece:.3f}, accepted {row.wrong_accepted:.1%} of wrong and "
        f"{row.right_accepted:.1%} of right answers, {row.wrong_of_accepted:.1%} of them wrong; "
        f"cost as good {row.cost_as_good:.3f} ({row.quality_gained:+.3f} right); so far "
        f"{row.accepted} accepted, {row.accepted_wrong} of them wrong, {row.audits} audits, "
        f"{row.false:.1%} false labels; {row.examples} "
        f"examples in {row.train_seconds:.0f} s",
        flush=True,
    )
    return row


@dataclass(frozen=True)
class Trained:
    """A scorer with its champions, and what it took."""

    scorer: Scorer
    champions: dict[str, str]
    examples: int
    seconds: float

    def scores(self, pairs: Sequence[Pair]) -> Numbers:
        """Return one score per pair, (n,)."""
        return np.array([each.value for each in self.scorer.score(pairs, self.champions)])


@dataclass(frozen=True)
class Trainer:
    """Trains adapters on the start and whatever feedback has taught, each in its own registry."""

    encoder: Encoder
    folder: Path
    start: Sequence[Example]
    seed: int

    def after(self, learnt: Sequence[Lesson]) -> Trained:
        """Return the scorer trained on the start and these lessons, nothing held back."""
        imported = [Row(example, "imported") for example in self.start]
        examples = capped([*imported, *(lesson.row for lesson in learnt)])
        registry = Registry(self.folder / str(len(list(self.folder.glob("*")))))
        started = time.perf_counter()
        train(
            examples,
            encoder=self.encoder,
            registry=registry,
            seed=self.seed,
            progress=False,
            created=datetime.now(UTC),
        )
        seconds = time.perf_counter() - started
        return Trained(*with_champions(self.encoder, registry), len(examples), seconds)


@dataclass(frozen=True)
class Loop:
    """How far the loop has come: what serves now, what was served so far and what it taught."""

    serving: Trained
    served: tuple[Served, ...]
    learnt: tuple[Lesson, ...]

    def on(self, arriving: Sequence[Ticket], share: float, trainer: Trainer) -> Loop:
        """Serve these tickets, gather what people say, and train anew."""
        pairs = [pair for ticket in arriving for pair in ticket.pairs()]
        scores = self.serving.scores(pairs).reshape(len(arriving), -1).tolist()
        served = [serve(ticket, own) for ticket, own in zip(arriving, scores, strict=True)]
        taught = [lesson for each in served for lesson in lessons(each, share)]
        learnt = (*self.learnt, *taught)
        return Loop(trainer.after(learnt), (*self.served, *served), learnt)


@dataclass(frozen=True)
class HeldOut:
    """The questions of customers nobody learns from, with all models' answers, not yet scored."""

    domain: Domain
    pairs: Sequence[Pair]
    fit: Outcomes
    test: Outcomes

    @classmethod
    def of(cls, domain: Domain, arriving: Sequence[Ticket]) -> HeldOut:
        """Ask the held-out customers; `ValueError` where they or their texts occur in a ticket."""
        taught = [Example(pair, 0) for ticket in arriving for pair in ticket.pairs()]
        written = [
            Example(replace(ticket.pairs()[0], answer=ticket.written), 1) for ticket in arriving
        ]
        training = (*domain.training, *taught, *written)
        questions = asked(replace(domain, training=training))
        pairs = [
            Pair(each.text, answer.text, each.person.customer)
            for part in PARTS
            for each in questions[part]
            for answer in each.answers
        ]
        fit, test = (_outcomes(domain, part, questions[part]) for part in PARTS)
        return cls(domain, pairs, fit, test)

    def measure(self, audits_are: str, loop: Loop, share: float) -> Measured:
        """Score all answers by what serves now, and say what that is worth."""
        scores = loop.serving.scores(self.pairs).reshape(-1, len(self.test.models))
        fit = replace(self.fit, score=scores[: len(self.fit)])
        test = replace(self.test, score=scores[len(self.fit) :])
        labels, said = test.quality.ravel(), test.score.ravel()
        log = Log(self.domain.name, self.domain.seed, "ours", fit, test, {})
        cost, gained = Cascade(log).cost_as_good()
        accepted = [each for each in loop.served if each.accepted]
        return Measured(
            domain=self.domain.name,
            seed=self.domain.seed,
            audits_are=audits_are,
            feedbacks=len(loop.served),
            auc=_known(auc(labels, said)),
            ece=_known(expected_calibration_error(labels, said)),
            wrong_accepted=float((said[labels == 0] >= THRESHOLD).mean()),
            right_accepted=float((said[labels == 1] >= THRESHOLD).mean()),
            wrong_of_accepted=_wrong_share(labels[said >= THRESHOLD]),
            cost_as_good=cost,
            quality_gained=gained,
            examples=loop.serving.examples,
            accepted=len(accepted),
            accepted_wrong=sum(not each.offered.quality for each in accepted),
            audits=sum(is_audited(each, share) for each in accepted),
            false=_false(loop.learnt),
            train_seconds=round(loop.serving.seconds, 1),
        )


def _outcomes(domain: Domain, part: str, questions: Sequence[Question]) -> Outcomes:
    step = Step(Path(), domain.name, domain.seed, "ours")
    rows = log_rows(step, part, questions, repeat(0.0))
    return read_outcomes((json.dumps(row) for row in rows), name=f"{domain.name}, {part}")


def _false(learnt: Sequence[Lesson]) -> float:
    """Return the share of the labels, by weight, that are not the truth; 0 where there are none."""
    weights = np.array([lesson.row.example.weight for lesson in learnt])
    false = np.array([not lesson.true for lesson in learnt])
    return float((weights * false).sum() / weights.sum()) if len(learnt) else 0.0


def _wrong_share(labels: Numbers) -> float:
    """Return how many of these answers are wrong; 0 where there are none."""
    return float(1 - labels.mean()) if len(labels) else 0.0


def _known(figure: float | None) -> float:
    """Return a figure that is defined wherever there are answers of both kinds."""
    assert figure is not None
    return figure
