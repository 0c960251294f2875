"""One adapter's layers being learnt: its rows made ready, the factors that move, and the loop."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from torch import Tensor, nn
from torch.nn import functional

from scoring.beliefs import Beliefs, Scores
from scoring.encoder import TOKENS_PER_BATCH, Encoder, by_length
from scoring.examples import Example, digest, numbered
from scoring.features import CustomerSpace
from scoring.layers import LINEARS, Lora, lora_names
from scoring.network import (
    ALPHA,
    ANSWER,
    PARTS,
    PASSAGE,
    RANK,
    Parts,
    pooled,
    read_parts,
    tokens_of,
)
from scoring.segments import SHARED
from scoring.topics import Array
from scoring.trees import Bits
from scoring.wordings import PlainVectors

TEXTS_PER_STEP = 24
DROPOUT = 0.3

PASSAGE_DROPOUT = 0.3
"""How often a passage is left out, so that answers without one are judged too."""

MOST_PASSES = 6
"""Few texts are not read more often than this: the layers would learn them by heart."""


class Progress(Protocol):
    """Who is told how a training goes; `tqdm` is one. What it raises ends the training."""

    total: float | None

    def set_description(self, desc: str) -> None:
        """Say what begins now."""

    def update(self, n: float) -> object:
        """Say that so many more of the `total` steps are done."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast the layers learn; `pull` draws them towards where they started."""

    steps: int
    rate: float
    reading_rate: float
    pull: float = 0.0

    def steps_over(self, texts: int) -> int:
        """Return how many steps to take over this many distinct texts."""
        return min(self.steps, MOST_PASSES * -(-texts // TEXTS_PER_STEP))


@dataclass(frozen=True)
class Rows:
    """The examples made ready once: everything that no adapter changes.

    Per distinct text, a question with its answer and the passage behind it: the readings of its
    `parts`, their `plain` vectors, and its `answer` by number, (texts,). Per example: its `text`
    and its `customer` by number, the customer's columns `people`, `labels`, `weights` and
    `segments`, (n,) or (n, columns). `data` is the sha256 of the examples.
    """

    parts: list[Parts]
    plain: PlainVectors
    answer: NDArray[np.intp]
    text: NDArray[np.intp]
    customer: NDArray[np.intp]
    people: Bits
    labels: Scores
    weights: Scores
    segments: NDArray[np.object_]
    data: str

    @property
    def with_passages(self) -> bool:
        """Whether any answer comes with the passage behind it."""
        return any(len(parts) > PASSAGE for parts in self.parts)

    @classmethod
    def prepare(
        cls,
        examples: Sequence[Example],
        encoder: Encoder,
        space: CustomerSpace,
        lines: Mapping[str, Array],
    ) -> "Rows":
        """Read what the examples hold, all that no adapter changes."""
        pairs = [example.pair for example in examples]
        texts = list(dict.fromkeys(pair.texts for pair in pairs))
        place = {text: index for index, text in enumerate(texts)}
        parts = read_parts(encoder, texts, remembered=False)
        return cls(
            parts=parts,
            plain=PlainVectors.of(parts),
            answer=numbered([text[ANSWER] for text in texts]),
            text=np.array([place[pair.texts] for pair in pairs]),
            customer=numbered([pair.customer.id for pair in pairs]),
            people=np.stack([space.encode(pair.customer, lines) for pair in pairs]),
            labels=np.array([float(example.label) for example in examples]),
            weights=np.array([example.weight for example in examples]),
            segments=np.array([pair.customer.segment for pair in pairs], dtype=object),
            data=digest(examples),
        )

    def of(self, segment: str) -> NDArray[np.intp]:
        """Return the indices of the examples that this adapter learns from."""
        chosen = np.ones(len(self.text), bool) if segment == SHARED else self.segments == segment
        return np.flatnonzero(chosen)


class Learner:
    """The adapted layers and what is read from them, while they are trained; the base is frozen.

    `reading` gives two log odds per text: that the answer grants what was asked, and that it is
    about the question at all.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.lora = _new_factors(encoder)
        self.sides = nn.Parameter(torch.zeros(len(PARTS), encoder.dim))
        self.reading = nn.Linear(2 * encoder.dim, 2)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is being learnt."""
        return [*self.lora.values(), self.sides, *self.reading.parameters()]

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that was learnt, as `load` takes it."""
        read = {f"reading.{name}": tensor for name, tensor in self.reading.state_dict().items()}
        factors = {name: factor.detach() for name, factor in self.lora.items()}
        return {**factors, "sides": self.sides.detach(), **read}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what another learner had learnt."""
        for name, parameter in self.lora.items():
            parameter.data.copy_(tensors[name])
        self.sides.data.copy_(tensors["sides"])
        for name, tensor in self.reading.state_dict().items():
            tensor.copy_(tensors[f"reading.{name}"])

    def pooled(self, rows: Sequence[Parts]) -> Tensor:
        """Return what the layers read in these texts, (n, 2 * dim)."""
        lora = Lora.from_peft(self.lora, self._encoder.products, rank=RANK, alpha=ALPHA)
        return pooled(self._encoder, rows, [lora] * len(rows), [self.sides] * len(rows))

    @torch.inference_mode()
    def all_pooled(self, rows: Sequence[Parts]) -> Array:
        """Return the pooled states of many texts as the layers read them now, (n, 2 * dim)."""
        out = np.zeros((len(rows), self.reading.in_features), dtype=np.float32)
        for batch in by_length([tokens_of(parts) for parts in rows], TOKENS_PER_BATCH):
            out[batch] = self.pooled([rows[index] for index in batch]).numpy()
        return out

    def read(self, rows: Sequence[Parts]) -> Scores:
        """Return the log odds of granting, and of being on the question, of texts, (n, 2)."""
        return self.reading_of(self.all_pooled(rows))

    @torch.inference_mode()
    def reading_of(self, pooled: Array) -> Scores:
        """Return the same of pooled states, (n, 2 * dim)."""
        read: Scores = self.reading(torch.from_numpy(pooled)).double().numpy()
        return read


def _new_factors(encoder: Encoder) -> dict[str, nn.Parameter]:
    """Return factors that change nothing yet, by the names that peft stores them by."""
    factors: dict[str, nn.Parameter] = {}
    for number in range(encoder.adapted, len(encoder.blocks)):
        for place in LINEARS:
            layer = encoder.model.transformer.layer[number].get_submodule(place)
            wide, narrow = layer.get_parameter("weight").shape
            down, up = lora_names(number, place)
            factors[down] = nn.Parameter(torch.empty(RANK, narrow))
            nn.init.kaiming_uniform_(factors[down], a=5**0.5)
            factors[up] = nn.Parameter(torch.zeros(wide, RANK))
    return factors


def lora_config(encoder: Encoder) -> LoraConfig:
    """Return peft's own description of an adapter: LoRA in all of the upper blocks."""
    layers = range(encoder.adapted, len(encoder.blocks))
    return LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=[place.rpartition(".")[2] for place in LINEARS],
        layers_to_transform=list(layers),
        layers_pattern="layer",
        lora_dropout=0.0,
    )


def fit_layers(
    learner: Learner,
    rows: Rows,
    texts: NDArray[np.intp],
    beliefs: Beliefs,
    schedule: Schedule,
    seed: int,
    bar: Progress,
) -> None:
    """Train the adapted layers on what is believed of these texts: the loop that takes the time."""
    groups = [
        {"params": list(learner.lora.values()), "lr": schedule.rate},
        {"params": [learner.sides, *learner.reading.parameters()], "lr": schedule.reading_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    start = [parameter.detach().clone() for parameter in learner.parameters]
    steps = schedule.steps_over(len(texts))
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(steps))
    targets, weights = beliefs.targets()
    lengths = [tokens_of(rows.parts[text]) for text in texts]
    random = np.random.default_rng(seed)
    endless = chain.from_iterable(one_pass(lengths, TEXTS_PER_STEP, random) for _ in count())
    for batch in islice(endless, steps):
        parts = [_without_passage(rows.parts[text], random) for text in texts[batch]]
        seen = functional.dropout(learner.pooled(parts), DROPOUT)
        loss = functional.binary_cross_entropy_with_logits(
            learner.reading(seen), targets[texts[batch]], weights[texts[batch]]
        )
        if schedule.pull:
            loss = loss + schedule.pull * _distance(learner.parameters, start)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
        optimiser.step()
        rates.step()
        bar.update(1)


def _without_passage(parts: Parts, random: np.random.Generator) -> Parts:
    """Return the parts, now and then without the passage."""
    has = len(parts) > PASSAGE
    return parts[:PASSAGE] if has and random.random() < PASSAGE_DROPOUT else parts


def one_pass(lengths: Sequence[int], size: int, random: np.random.Generator) -> list[list[int]]:
    """Return all indices once, in mixed batches of at most `size` texts of like length."""
    # The jitter mixes neighbours anew each time at the price of a little padding.
    order = np.argsort([length + random.uniform(0, 6) for length in lengths])
    batches = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    return [batches[number] for number in random.permutation(len(batches))]


def _distance(here: Iterable[Tensor], there: Iterable[Tensor]) -> Tensor:
    """Return the squared distance between two sets of weights."""
    return torch.stack([((a - b) ** 2).sum() for a, b in zip(here, there, strict=True)]).sum()


def _rise_and_fall(steps: int) -> Callable[[int], float]:
    """Return a rate that rises over the first tenth of the steps and falls to nearly nothing."""
    warmup = max(1, steps // 10)
    return lambda step: min((step + 1) / warmup, max(0.02, 1 - step / max(1, steps)))
