"""What anybody would build first: the customer as text, one LoRA on every linear layer, fp32.

The scorer is measured beside it: the forward pass of a batch that mixes adapters, and the training
loop of one adapter.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.distilbert.modeling_distilbert import DistilBertModel

from scoring.customer import Customer
from scoring.encoder import Encoder, padded
from scoring.examples import Example, Pair
from scoring.layers import LINEARS
from scoring.metrics import auc

RANK, ALPHA = 16, 32
RATE = 5e-4
ROWS_PER_STEP = 32
CUSTOMER_TOKENS, QUESTION_TOKENS, ANSWER_TOKENS = 128, 64, 64


def mixed_forward(
    encoder: Encoder, folder: str, segments: Sequence[str], tokens: int
) -> Callable[[], object]:
    """Return the forward pass of one row per entry of `segments`, each with its own adapter.

    The adapter of every segment is the one in `folder`, loaded under the segment's name.
    """
    first, *others = dict.fromkeys(segments)
    model = PeftModel.from_pretrained(_copy(encoder), folder, adapter_name=first)
    for segment in others:
        model.load_adapter(folder, segment)
    model.eval()
    ids = torch.randint(1000, 20_000, (len(segments), tokens))

    def forward() -> object:
        with torch.inference_mode():
            return model(input_ids=ids, adapter_names=list(segments))

    return forward


@dataclass(frozen=True)
class Epoch:
    """How good the plain loop's adapter is on held-out rows, and its training time until then."""

    auc: float
    seconds: float


def train_plain(
    encoder: Encoder, training: Sequence[Example], held_out: Sequence[Example], *, seed: int
) -> Iterator[Epoch]:
    """Train one adapter in padded batches; yield after every pass, for as long as one asks."""
    torch.manual_seed(seed)
    chance, model = Random(seed), _Plain(encoder)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
    rows = [model.ids(example.pair) for example in training]
    labels = torch.tensor([float(example.label) for example in training])
    seconds = 0.0
    while True:
        started = time.perf_counter()
        model.train()
        order = chance.sample(range(len(rows)), len(rows))
        for start in range(0, len(order), ROWS_PER_STEP):
            batch = order[start : start + ROWS_PER_STEP]
            read = model([rows[index] for index in batch])
            loss = functional.binary_cross_entropy_with_logits(read, labels[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        seconds += time.perf_counter() - started
        yield Epoch(model.judged(held_out), seconds)


class _Plain(nn.Module):
    """The encoder with LoRA and one linear layer over the mean of its last states."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self._encoder = encoder
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(LINEARS))
        self.adapted = get_peft_model(_copy(encoder), config)
        self.classifier = nn.Linear(encoder.dim, 1)

    def ids(self, pair: Pair) -> list[int]:
        """Return the customer, the question and the answer as one row of token ids."""
        asked = f"{_as_text(pair.customer)} {pair.question}"
        customer, answer = self._encoder.tokens([asked, pair.answer])
        return [*customer[: CUSTOMER_TOKENS + QUESTION_TOKENS], *answer[1 : ANSWER_TOKENS + 1]]

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the log odds that answers suit their customers, (n,)."""
        ids, mask = padded(rows)
        states = self.adapted(input_ids=ids, attention_mask=mask).last_hidden_state
        real = mask.unsqueeze(-1)
        mean = (states * real).sum(1) / real.sum(1)
        read: Tensor = self.classifier(mean)[:, 0]
        return read

    @torch.inference_mode()
    def judged(self, examples: Sequence[Example]) -> float:
        """Return the area under the curve on these examples."""
        self.eval()
        rows = [self.ids(example.pair) for example in examples]
        read = [self(rows[start : start + 64]) for start in range(0, len(rows), 64)]
        labels = np.array([float(example.label) for example in examples])
        return auc(labels, torch.cat(read).double().numpy()) or 0.0


def _copy(encoder: Encoder) -> DistilBertModel:
    """Return the model for peft to change, over the same weights."""
    memo = {id(tensor): tensor for tensor in encoder.model.parameters()}
    return copy.deepcopy(encoder.model, memo)


def _as_text(customer: Customer) -> str:
    features = [f"{name}: {value}" for name, value in sorted(customer.features.items())]
    return ". ".join([*features, *customer.history[-3:]])
