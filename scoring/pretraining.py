"""How `start.safetensors` is made: `python -m scoring.pretraining`, two minutes on two cores.

An answer's stance, whether it grants what was asked, is what a few thousand rated answers teach
worst. So the first adapter starts from one that learnt it, from sentences of many trades.
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
    Head,
    Reading,
    answer_spans,
    attention_mask,
    lower_layers,
    pool,
    read_texts,
)
from scoring.start import START

STANCES = Path(__file__).with_name("stances.txt")

EPOCHS = 6
TEXTS_PER_STEP = 16
LORA_RATE = 5e-4
STANCE_RATE = 2e-3
DROPOUT = 0.1
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

    def _dressed(self, answer: str, chance: random.Random) -> str:
        parts = [answer]
        if chance.random() < WORDS_AROUND:
            parts.insert(0, chance.choice(self.before))
        if chance.random() < WORDS_AROUND:
            parts.append(chance.choice(self.after))
        return " ".join(parts)


def learn_stances(encoder: Encoder, corpus: Corpus, *, seed: int) -> Learner:
    """Return a learner whose LoRA layers and stance output tell granting from refusing."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    learner = Learner(encoder, Head(encoder.dim, features=1, topics=1, basis=1))
    stance = learner.head.stance
    moving = [*learner.lora.values(), *stance.parameters()]
    groups = [
        {"params": list(learner.lora.values()), "lr": LORA_RATE},
        {"params": list(stance.parameters()), "lr": STANCE_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = EPOCHS * -(-len(corpus.answers) // TEXTS_PER_STEP)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / 30, max(0.02, 1 - step / steps))
    )
    grants = torch.tensor([granted for _, _, granted in corpus.answers])
    for readings, rows in tqdm(_batches(encoder, corpus, chance), total=steps, unit="step"):
        pooled = functional.dropout(_pooled(learner, encoder, readings), DROPOUT)
        raw = stance(pooled).squeeze(1)
        loss = functional.binary_cross_entropy_with_logits(raw, grants[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(moving, 1.0)
        optimiser.step()
        rates.step()
    return learner


def _batches(
    encoder: Encoder, corpus: Corpus, chance: random.Random
) -> Iterator[tuple[list[Reading], list[int]]]:
    for _ in range(EPOCHS):
        readings = read_texts(encoder, corpus.drawn(chance))
        batches = by_length([len(r) + chance.uniform(0, 6) for r in readings], TEXTS_PER_STEP)
        chance.shuffle(batches)
        for rows in batches:
            yield [readings[row] for row in rows], rows


def _pooled(learner: Learner, encoder: Encoder, readings: list[Reading]) -> torch.Tensor:
    with torch.no_grad():
        states, mask = lower_layers(encoder, readings)
    for layer in learner.model.transformer.layer[learner.first :]:
        states = layer(states, attention_mask=attention_mask(mask))
    return pool(states, answer_spans(readings, mask.shape[1]))


def main() -> None:
    """Train the start on the bundled encoder and write it beside this module."""
    encoder = load_encoder()
    learner = learn_stances(encoder, Corpus.read(STANCES), seed=0)
    tensors = {name: parameter.detach() for name, parameter in learner.lora.items()}
    tensors["stance.weight"] = learner.head.stance.weight.detach()
    tensors["stance.bias"] = learner.head.stance.bias.detach()
    written = {
        "base_digest": encoder.digest,
        "stances_sha256": hashlib.sha256(STANCES.read_bytes()).hexdigest(),
    }
    save_file(tensors, START, metadata=written)


if __name__ == "__main__":
    main()
