"""One adapter being learnt: its rows made ready, the layers and head that move, and the loops."""

import copy
import hashlib
import json
from collections import defaultdict
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

from scoring.encoder import Encoder, by_length
from scoring.examples import Example, Pair, as_row
from scoring.features import FeatureSpace
from scoring.network import (
    ADAPTED,
    ALPHA,
    RANK,
    Context,
    Head,
    Reading,
    answer_spans,
    attention_mask,
    contexts,
    first_adapted,
    lower_layers,
    pool,
    read_texts,
    sentence_vectors,
)
from scoring.segments import SHARED

STEM = "base_model.model."
"""What peft puts before the names of the weights that it stores."""

HEAD_RATE = 3e-3
ROWS_PER_HEAD_STEP = 128
TEXTS_PER_STEP = 16

LAYER_COST = 30
"""How many steps of `fit_head` take as long as one of `fit_layers`, for the bar's estimate."""

MOST_PASSES = 6
"""Few texts are not read more often than this: the layers would learn them by heart."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    `head_steps` come first, with the encoder as it is; then at most `steps` of whole texts with
    its adapted layers. `pull` draws the weights towards where they started.
    """

    head_steps: int
    steps: int
    rate: float
    head_rate: float
    pull: float = 0.0

    def steps_over(self, texts: int) -> int:
        """Return how many steps to take over this many distinct texts."""
        return min(self.steps, MOST_PASSES * -(-texts // TEXTS_PER_STEP))


@dataclass(frozen=True)
class Rows:
    """The examples made ready once: everything that no adapter changes.

    `states` holds the lower layers' output per distinct text, (length, dim); `text` says which text
    each example has, (n,); `data` is the sha256 of the examples.
    """

    readings: list[Reading]
    states: list[Tensor]
    text: Tensor
    context: Context
    labels: Tensor
    weights: Tensor
    ids: NDArray[np.str_]
    segments: NDArray[np.object_]
    space: FeatureSpace
    data: str

    @classmethod
    def prepare(cls, examples: Sequence[Example], encoder: Encoder, space: FeatureSpace) -> "Rows":
        """Run the lower layers and the plain encoder over what the examples hold."""
        pairs = [example.pair for example in examples]
        texts = sorted({(pair.question, pair.answer) for pair in pairs})
        place = {text: index for index, text in enumerate(texts)}
        readings = read_texts(encoder, texts)
        return cls(
            readings=readings,
            states=_lower_states(encoder, readings),
            text=torch.tensor([place[pair.question, pair.answer] for pair in pairs]),
            context=contexts(space, pairs, _vectors(encoder, pairs)),
            labels=torch.tensor([float(example.label) for example in examples]),
            weights=torch.tensor([example.weight for example in examples]),
            ids=np.array([pair.customer.id for pair in pairs]),
            segments=np.array([pair.customer.segment for pair in pairs], dtype=object),
            space=space,
            data=_data_digest(examples),
        )

    def of(self, segment: str) -> Tensor:
        """Return the indices of the examples that this adapter learns from."""
        chosen = np.ones(len(self.ids), bool) if segment == SHARED else self.segments == segment
        return torch.from_numpy(np.flatnonzero(chosen))


def _vectors(encoder: Encoder, pairs: Sequence[Pair]) -> dict[str, Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        return sentence_vectors(encoder, pairs)


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
    """The adapted layers and the head while they are being trained; the base stays frozen."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        self.first = first_adapted(encoder)
        self.config = lora_config(encoder)
        self.model = inject_adapter_in_model(self.config, sharing_copy(encoder))
        self.head = head

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
        return [*self.lora.values(), *self.head.parameters()]

    def load_lora(self, factors: Mapping[str, Tensor]) -> None:
        """Take over stored LoRA factors."""
        for name, parameter in self.lora.items():
            parameter.data.copy_(factors[name])

    def pooled(self, rows: Rows, texts: Sequence[int]) -> Tensor:
        """Return the pooled last states of these texts, (n, 2 * dim)."""
        readings = [rows.readings[index] for index in texts]
        states, mask = _padded_states([rows.states[index] for index in texts])
        for layer in self.model.transformer.layer[self.first :]:
            states = layer(states, attention_mask=attention_mask(mask))
        return pool(states, answer_spans(readings, mask.shape[1]))

    @torch.inference_mode()
    def all_pooled(self, rows: Rows, chosen: Tensor) -> Tensor:
        """Return the pooled states of the chosen examples, (n, 2 * dim), reading each text once."""
        texts, place = torch.unique(rows.text[chosen], return_inverse=True)
        known = texts.tolist()
        out: list[Tensor] = [torch.empty(0)] * len(known)
        for batch in by_length([len(rows.readings[text]) for text in known], 64):
            for index, vector in zip(
                batch, self.pooled(rows, [known[index] for index in batch]), strict=True
            ):
                out[index] = vector
        return torch.stack(out)[place]

    def train_mode(self, on: bool) -> None:
        """Switch dropout on or off."""
        self.model.train(on)
        self.head.train(on)


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


def fit_head(
    learner: Learner, rows: Rows, kept: Tensor, schedule: Schedule, seed: int, bar: "tqdm[None]"
) -> None:
    """Fit the head on the texts as the layers read them now, which costs little."""
    if not schedule.head_steps:
        return
    pooled, context = learner.all_pooled(rows, kept).clone(), rows.context.take(kept)
    optimiser = torch.optim.AdamW(learner.head.parameters(), lr=HEAD_RATE, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(schedule.head_steps))
    learner.train_mode(True)
    for batch in islice(_shuffled(len(kept), seed), schedule.head_steps):
        raw = learner.head(pooled[batch], context.take(batch))
        _step(optimiser, _loss(raw, rows, kept[batch]), learner.head.parameters())
        rates.step()
        bar.update(1)


def fit_layers(
    learner: Learner, rows: Rows, kept: Tensor, schedule: Schedule, seed: int, bar: "tqdm[None]"
) -> None:
    """Train the adapted layers and the head together: the loop that takes the time."""
    groups = [
        {"params": list(learner.lora.values()), "lr": schedule.rate},
        {"params": list(learner.head.parameters()), "lr": schedule.head_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    start = [parameter.detach().clone() for parameter in learner.parameters]
    steps = schedule.steps_over(len(one_row_per_text(rows, kept)))
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(steps))
    learner.train_mode(True)
    for batch in islice(_batches(rows, kept, np.random.default_rng(seed)), steps):
        texts, place = torch.unique(rows.text[batch], return_inverse=True)
        pooled = learner.pooled(rows, texts.tolist())[place]
        loss = _loss(learner.head(pooled, rows.context.take(batch)), rows, batch)
        if schedule.pull:
            loss = loss + schedule.pull * _distance(learner.parameters, start)
        _step(optimiser, loss, learner.parameters)
        rates.step()
        bar.update(LAYER_COST)


def raw_scores(learner: Learner, rows: Rows, chosen: Tensor) -> NDArray[np.float64]:
    """Return the raw scores of these examples, (n,)."""
    if not len(chosen):
        return np.zeros(0)
    with torch.inference_mode():
        raw = learner.head(learner.all_pooled(rows, chosen), rows.context.take(chosen))
        scores: NDArray[np.float64] = raw.double().numpy()
    return scores


def split_customers(ids: NDArray[np.str_], seed: int, share: float) -> tuple[Tensor, Tensor]:
    """Return the places of the rows to learn from, and of those whose customers are kept out.

    Whether a customer is kept out depends on the seed and their id alone, so that a customer kept
    out of the shared adapter is also kept out of the segment's that starts from it.
    """
    customers = {name: _kept_out(name, seed, share) for name in np.unique(ids).tolist()}
    out = np.array([customers[name] for name in ids.tolist()], dtype=bool)
    if out.all():
        out[:] = False
    return torch.from_numpy(np.flatnonzero(~out)), torch.from_numpy(np.flatnonzero(out))


def one_row_per_text(rows: Rows, chosen: Tensor) -> Tensor:
    """Return of the chosen rows the first of each distinct text."""
    _, first = np.unique(rows.text[chosen].numpy(), return_index=True)
    return chosen[torch.from_numpy(first)]


def _kept_out(customer: str, seed: int, share: float) -> bool:
    drawn = hashlib.sha256(f"{seed}:{customer}".encode("utf-8", "surrogatepass")).digest()[:8]
    return int.from_bytes(drawn, "big") < share * 2**64


def _batches(rows: Rows, chosen: Tensor, random: np.random.Generator) -> Iterator[Tensor]:
    """Yield the rows in batches of whole texts, again and again, each time in another order.

    Texts of like length stand together, so that little is padded.
    """
    by_text: dict[int, list[int]] = defaultdict(list)
    for index, text in zip(chosen.tolist(), rows.text[chosen].tolist(), strict=True):
        by_text[text].append(index)
    texts = list(by_text)
    while True:
        # The jitter mixes neighbours anew each time at the price of a little padding.
        lengths = [len(rows.readings[text]) + random.uniform(0, 6) for text in texts]
        batches = by_length(lengths, TEXTS_PER_STEP)
        for number in random.permutation(len(batches)):
            yield torch.tensor([row for place in batches[number] for row in by_text[texts[place]]])


def _shuffled(count: int, seed: int) -> Iterator[Tensor]:
    """Yield the numbers below `count` in batches, again and again, each time in another order."""
    random = np.random.default_rng(seed)
    while True:
        order = torch.from_numpy(random.permutation(count))
        yield from torch.split(order, ROWS_PER_HEAD_STEP)


def _distance(here: Iterable[Tensor], there: Iterable[Tensor]) -> Tensor:
    """Return the squared distance between two sets of weights."""
    return torch.stack([((a - b) ** 2).sum() for a, b in zip(here, there, strict=True)]).sum()


def _loss(raw: Tensor, rows: Rows, batch: Tensor) -> Tensor:
    labels, weights = rows.labels[batch], rows.weights[batch]
    return functional.binary_cross_entropy_with_logits(raw, labels, weights)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, moving: Iterable[Tensor]) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(moving, 1.0)
    optimiser.step()


def _rise_and_fall(steps: int) -> Callable[[int], float]:
    """Return a rate that rises over the first tenth of the steps and falls to nearly nothing."""
    warmup = max(1, steps // 10)
    return lambda step: min((step + 1) / warmup, max(0.02, 1 - step / max(1, steps)))


def _data_digest(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(as_row(example), sort_keys=True).encode())
    return digest.hexdigest()
