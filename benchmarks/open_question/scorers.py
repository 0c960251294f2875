"""The scorers that are compared: what each learns from, and how it reads a customer.

All have the same encoder. `ours` is the project's own; it learns from the domain's examples, and so
does `text`, a plain loop with the customer as text before the question. `blind` is that loop with
question and answer only, as the scorer that FrugalGPT published. The examples have each text as
often right as wrong, so it could learn nothing from them; like the published one it is trained on
what the models themselves answered to training customers, from which it learns what is right more
often.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import torch

from benchmarks.open_question.domains import Domain
from benchmarks.open_question.tiers import Simulation
from benchmarks.plain_peft import PlainScorer
from scoring.encoder import Encoder
from scoring.examples import Example, Pair
from scoring.registry import Registry
from scoring.scorer import Scorer
from scoring.training import train
from webapp.demo.chance import stream

RATES = {"shop": 5e-4, "airline": 3e-4}
BLIND_PASSES = {"shop": 1, "airline": 1}
TEXT_PASSES = {"shop": 6, "airline": 6}
"""It starts on a plateau: what an answer asserts and who asks say nothing of its label alone."""


@dataclass(frozen=True)
class Scored:
    """The scores of pairs, in [0, 1], and how long training and scoring took, in seconds."""

    scores: tuple[float, ...]
    train_seconds: float
    score_seconds: float


class Scoring(Protocol):
    """Trains one kind of scorer on a domain and scores pairs with it; `quick` trains it briefly."""

    def __call__(
        self, domain: Domain, encoder: Encoder, pairs: Sequence[Pair], *, quick: bool
    ) -> Scored: ...


def ours(domain: Domain, encoder: Encoder, pairs: Sequence[Pair], *, quick: bool) -> Scored:
    """Train the project's scorer with its segments' adapters, score the pairs; never brief."""
    with TemporaryDirectory() as folder:
        registry, started = Registry(Path(folder)), time.perf_counter()
        train(
            domain.training,
            encoder=encoder,
            registry=registry,
            seed=domain.seed,
            progress=False,
            created=datetime.now(UTC),
        )
        trained = time.perf_counter()
        scorer, champions = Scorer(encoder, registry), registry.champions()
        for version in champions.values():
            scorer.load(version)
        scores = tuple(score.value for score in scorer.score(pairs, champions))
    return Scored(scores, trained - started, time.perf_counter() - trained)


def text(domain: Domain, encoder: Encoder, pairs: Sequence[Pair], *, quick: bool) -> Scored:
    """Train a plain scorer that reads the customer as text, and score the pairs."""
    return _plain(domain, domain.training, encoder, pairs, reads_customer=True, quick=quick)


def blind(domain: Domain, encoder: Encoder, pairs: Sequence[Pair], *, quick: bool) -> Scored:
    """Train a plain scorer on as many of the models' own answers, and score the pairs."""
    random = stream("answers to train on", domain.seed)
    answered = list(Simulation(domain).questions(domain.learnt_from, "train", random))
    examples = [
        Example(Pair(each.text, answer.text, each.person.customer), answer.quality)
        for each in answered
        for answer in each.answers
    ]
    drawn = random.sample(examples, len(domain.training))
    return _plain(domain, drawn, encoder, pairs, reads_customer=False, quick=quick)


SCORERS: dict[str, Scoring] = {
    "ours": ours,
    "blind": blind,
    "text": text,
}


def _plain(
    domain: Domain,
    training: Sequence[Example],
    encoder: Encoder,
    pairs: Sequence[Pair],
    *,
    reads_customer: bool,
    quick: bool,
) -> Scored:
    started = time.perf_counter()
    torch.manual_seed(domain.seed)
    scorer = PlainScorer(encoder, reads_customer=reads_customer, products=encoder.products)
    passes = 1 if quick else (TEXT_PASSES if reads_customer else BLIND_PASSES)[domain.name]
    learning = scorer.passes(training, seed=domain.seed, rate=RATES[domain.name])
    for _ in islice(learning, passes):
        pass
    trained = time.perf_counter()
    scores = torch.tensor(scorer.log_odds(pairs), dtype=torch.float64).sigmoid()
    return Scored(tuple(scores.tolist()), trained - started, time.perf_counter() - trained)
