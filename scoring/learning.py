"""One adapter's layers being learnt: its rows made ready, the factors that move, and the loop."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from scoring.beliefs import Beliefs, Scores
from scoring.encoder import Encoder, by_length
from scoring.examples import Example, as_row
from scoring.features import CustomerSpace
from scoring.network import (
    ADAPTED,
    ALPHA,
    RANK,
    Reading,
    answer_spans,
    attention_mask,
    first_adapted,
    lower_layers,
    pool,
    read_texts,
)
from scoring.segments import SHARED
from scoring.topics import Array
from scoring.trees import Bits

STEM = "base_model.model."
"""What peft puts before the names of the weights that it stores."""

TEXTS_PER_STEP = 24
DROPOUT = 0.1

MOST_PASSES = 5
"""Few texts are not read more often than this: the layers would learn them by heart."""


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

    Per distinct text: `readings`, `states` (the lower layers' output, (length, dim)), and the plain
    sentence vectors `question` and `answer`, (texts, dim). Per example: its `text`, its `customer`
    by number, the customer's columns `people`, `labels`, `weights` and `segments`, (n,) or
    (n, columns). `data` is the sha256 of the examples.
    """

    readings: list[Reading]
    states: list[Tensor]
    question: Array
    answer: Array
    text: NDArray[np.intp]
    customer: NDArray[np.intp]
    people: Bits
    labels: Scores
    weights: Scores
    segments: NDArray[np.object_]
    data: str

    @classmethod
    def prepare(
        cls,
        examples: Sequence[Example],
        encoder: Encoder,
        space: CustomerSpace,
        lines: Mapping[str, Array],
    ) -> "Rows":
        """Run the lower layers and the plain encoder over what the examples hold."""
        pairs = [example.pair for example in examples]
        texts = sorted({(pair.question, pair.answer) for pair in pairs})
        place = {text: index for index, text in enumerate(texts)}
        readings = read_texts(encoder, texts)
        return cls(
            readings=readings,
            states=_lower_states(encoder, readings),
            question=encoder.embed([question for question, _ in texts]),
            answer=encoder.embed([answer for _, answer in texts]),
            text=np.array([place[pair.question, pair.answer] for pair in pairs]),
            customer=np.unique([pair.customer.id for pair in pairs], return_inverse=True)[1],
            people=np.stack([space.encode(pair.customer, lines) for pair in pairs]),
            labels=np.array([float(example.label) for example in examples]),
            weights=np.array([example.weight for example in examples]),
            segments=np.array([pair.customer.segment for pair in pairs], dtype=object),
            data=_data_digest(examples),
        )

    def of(self, segment: str) -> NDArray[np.intp]:
        """Return the indices of the examples that this adapter learns from."""
        chosen = np.ones(len(self.text), bool) if segment == SHARED else self.segments == segment
        return np.flatnonzero(chosen)


def _lower_states(encoder: Encoder, readings: Sequence[Reading]) -> list[Tensor]:
    """Return each text's states below the adapted layers, (length, dim), computed in bfloat16."""
    states: list[Tensor] = [torch.empty(0)] * len(readings)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for batch in by_length([len(reading) for reading in readings], 64):
            out, _ = lower_layers(encoder, [readings[index] for index in batch])
            for row, index in enumerate(batch):
                states[index] = out[row, : len(readings[index])].float()
    return states


class Learner:
    """The adapted layers and what is read from them, while they are trained; the base is frozen.

    `reading` gives two log odds per text: that the answer grants what was asked, and that it is
    about the question at all.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.first = first_adapted(encoder)
        self.config = lora_config(encoder)
        self.model = inject_adapter_in_model(self.config, sharing_copy(encoder))
        self.reading = torch.nn.Linear(2 * encoder.dim, 2)

    @property
    def lora(self) -> dict[str, torch.nn.Parameter]:
        """The LoRA factors by the names that peft stores them by."""
        return {
            STEM + name.replace(".default.", "."): parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """Everything that is being learnt."""
        return [*self.lora.values(), *self.reading.parameters()]

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that was learnt, as `load` takes it."""
        read = {f"reading.{name}": tensor for name, tensor in self.reading.state_dict().items()}
        return {**{name: factor.detach() for name, factor in self.lora.items()}, **read}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what another learner had learnt; LoRA factors that are not there stay."""
        for name, parameter in self.lora.items():
            if name in tensors:
                parameter.data.copy_(tensors[name])
        for name, tensor in self.reading.state_dict().items():
            tensor.copy_(tensors[f"reading.{name}"])

    def pooled(self, rows: Rows, texts: Sequence[int]) -> Tensor:
        """Return the pooled last states of these texts, (n, 2 * dim)."""
        readings = [rows.readings[index] for index in texts]
        states, mask = _padded_states([rows.states[index] for index in texts])
        for layer in self.model.transformer.layer[self.first :]:
            states = layer(states, attention_mask=attention_mask(mask))
        return pool(states, answer_spans(readings, mask.shape[1]))

    @torch.inference_mode()
    def all_pooled(self, rows: Rows, texts: NDArray[np.intp]) -> Array:
        """Return the pooled states of these texts as the layers read them now, (n, 2 * dim)."""
        out = np.zeros((len(texts), self.reading.in_features), dtype=np.float32)
        for batch in by_length([len(rows.readings[text]) for text in texts], 64):
            out[batch] = self.pooled(rows, [int(texts[index]) for index in batch]).numpy()
        return out

    def train_mode(self, on: bool) -> None:
        """Switch dropout on or off."""
        self.model.train(on)
        self.reading.train(on)


def lora_config(encoder: Encoder) -> LoraConfig:
    """Return peft's own description of an adapter: LoRA in the upper half of the layers."""
    layers = range(first_adapted(encoder), int(encoder.model.config.n_layers))
    return LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=list(ADAPTED),
        layers_to_transform=list(layers),
        layers_pattern="layer",
        lora_dropout=0.0,
    )


def sharing_copy(encoder: Encoder) -> torch.nn.Module:
    """Return a copy of the model's modules over the same weights, for peft to change."""
    memo = {id(tensor): tensor for tensor in encoder.model.parameters()}
    twin: torch.nn.Module = copy.deepcopy(encoder.model, memo)
    return twin


def _padded_states(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(state) for state in states])
    out = torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True)
    return out, torch.arange(out.shape[1]) < lengths[:, None]


def fit_layers(
    learner: Learner,
    rows: Rows,
    texts: NDArray[np.intp],
    beliefs: Beliefs,
    schedule: Schedule,
    seed: int,
    bar: "tqdm[None]",
) -> None:
    """Train the adapted layers on what is believed of these texts: the loop that takes the time."""
    groups = [
        {"params": list(learner.lora.values()), "lr": schedule.rate},
        {"params": list(learner.reading.parameters()), "lr": schedule.reading_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    start = [parameter.detach().clone() for parameter in learner.parameters]
    steps = schedule.steps_over(len(texts))
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(steps))
    targets, weights = beliefs.targets()
    learner.train_mode(True)
    for batch in islice(_batches(rows, texts, np.random.default_rng(seed)), steps):
        pooled = functional.dropout(learner.pooled(rows, batch), DROPOUT)
        loss = functional.binary_cross_entropy_with_logits(
            learner.reading(pooled), targets[batch], weights[batch]
        )
        if schedule.pull:
            loss = loss + schedule.pull * _distance(learner.parameters, start)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
        optimiser.step()
        rates.step()
        bar.update(1)
    learner.train_mode(False)


def _batches(
    rows: Rows, texts: NDArray[np.intp], random: np.random.Generator
) -> Iterator[list[int]]:
    """Yield texts of like length, again and again, mixed anew each time."""
    while True:
        # The jitter mixes neighbours anew each time at the price of a little padding.
        lengths = [len(rows.readings[text]) + random.uniform(0, 6) for text in texts]
        batches = by_length(lengths, TEXTS_PER_STEP)
        for number in random.permutation(len(batches)):
            yield [int(texts[place]) for place in batches[number]]


def _distance(here: Iterable[Tensor], there: Iterable[Tensor]) -> Tensor:
    """Return the squared distance between two sets of weights."""
    return torch.stack([((a - b) ** 2).sum() for a, b in zip(here, there, strict=True)]).sum()


def _rise_and_fall(steps: int) -> Callable[[int], float]:
    """Return a rate that rises over the first tenth of the steps and falls to nearly nothing."""
    warmup = max(1, steps // 10)
    return lambda step: min((step + 1) / warmup, max(0.02, 1 - step / max(1, steps)))


def _data_digest(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(as_row(example), sort_keys=True).encode())
    return digest.hexdigest()
