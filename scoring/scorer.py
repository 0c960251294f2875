"""Scores answers for customers: many adapters over one encoder, each row with its own segment's."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import numpy as np
import torch
from safetensors.numpy import load as load_arrays
from safetensors.torch import load
from torch import Tensor

from scoring import registry as files
from scoring.batching import Batcher
from scoring.calibration import Calibration
from scoring.customer import Customer
from scoring.encoder import TOKENS_PER_BATCH, Encoder, by_length
from scoring.errors import BadAdapter, NoAdapter
from scoring.examples import Pair
from scoring.features import CustomerSpace
from scoring.head import Head, Stored, Texts, raw_scores
from scoring.history import words_of
from scoring.layers import Lora
from scoring.network import PASSAGE, Parts, pooled, read_parts, tokens_of
from scoring.registry import Registry
from scoring.segments import adapter_for
from scoring.topics import Array
from scoring.wordings import PlainVectors


@dataclass(frozen=True)
class Score:
    """The chance that the answer suits the customer, and the adapter version that says so."""

    value: float
    adapter: str
    segment: str | None


@dataclass(frozen=True)
class Adapter:
    """One version in memory, complete and never changed."""

    version: str
    lora: Lora
    sides: Tensor
    """What is added to the states of question, answer and passage, (parts, dim)."""
    reads_passages: bool
    """Whether it was trained on answers with passages; if not, passages are not read to it."""
    head: Head
    space: CustomerSpace
    calibration: Calibration


Row = tuple[Pair, Adapter]

ROWS_PER_BATCH = 256


class Scorer:
    """The served adapters over one encoder; safe to use from many threads.

    A call takes its adapters from the set that is served when it begins; `load` and `unload` put a
    new set in its place, so no row is scored by half an adapter. Calls of several threads are
    computed together.
    """

    def __init__(self, encoder: Encoder, registry: Registry) -> None:
        self._encoder = encoder
        self._registry = registry
        self._served: Mapping[str, Adapter] = {}
        self._changing = threading.Lock()
        self._batched: Batcher[Row, float] = Batcher(self._values, most=ROWS_PER_BATCH)

    @property
    def loaded(self) -> frozenset[str]:
        """The versions that can score now."""
        return frozenset(self._served)

    def load(self, version: str) -> None:
        """Check a version and serve it; raises `BadAdapter` and changes nothing if unsound."""
        adapter = read_adapter(version, self._encoder, self._registry)
        with self._changing:
            head = adapter.head.beside(other.head for other in self._served.values())
            self._served = {**self._served, version: replace(adapter, head=head)}

    def unload(self, version: str) -> None:
        """Stop serving a version; rows being scored with it are finished."""
        with self._changing:
            self._served = {key: kept for key, kept in self._served.items() if key != version}

    def score(self, pairs: Sequence[Pair], champions: Mapping[str, str]) -> list[Score]:
        """Return one calibrated score per pair, in order, each by the adapter of its segment.

        Raises `NoAdapter` where no champion covers a segment, `BadAdapter` where it is not loaded.
        """
        served = self._served
        adapters = [_served(served, adapter_for(p.customer.segment, champions)) for p in pairs]
        values = self._batched(list(zip(pairs, adapters, strict=True)))
        return [
            Score(value, adapter.version, pair.customer.segment)
            for value, adapter, pair in zip(values, adapters, pairs, strict=True)
        ]

    def describe(self, customer: Customer, champions: Mapping[str, str]) -> str:
        """Return in words what the customer's adapter reads of them: known features, history.

        Raises `NoAdapter` and `BadAdapter` as `score` does.
        """
        adapter = _served(self._served, adapter_for(customer.segment, champions))
        return "\n".join([adapter.space.profile.describe(customer), *customer.recent_history])

    def _values(self, rows: Sequence[Row]) -> list[float]:
        """Return one probability per row; what several rows share is read once."""
        shown = [
            pair.texts if adapter.reads_passages else pair.texts[:PASSAGE] for pair, adapter in rows
        ]
        distinct = list(dict.fromkeys(shown))
        parts = read_parts(self._encoder, distinct)
        place = {text: index for index, text in enumerate(distinct)}
        text = [place[each] for each in shown]
        read = self._pooled(parts, text, [adapter for _, adapter in rows])
        texts = Texts(read, PlainVectors.of(parts).take(text))
        words = words_of(pair.customer for pair, _ in rows)
        lines = dict(zip(words, self._encoder.embed(words), strict=True))
        people = [adapter.space.encode(pair.customer, lines) for pair, adapter in rows]
        raw = raw_scores([adapter.head for _, adapter in rows], texts, people)
        calibrations = [adapter.calibration for _, adapter in rows]
        return [
            float(each.apply(one)[0]) for each, one in zip(calibrations, raw[:, None], strict=True)
        ]

    @torch.inference_mode()
    def _pooled(
        self, parts: Sequence[Parts], text: Sequence[int], adapters: Sequence[Adapter]
    ) -> Array:
        """Return what each row's adapter reads in its text, (n, 2 * dim)."""
        keys = [(adapter.version, index) for adapter, index in zip(adapters, text, strict=True)]
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        rows, place = list(first.values()), {key: index for index, key in enumerate(first)}
        out = np.zeros((len(rows), 2 * self._encoder.dim), dtype=np.float32)
        for batch in by_length([tokens_of(parts[text[row]]) for row in rows], TOKENS_PER_BATCH):
            out[batch] = pooled(
                self._encoder,
                [parts[text[rows[index]]] for index in batch],
                [adapters[rows[index]].lora for index in batch],
                [adapters[rows[index]].sides for index in batch],
            ).numpy()
        return out[[place[key] for key in keys]]


def with_champions(encoder: Encoder, registry: Registry) -> tuple[Scorer, dict[str, str]]:
    """Return a scorer that serves a folder's champions, and which version each segment has.

    Raises `NoAdapter` for a folder without any, `BadAdapter` for unsound ones.
    """
    champions = registry.champions()
    if not champions:
        raise NoAdapter(f"{registry.root} holds no adapters; make some with `frugaldesk train`")
    scorer = Scorer(encoder, registry)
    for version in champions.values():
        scorer.load(version)
    return scorer, champions


def read_adapter(version: str, encoder: Encoder, registry: Registry) -> Adapter:
    """Return a version read from its folder, every file checked; raises `BadAdapter`."""
    _, stored = registry.read(version, encoder.digest)
    try:
        return _read(version, stored, encoder)
    except (KeyError, ValueError, TypeError, RuntimeError) as exc:
        folder = registry.folder(version)
        raise BadAdapter(
            f"{folder}: its files are not what this version reads ({exc!r}); train it again"
        ) from exc


def read_learnt(version: str, encoder: Encoder, registry: Registry) -> dict[str, Tensor]:
    """Return what a version's layers had learnt, as `scoring.learning.Learner.load` takes it.

    Raises `BadAdapter` as `read_adapter` does.
    """
    _, stored = registry.read(version, encoder.digest)
    head = load(stored[files.HEAD])
    learnt = {"sides": "sides", "reading.weight": "reading", "reading.bias": "reading_bias"}
    return {**load(stored[files.WEIGHTS]), **{name: head[at] for name, at in learnt.items()}}


def _read(version: str, stored: Mapping[str, bytes], encoder: Encoder) -> Adapter:
    config = json.loads(stored[files.CONFIG])
    arrays = {name: _once(array) for name, array in load_arrays(stored[files.HEAD]).items()}
    return Adapter(
        version=version,
        lora=Lora.from_peft(
            load(stored[files.WEIGHTS]),
            encoder.products,
            rank=config["r"],
            alpha=config["lora_alpha"],
        ),
        sides=torch.tensor(arrays["sides"]),
        reads_passages=bool(arrays["reads_passages"][0]),
        head=Head.from_tensors(arrays),
        space=CustomerSpace.from_json(stored[files.FEATURES].decode(), arrays["history.kinds"]),
        calibration=Calibration.from_json(stored[files.CALIBRATION].decode()),
    )


_in_memory: WeakValueDictionary[bytes, Stored] = WeakValueDictionary()


def _once(array: Stored) -> Stored:
    """Return an equal array that is in memory, or this one: segments share most of theirs."""
    name = hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).digest()
    array.setflags(write=False)
    return _in_memory.setdefault(name, array)


def _served(served: Mapping[str, Adapter], version: str) -> Adapter:
    if version not in served:
        raise BadAdapter(f"adapter {version} is not loaded; loaded are {sorted(served)}")
    return served[version]
