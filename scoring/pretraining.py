"""How `start.safetensors` is made: `python -m scoring.pretraining`, four minutes on two cores.

What an answer asserts, in words never seen, is what a few thousand rated answers teach worst. So
the first adapter starts from one that learnt two things from sentences of many trades: whether an
answer grants what was asked, and whether it is about the question at all.
"""

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from scoring.encoder import Encoder, load_encoder
from scoring.learning import Learner, one_pass
from scoring.network import Parts, read_parts, tokens_of
from scoring.start import START

STANCES = Path(__file__).with_name("stances.txt")

EPOCHS = 3
TEXTS_PER_STEP = 24
LORA_RATE = 5e-4
READING_RATE = 2e-3
READING_TEXTS = 1000
READING_STEPS = 150
DROPOUT = 0.1
MISMATCHED = 0.4
"""How many answers, as a share, are also shown under a question that they do not answer."""
OF_THE_TRADE = 0.5
"""How often such a question is from the same trade."""
WORDS_AROUND = 0.25
"""How often a sentence stands before an answer, and how often one stands after it."""


@dataclass(frozen=True)
class Said:
    """An answer with its situation's questions; `grants` is 1 where it grants what was asked."""

    trade: str
    questions: list[str]
    answer: str
    grants: float


@dataclass
class Corpus:
    """Answers of many trades, and sentences that may stand before and after any answer."""

    said: list[Said] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Corpus":
        """Read the format that the head of the file explains."""
        corpus, trade, questions = cls(), "", [""]
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, text = line[:1], line[2:]
            if kind == "=":
                trade, questions = re.split("[,:]", text)[0], []
            elif kind == "?":
                questions.append(text)
            elif kind in ("+", "-"):
                corpus.said.append(Said(trade, questions, text, float(kind == "+")))
            elif kind in ("<", ">"):
                (corpus.before if kind == "<" else corpus.after).append(text)
        return corpus

    def drawn(self, chance: random.Random) -> list[tuple[str, str]]:
        """Return each answer once, with one of its questions and sometimes words around it."""
        return [
            (chance.choice(each.questions), self._dressed(each.answer, chance))
            for each in self.said
        ]

    def mismatched(self, chance: random.Random) -> list[tuple[str, str]]:
        """Return some answers with a question of another situation, half of them of the trade."""
        by_trade: dict[str, list[Said]] = {}
        for each in self.said:
            by_trade.setdefault(each.trade, []).append(each)
        chosen = chance.sample(self.said, round(MISMATCHED * len(self.said)))
        return [
            (self._strange(each, by_trade[each.trade], chance), self._dressed(each.answer, chance))
            for each in chosen
        ]

    def _strange(self, own: Said, near: list[Said], chance: random.Random) -> str:
        nearer = [each for each in near if each.questions is not own.questions]
        among = nearer if nearer and chance.random() < OF_THE_TRADE else self.said
        other = own
        while other.questions is own.questions:
            other = chance.choice(among)
        return chance.choice(other.questions)

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
        {"params": [learner.sides, *learner.reading.parameters()], "lr": READING_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    texts = len(corpus.said) + round(MISMATCHED * len(corpus.said))
    steps = EPOCHS * -(-texts // TEXTS_PER_STEP)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / 30, max(0.02, 1 - step / steps))
    )
    for batch, targets in tqdm(_batches(encoder, corpus, chance), total=steps, unit="step"):
        pooled = functional.dropout(learner.pooled(batch), DROPOUT)
        loss = _loss(learner.reading(pooled), targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
        optimiser.step()
        rates.step()
    return learner


def learn_reading(encoder: Encoder, corpus: Corpus, *, seed: int) -> dict[str, Tensor]:
    """Return a start for an encoder that has none stored: its layers as they are, read linearly."""
    chance = random.Random(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        learner = Learner(encoder)
        texts, targets = _epoch(corpus, chance)
        chosen = chance.sample(range(len(texts)), READING_TEXTS)
        parts = read_parts(encoder, [texts[index] for index in chosen], remembered=False)
        pooled, targets = torch.from_numpy(learner.all_pooled(parts)), targets[chosen]
        optimiser = torch.optim.AdamW(learner.reading.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(READING_STEPS):
            optimiser.zero_grad()
            _loss(learner.reading(pooled), targets).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return learner.tensors()


def _loss(read: Tensor, targets: Tensor) -> Tensor:
    """Return the log loss where the target is known."""
    return functional.binary_cross_entropy_with_logits(
        read, targets.nan_to_num(), weight=(~targets.isnan()).float()
    )


def _batches(
    encoder: Encoder, corpus: Corpus, chance: random.Random
) -> Iterator[tuple[list[Parts], Tensor]]:
    random = np.random.default_rng(chance.getrandbits(32))
    for _ in range(EPOCHS):
        texts, targets = _epoch(corpus, chance)
        parts = read_parts(encoder, texts)
        for rows in one_pass([tokens_of(each) for each in parts], TEXTS_PER_STEP, random):
            yield [parts[row] for row in rows], targets[rows]


def _epoch(corpus: Corpus, chance: random.Random) -> tuple[list[tuple[str, str]], Tensor]:
    """Return texts and their targets, (n, 2): granted, and on the question; NaN for neither."""
    drawn, strange = corpus.drawn(chance), corpus.mismatched(chance)
    granted = [[each.grants, 1.0] for each in corpus.said]
    unknown = [[float("nan"), 0.0] for _ in strange]
    return [*drawn, *strange], torch.tensor([*granted, *unknown])


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
