"""The network that reads a question with its answer: a frozen encoder, LoRA in its upper layers.

The lower layers are the same for every adapter, so training runs them once, and in a served batch
each row gathers its own adapter's factors, so that many segments cost no more than one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoring.encoder import Encoder, padded, span_mean

QUESTION_TOKENS = 64
ANSWER_TOKENS = 124
"""Question and answer have a share each, so that no long text can push the other out."""

RANK = 8
ALPHA = 16.0
ADAPTED = ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2")


def first_adapted(encoder: Encoder) -> int:
    """Return the number of the lowest layer that carries LoRA: the upper half does."""
    return int(encoder.model.config.n_layers) // 2


@dataclass(frozen=True)
class Reading:
    """A question and answer as token ids: [CLS] question [SEP] answer [SEP]."""

    ids: tuple[int, ...]
    question: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def answer(self) -> int:
        """How many tokens the answer has."""
        return len(self.ids) - self.question - 3


def read_texts(encoder: Encoder, texts: Sequence[tuple[str, str]]) -> list[Reading]:
    """Return the readings of (question, answer) texts, each part cut to its share."""
    questions = encoder.tokens([question for question, _ in texts], QUESTION_TOKENS)
    answers = encoder.tokens([answer for _, answer in texts], ANSWER_TOKENS)
    return [
        Reading(tuple(encoder.framed(question, answer)), len(question))
        for question, answer in zip(questions, answers, strict=True)
    ]


def answer_spans(readings: Sequence[Reading], length: int) -> Tensor:
    """Return where the answers stand, a mask of (n, length)."""
    place = torch.arange(length)
    start = torch.tensor([[reading.question + 2] for reading in readings])
    stop = start + torch.tensor([[reading.answer] for reading in readings])
    return (place >= start) & (place < stop)


def lower_layers(encoder: Encoder, readings: Sequence[Reading]) -> tuple[Tensor, Tensor]:
    """Return the states below the adapted layers, (n, length, dim), and the mask, (n, length)."""
    ids, mask = padded([reading.ids for reading in readings])
    states = encoder.model.embeddings(ids)
    for layer in encoder.model.transformer.layer[: first_adapted(encoder)]:
        states = layer(states, attention_mask=attention_mask(mask))
    return states, mask


def attention_mask(mask: Tensor) -> Tensor:
    """Return a padding mask (n, length) in the shape that attention takes, (n, 1, 1, length)."""
    return mask[:, None, None, :]


def pool(states: Tensor, in_answer: Tensor) -> Tensor:
    """Return the mean over the answer and the [CLS] state as one vector per row, (n, 2 * dim)."""
    return torch.cat([span_mean(states, in_answer), states[:, 0]], dim=1)


@dataclass(frozen=True)
class Lora:
    """One adapter's factors by the layer that they change: A (rank, in) and B (out, rank)."""

    factors: Mapping[str, tuple[Tensor, Tensor]]
    scale: float

    @classmethod
    def from_peft(cls, tensors: Mapping[str, Tensor], *, rank: int, alpha: float) -> "Lora":
        """Return the factors under the names that peft stores them by."""
        stem, down, up = "base_model.model.transformer.layer.", ".lora_A.weight", ".lora_B.weight"
        names = [name[len(stem) : -len(down)] for name in tensors if name.endswith(down)]
        return cls(
            {n: (tensors[f"{stem}{n}{down}"], tensors[f"{stem}{n}{up}"]) for n in names},
            alpha / rank,
        )


class LoraRows:
    """The factors of several adapters, and which of them each row of a batch uses, (n,)."""

    def __init__(self, adapters: Sequence[Lora], rows: Tensor) -> None:
        self._one = adapters[0] if len(adapters) == 1 else None
        self._rows = rows
        self._scale = torch.tensor([adapter.scale for adapter in adapters])[rows, None, None]
        self._stacks: dict[str, tuple[Tensor, Tensor]] = {}
        if self._one is None:
            for name in adapters[0].factors:
                down, up = zip(*(adapter.factors[name] for adapter in adapters), strict=True)
                self._stacks[name] = (torch.stack(down), torch.stack(up))

    def delta(self, name: str, states: Tensor) -> Tensor:
        """Return what LoRA adds to the layer called `name`, (n, length, out)."""
        if self._one is not None:
            down, up = self._one.factors[name]
            return functional.linear(functional.linear(states, down), up) * self._one.scale
        downs, ups = self._stacks[name]
        narrow = torch.bmm(states, downs[self._rows].transpose(1, 2))
        return torch.bmm(narrow, ups[self._rows].transpose(1, 2)) * self._scale


def upper_layers(encoder: Encoder, states: Tensor, mask: Tensor, lora: LoraRows) -> Tensor:
    """Return the last states, (n, length, dim), each row with its own adapter.

    The same as peft's `adapter_names`, but it changes no module, so threads may share the encoder,
    and it does not loop over adapters.
    """
    first = first_adapted(encoder)
    for number, layer in enumerate(encoder.model.transformer.layer[first:], start=first):
        states = _adapted_layer(layer, f"{number}.", states, mask, lora)
    return states


def _adapted_layer(
    layer: nn.Module, prefix: str, states: Tensor, mask: Tensor, lora: LoraRows
) -> Tensor:
    """Return a block's output as transformers' own `TransformerBlock` does, with LoRA."""

    def linear(name: str, inputs: Tensor) -> Tensor:
        plain: Tensor = layer.get_submodule(name)(inputs)
        return plain + lora.delta(prefix + name, inputs)

    def by_head(name: str) -> Tensor:
        rows, length, _ = states.shape
        return linear(f"attention.{name}", states).view(rows, length, heads, -1).transpose(1, 2)

    heads = int(layer.attention.n_heads)  # type: ignore[union-attr, arg-type]
    attended = functional.scaled_dot_product_attention(
        by_head("q_lin"), by_head("k_lin"), by_head("v_lin"), attn_mask=attention_mask(mask)
    )  # (n, heads, length, dim / heads)
    mixed = linear("attention.out_lin", attended.transpose(1, 2).flatten(2))
    states = layer.get_submodule("sa_layer_norm")(mixed + states)
    wide = layer.get_submodule("ffn.activation")(linear("ffn.lin1", states))
    out: Tensor = layer.get_submodule("output_layer_norm")(linear("ffn.lin2", wide) + states)
    return out
