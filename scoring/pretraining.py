"""How `start.safetensors` is made: `python -m scoring.pretraining`, six minutes on two cores.

What an answer asserts, in words never seen, is what a few thousand rated answers teach worst. So
the first adapter starts from one that learnt two things from sentences of many trades: whether an
answer grants what was asked, and whether it is about the question at all.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional
from tqdm import tqdm

from scoring.encoder import Encoder, by_length, load_encoder
from scoring.learning import Learner
from scoring.network import (
    Reading,
    answer_spans,
    attention_mask,
    lower_layers,
    pool,
    read_texts,
)
from scoring.start import START

STANCES = Path(__file__).with_name("stances.txt")

EPOCHS = 4
TEXTS_PER_STEP = 16
LORA_RATE = 5e-4
READING_RATE = 2e-3
READING_TEXTS = 1000
READING_STEPS = 150
DROPOUT = 0.1
MISMATCHED = 0.4
"""How many answers, as a share, are also shown under a question that they do not answer."""
WORDS_AROUND = 0.25
"""How often a sentence stands before an answer, and how often one stands after it."""


@dataclass
class Corpus:
    """Answers with their situation's questions, and 1 where the answer grants what was asked."""

    answers: list[tuple[list[str], str, float]] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Corpus":
        """Read the format that the head of the file explains."""
        corpus, questions = cls(), [""]
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, text = line[:1], line[2:]
            if kind == "=":
                questions = []
            elif kind == "?":
                questions.append(text)
            elif kind in ("+", "-"):
                corpus.answers.append((questions, text, float(kind == "+")))
            elif kind in ("<", ">"):
                (corpus.before if kind == "<" else corpus.after).append(text)
        return corpus

    def drawn(self, chance: random.Random) -> list[tuple[str, str]]:
        """Return each answer once, with one of its questions and sometimes words around it."""
        return [
            (chance.choice(questions), self._dressed(answer, chance))
            for questions, answer, _ in self.answers
        ]

    def mismatched(self, chance: random.Random) -> list[tuple[str, str]]:
        """Return some answers with a question of another situation."""
        chosen = chance.sample(self.answers, round(MISMATCHED * len(self.answers)))
        return [
            (self._strange(own, chance), self._dressed(text, chance)) for own, text, _ in chosen
        ]

    def _strange(self, own: list[str], chance: random.Random) -> str:
        questions = own
        while questions is own:
            questions = chance.choice(self.answers)[0]
        return chance.choice(questions)

    def _dressed(self, answer: str, chance: random.Random) -> str:
        parts = [answer]
        if chance.random() < WORDS_AROUND:
            parts.insert(0, chance.choice(self.before))
        if chance.random() < WORDS_AROUND:
            parts.append(chance.choice(self.after))
        return " ".join(parts)


def learn_start(encoder: Encoder, corpus: Corpus, *, seed: int) -> Learner:
    """Return a learner that tells granting from refusing, and answers from answers to others."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    learner = Learner(encoder)
    groups = [
        {"params": list(learner.lora.values()), "lr": LORA_RATE},
        {"params": list(learner.reading.parameters()), "lr": READING_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    texts = len(corpus.answers) + round(MISMATCHED * len(corpus.answers))
    steps = EPOCHS * -(-texts // TEXTS_PER_STEP)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / 30, max(0.02, 1 - step / steps))
    )
    for batch, targets in tqdm(_batches(encoder, corpus, chance), total=steps, unit="step"):
        pooled = functional.dropout(_pooled(learner, encoder, batch), DROPOUT)
        loss = functional.binary_cross_entropy_with_logits(
            learner.reading(pooled), targets.nan_to_num(), weight=(~targets.isnan()).float()
        )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
        optimiser.step()
        rates.step()
    return learner


def learn_reading(encoder: Encoder, corpus: Corpus, *, seed: int) -> dict[str, torch.Tensor]:
    """Return a start for an encoder that has none stored: its layers as they are, read linearly."""
    chance = random.Random(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        learner = Learner(encoder)
        learner.train_mode(False)
        readings, targets = _epoch(encoder, corpus, chance)
        chosen = chance.sample(range(len(readings)), READING_TEXTS)
        readings, targets = [readings[index] for index in chosen], targets[chosen]
        pooled = torch.zeros(len(readings), 2 * encoder.dim)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for batch in by_length([len(reading) for reading in readings], 64):
                pooled[batch] = _pooled(learner, encoder, [readings[i] for i in batch]).float()
        optimiser = torch.optim.AdamW(learner.reading.parameters(), lr=0.01, weight_decay=0.1)
        known = (~targets.isnan()).float()
        for _ in range(READING_STEPS):
            optimiser.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(
                learner.reading(pooled), targets.nan_to_num(), weight=known
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return learner.tensors()


def _batches(
    encoder: Encoder, corpus: Corpus, chance: random.Random
) -> Iterator[tuple[list[Reading], torch.Tensor]]:
    for _ in range(EPOCHS):
        readings, targets = _epoch(encoder, corpus, chance)
        batches = by_length([len(r) + chance.uniform(0, 6) for r in readings], TEXTS_PER_STEP)
        chance.shuffle(batches)
        for rows in batches:
            yield [readings[row] for row in rows], targets[rows]


def _epoch(
    encoder: Encoder, corpus: Corpus, chance: random.Random
) -> tuple[list[Reading], torch.Tensor]:
    """Return readings and their targets, (n, 2): granted, and on the question; NaN for neither."""
    drawn, strange = corpus.drawn(chance), corpus.mismatched(chance)
    granted = [[grants, 1.0] for _, _, grants in corpus.answers]
    unknown = [[float("nan"), 0.0] for _ in strange]
    return read_texts(encoder, [*drawn, *strange]), torch.tensor([*granted, *unknown])


def _pooled(learner: Learner, encoder: Encoder, readings: list[Reading]) -> torch.Tensor:
    with torch.no_grad():
        states, mask = lower_layers(encoder, readings)
    for layer in learner.model.transformer.layer[learner.first :]:
        states = layer(states, attention_mask=attention_mask(mask))
    return pool(states, answer_spans(readings, mask.shape[1]))


def main() -> None:
    """Train the start on the bundled encoder and write it beside this module."""
    encoder = load_encoder()
    learner = learn_start(encoder, Corpus.read(STANCES), seed=0)
    written = {
        "base_digest": encoder.digest,
        "stances_sha256": hashlib.sha256(STANCES.read_bytes()).hexdigest(),
    }
    save_file(learner.tensors(), START, metadata=written)


if __name__ == "__main__":
    main()
