"""What anybody would build first: the customer as text, one LoRA on every linear layer.

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
from scoring.encoder import TOKENS_PER_BATCH, Encoder, by_length, padded, span_mean
from scoring.examples import Example, Pair
from scoring.layers import LINEARS
from scoring.metrics import auc

RANK, ALPHA = 16, 32
RATE = 5e-4
ROWS_PER_STEP = 32
WARM_UP_STEPS = 50
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
    scorer = PlainScorer(encoder)
    pairs = [example.pair for example in held_out]
    labels = np.array([float(example.label) for example in held_out])
    for seconds in scorer.passes(training, seed=seed):
        yield Epoch(auc(labels, np.array(scorer.log_odds(pairs))) or 0.0, seconds)


class PlainScorer(nn.Module):
    """The encoder with LoRA and one linear layer over the mean of its last states.

    With `reads_customer=False` it sees question and answer alone, as the scorer that FrugalGPT
    published does. `products` is the type in which it multiplies.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        reads_customer: bool = True,
        products: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self._encoder, self._reads_customer = encoder, reads_customer
        self._products = products
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(LINEARS))
        self.adapted = get_peft_model(_copy(encoder), config)
        self.classifier = nn.Linear(encoder.dim, 1)

    def passes(
        self, training: Sequence[Example], *, seed: int, rate: float = RATE
    ) -> Iterator[float]:
        """Learn from the examples; yield the seconds spent after every pass, without end."""
        chance = Random(seed)
        learnt = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(learnt, lr=rate)
        rising = torch.optim.lr_scheduler.LinearLR(optimiser, 0.02, 1.0, WARM_UP_STEPS)
        rows = [self.ids(example.pair) for example in training]
        labels = torch.tensor([float(example.label) for example in training])
        seconds = 0.0
        while True:
            started = time.perf_counter()
            self.train()
            order = chance.sample(range(len(rows)), len(rows))
            for start in range(0, len(order), ROWS_PER_STEP):
                batch = order[start : start + ROWS_PER_STEP]
                read = self([rows[index] for index in batch])
                loss = functional.binary_cross_entropy_with_logits(read, labels[batch])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(learnt, 1.0)
                optimiser.step()
                rising.step()
            seconds += time.perf_counter() - started
            yield seconds

    def ids(self, pair: Pair) -> list[int]:
        """Return the customer, unless hidden, the question and the answer as a row of token ids."""
        who = f"{_as_text(pair.customer)} " if self._reads_customer else ""
        asked, answer = self._encoder.tokens([f"{who}{pair.question}", pair.answer])
        return [*asked[: CUSTOMER_TOKENS + QUESTION_TOKENS], *answer[1 : ANSWER_TOKENS + 1]]

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the log odds that answers suit their customers, (n,)."""
        ids, mask = padded(rows)
        with torch.autocast("cpu", self._products, enabled=self._products != torch.float32):
            states = self.adapted(input_ids=ids, attention_mask=mask).last_hidden_state
        read: Tensor = self.classifier(span_mean(states.float(), mask))[:, 0]
        return read

    @torch.inference_mode()
    def log_odds(self, pairs: Sequence[Pair]) -> list[float]:
        """Return one number per pair, in order; pairs that read the same are read once."""
        self.eval()
        shown = [tuple(self.ids(pair)) for pair in pairs]
        rows, found = list(dict.fromkeys(shown)), dict[tuple[int, ...], float]()
        for batch in by_length([len(row) for row in rows], TOKENS_PER_BATCH):
            read = self([rows[index] for index in batch]).tolist()
            found |= {rows[index]: value for index, value in zip(batch, read, strict=True)}
        return [found[row] for row in shown]


def _copy(encoder: Encoder) -> DistilBertModel:
    """Return the model for peft to change, over the same weights."""
    memo = {id(tensor): tensor for tensor in encoder.model.parameters()}
    return copy.deepcopy(encoder.model, memo)


def _as_text(customer: Customer) -> str:
    features = [f"{name}: {value}" for name, value in sorted(customer.features.items())]
    return ". ".join([*features, *customer.history[-3:]])
