"""The logs the optimiser learns from and is tested on: one of each per domain, seed and scorer.

A step that is in the folder is not done again: its figures, which are written last, stand beside
its logs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from datetime import time as time_of_day
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.open_question.domains import DOMAINS, Domain, Person
from benchmarks.open_question.scorers import SCORERS, Scored
from benchmarks.open_question.tiers import PRICED_ON, Question, Simulation
from benchmarks.report import machine
from cascade.replay import Outcomes, read_outcomes
from scoring.encoder import Encoder
from scoring.examples import Pair, write_rows
from scoring.metrics import auc
from webapp.demo.chance import stream

QUICK = 8
QUICK_DOMAINS = ("shop",)
"""A quick run has one customer in so many, to train on and to ask, and these domains only. That is
enough to see that all of it works, not to learn from."""

PARTS = ("fit", "test")
"""Thresholds are fitted on one half of the held-out customers and measured on the other."""


@dataclass(frozen=True)
class Step:
    """One scorer on one domain with one seed: where its two logs and its figures are."""

    folder: Path
    domain: str
    seed: int
    scorer: str

    @property
    def figures(self) -> Path:
        """What is known of the scorer: its AUC on the test part, how long it took."""
        return self.folder / f"{self.domain}-{self.seed}-{self.scorer}.json"

    def log(self, part: str) -> Path:
        """The log of the part named `fit` or `test`."""
        return self.figures.with_suffix(f".{part}.jsonl")


@dataclass(frozen=True)
class Log:
    """What one scorer said of the simulated models' answers in one domain, with one seed.

    `fit` is for fitting thresholds and `test` for measuring; both have the same models, and no
    customer in both. `figures` holds the scorer's `auc`, `auc_within_topic`, `train_seconds` and
    more.
    """

    domain: str
    seed: int
    scorer: str
    fit: Outcomes
    test: Outcomes
    figures: Mapping[str, Any]


def steps(folder: Path, seeds: int, scorers: Sequence[str], *, quick: bool) -> list[Step]:
    """Return all steps, those of the first seed first."""
    return [
        Step(folder, domain, seed, scorer)
        for seed in range(seeds)
        for domain in (QUICK_DOMAINS if quick else DOMAINS)
        for scorer in scorers
    ]


def write_logs(wanted: Sequence[Step], encoder: Encoder, *, quick: bool) -> None:
    """Do the steps that are not in their folder yet, with a line for each."""
    for number, step in enumerate(wanted, start=1):
        name = f"[{number}/{len(wanted)}] {step.domain}, seed {step.seed}, {step.scorer}"
        if step.figures.exists():
            print(f"{name}: kept", flush=True)
            continue
        started = time.perf_counter()
        figures = _write(step, encoder, quick=quick)
        print(
            f"{name}: {time.perf_counter() - started:.0f} s, of which training "
            f"{figures['train_seconds']:.0f} s; AUC {figures['auc']:.3f}, "
            f"{figures['auc_within_topic']:.3f} within a topic, on the "
            f"{figures['test_questions']} test questions' answers by simulated models",
            flush=True,
        )


def read_log(step: Step) -> Log:
    """Return what a finished step wrote."""
    fit, test = (
        read_outcomes(step.log(part).read_text("utf-8").splitlines(), name=step.log(part).name)
        for part in PARTS
    )
    figures = json.loads(step.figures.read_text("utf-8"))
    return Log(step.domain, step.seed, step.scorer, fit, test, figures)


def asked(domain: Domain) -> dict[str, list[Question]]:
    """Return the questions of each part with all answers, the same for every scorer.

    Raises `ValueError` where a held-out customer or wording was trained on.
    """
    random = stream(f"open question, {domain.name}", domain.seed)
    people = random.sample(domain.held_out, len(domain.held_out))
    half = len(people) // 2
    simulation = Simulation(domain)
    questions = {
        part: list(simulation.questions(members, "heldout", random))
        for part, members in zip(PARTS, (people[:half], people[half:]), strict=True)
    }
    _check_apart(domain, [each for part in PARTS for each in questions[part]])
    return questions


def drawn(name: str, seed: int, *, quick: bool) -> Domain:
    """Return a domain, with fewer customers and their examples for a quick run."""
    domain = DOMAINS[name](seed)
    if not quick:
        return domain
    kept = _some(domain.learnt_from, Random(seed))
    known = {person.customer.id for person in kept}
    return replace(
        domain,
        training=tuple(each for each in domain.training if each.pair.customer.id in known),
        held_out=_some(domain.held_out, Random(seed)),
    )


def _some(people: Sequence[Person], random: Random) -> tuple[Person, ...]:
    return tuple(random.sample(people, len(people) // QUICK))


def _check_apart(domain: Domain, questions: Sequence[Question]) -> None:
    """Raise `ValueError` where training knows a customer, a question or an answer."""
    trained = [example.pair for example in domain.training]
    seen = {
        "customer": {pair.customer.id for pair in trained}
        | {person.customer.id for person in domain.learnt_from},
        "question": {pair.question for pair in trained},
        "answer": {pair.answer for pair in trained},
    }
    held_out = {
        "customer": {each.person.customer.id for each in questions},
        "question": {each.text for each in questions},
        "answer": {answer.text for each in questions for answer in each.answers},
    }
    for kind, known in seen.items():
        if both := known & held_out[kind]:
            raise ValueError(f"{domain.name}: held-out {kind} {min(both)!r} is in training too")


def _write(step: Step, encoder: Encoder, *, quick: bool) -> dict[str, Any]:
    """Do one step: train, score, write both logs and the figures, which are returned."""
    step.folder.mkdir(parents=True, exist_ok=True)
    domain = drawn(step.domain, step.seed, quick=quick)
    questions = asked(domain)
    pairs = [
        Pair(each.text, answer.text, each.person.customer)
        for part in PARTS
        for each in questions[part]
        for answer in each.answers
    ]
    scored = SCORERS[step.scorer](domain, encoder, pairs, quick=quick)
    scores = iter(scored.scores)
    for part in PARTS:
        write_rows(step.log(part), list(log_rows(step, part, questions[part], scores)))
    figures = _figures(step, domain, questions, scored)
    write_rows(step.figures, [figures])
    return figures


def log_rows(
    step: Step, part: str, questions: Sequence[Question], scores: Iterator[float]
) -> Iterator[dict[str, Any]]:
    """Yield one line of a log per question; `scores` are of all its answers, in order."""
    at = datetime.combine(PRICED_ON, time_of_day(12), UTC).isoformat()
    for each in questions:
        customer = each.person.customer
        yield {
            "id": f"{step.domain}-{step.seed}-{customer.id}-{each.topic}",
            "simulated": True,
            "part": part,
            "segment": customer.segment,
            "customer": {
                "id": customer.id,
                "segment": customer.segment,
                "features": dict(customer.features),
            },
            "history": list(customer.history),
            "at": at,
            "topic": each.topic,
            "question": each.text,
            "answers": [
                {
                    "model": answer.model,
                    "text": answer.text,
                    "grants": answer.grants,
                    "cost": answer.cost,
                    "latency_ms": answer.latency_ms,
                    "score": next(scores),
                    "quality": answer.quality,
                }
                for answer in each.answers
            ],
        }


def _figures(
    step: Step, domain: Domain, questions: Mapping[str, Sequence[Question]], scored: Scored
) -> dict[str, Any]:
    """Return how well the scores tell right from wrong on the test part, and what it took."""
    test = [(each.topic, a.quality) for each in questions["test"] for a in each.answers]
    scores = np.array(scored.scores[-len(test) :])
    labels = np.array([float(quality) for _, quality in test])
    topics = np.array([topic for topic, _ in test])
    within = [auc(labels[topics == topic], scores[topics == topic]) for topic in domain.topics]
    defined = [value for value in within if value is not None]
    return {
        "domain": step.domain,
        "seed": step.seed,
        "scorer": step.scorer,
        "simulated_models": True,
        "training_examples": len(domain.training),
        "fit_questions": len(questions["fit"]),
        "test_questions": len(questions["test"]),
        "auc": auc(labels, scores),
        "auc_within_topic": float(np.mean(defined)),
        "train_seconds": round(scored.train_seconds, 1),
        "score_seconds": round(scored.score_seconds, 1),
        "machine": machine(),
    }
