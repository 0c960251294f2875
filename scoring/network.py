"""The network: a frozen encoder with LoRA in its upper layers; a head where text meets customer.

    question, answer ── lower layers ── upper layers + LoRA ── what the answer asserts ─┐
    question, answer ── encoder, no adapter ── topic ─┐                                 × ── score
    profile ── feature space ── tower, per topic ─────┼── what holds for this customer ─┘
    history ── encoder, no adapter, read by topic ────┘

Text and customer meet in a product: whether the answer grants what was asked, times whether this
customer is entitled to it. A second factor says whether the answer is about the question at all.
The lower layers and the plain sentence vectors are the same for all adapters, so training computes
them once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoring.encoder import Encoder, padded, span_mean
from scoring.examples import Pair
from scoring.features import FeatureSpace

QUESTION_TOKENS = 64
ANSWER_TOKENS = 124
"""Question and answer have a share each, so that no long text can push the other out."""

RANK = 8
ALPHA = 16.0
ADAPTED = ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2")

HIDDEN = 128
TOPICS = 24
BASIS = 24
SHARPNESS = 20.0
"""How quickly a text's share in a topic falls with the squared distance from the topic's centre."""


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


@dataclass(frozen=True)
class Context:
    """Everything about the rows that no adapter changes.

    `question` and `answer` are sentence vectors, (n, dim); `profile` is (n, features); `lines` are
    the history's sentence vectors, (n, most lines, dim), `known` which of them are there.
    """

    question: Tensor
    answer: Tensor
    profile: Tensor
    lines: Tensor
    known: Tensor

    def take(self, rows: Tensor) -> "Context":
        """Return these rows, in this order."""
        return Context(
            self.question[rows],
            self.answer[rows],
            self.profile[rows],
            self.lines[rows],
            self.known[rows],
        )


class Head(nn.Module):
    """What the answer asserts and who asks in, raw score out; one per adapter."""

    centres: Tensor
    basis: Tensor

    def __init__(self, dim: int, features: int, topics: int, basis: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(topics, 2 * dim))
        self.register_buffer("basis", torch.zeros(basis, dim))
        self.stance = nn.Linear(2 * dim, 1)
        self.leaning = nn.Linear(topics, 1)
        self.tower = nn.Sequential(
            nn.Linear(features, HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(HIDDEN, topics)
        )
        self.ask = nn.Linear(topics, dim, bias=False)
        self.line = nn.Linear(dim, topics)
        self.match = nn.Linear(basis * basis + 1, 1)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> "Head":
        """Return a head with these stored weights, of the shape that they say."""
        topics, dim = tensors["line.weight"].shape
        features, basis = tensors["tower.0.weight"].shape[1], len(tensors["basis"])
        head = cls(dim, features, topics, basis)
        head.load_state_dict(tensors)
        return head

    def forward(self, pooled: Tensor, context: Context) -> Tensor:
        """Return raw scores, (n,), for pooled text (n, 2 * dim): the log odds of both factors."""
        topic = self.topic(context)  # (n, topics)
        stance = torch.tanh(self.stance(pooled) / 2 + self.leaning(topic)).squeeze(1)
        holds = ((self.tower(context.profile) + self._history(topic, context)) * topic).sum(1)
        return both(self._on_topic(context), stance * holds)

    def topic(self, context: Context) -> Tensor:
        """Return how much each row belongs to each topic, (n, topics), from the plain vectors."""
        place = torch.cat([context.question, context.answer], dim=1) / 2**0.5
        # The row's own squared length is left out of the distance: a softmax does not see it.
        distance = (self.centres**2).sum(1) - 2 * place @ self.centres.T
        return torch.softmax(-SHARPNESS * distance, dim=1)

    def _history(self, topic: Tensor, context: Context) -> Tensor:
        """Return what the history says on each topic, (n, topics); zeros where there is none."""
        fit = (context.lines @ self.ask(topic).unsqueeze(2)).squeeze(2)  # (n, lines)
        share = torch.sigmoid(10 * fit) * context.known
        said: Tensor = (self.line(context.lines) * share.unsqueeze(2)).sum(1)
        return said

    def _on_topic(self, context: Context) -> Tensor:
        """Return the log odds that the answer is about the question, (n,)."""
        question, answer = context.question @ self.basis.T, context.answer @ self.basis.T
        products = (question.unsqueeze(2) * answer.unsqueeze(1)).flatten(1) * 30
        cosine = (context.question * context.answer).sum(1, keepdim=True) * 10
        out: Tensor = self.match(torch.cat([products, cosine], dim=1)).squeeze(1)
        return out


def both(first: Tensor, second: Tensor) -> Tensor:
    """Return the log odds that two independent things hold, from the log odds of each, (n,)."""
    neither = torch.logaddexp(torch.logaddexp(-first, -second), -first - second)
    return -neither


def contexts(space: FeatureSpace, pairs: Sequence[Pair], vectors: Mapping[str, Tensor]) -> Context:
    """Return the context of these pairs for an adapter with this feature space."""
    lines, known = _stacked([pair.customer.recent_history for pair in pairs], vectors)
    return Context(
        question=torch.stack([vectors[pair.question] for pair in pairs]),
        answer=torch.stack([vectors[pair.answer] for pair in pairs]),
        profile=torch.stack([torch.from_numpy(space.encode(pair.customer)) for pair in pairs]),
        lines=lines,
        known=known,
    )


def sentence_vectors(encoder: Encoder, pairs: Iterable[Pair]) -> dict[str, Tensor]:
    """Return the plain vector of each distinct question, answer and history line, (dim,)."""
    texts = {
        text
        for pair in pairs
        for text in (pair.question, pair.answer, *pair.customer.recent_history)
    }
    distinct = sorted(texts)
    vectors = torch.from_numpy(encoder.embed(distinct, limit=ANSWER_TOKENS))
    return dict(zip(distinct, vectors, strict=True))


def _stacked(
    histories: Sequence[Sequence[str]], vectors: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the lines' vectors, (n, most lines, dim), and which are there, (n, most lines)."""
    most = max([1, *(len(lines) for lines in histories)])
    dim = len(next(iter(vectors.values())))
    out, known = torch.zeros(len(histories), most, dim), torch.zeros(len(histories), most)
    for row, lines in enumerate(histories):
        for column, line in enumerate(lines):
            out[row, column], known[row, column] = vectors[line], 1.0
    return out, known
