"""Scores answers for customers: many adapters over one encoder, each row with its own segment's."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays
from safetensors.torch import load
from torch import Tensor

from scoring import registry as files
from scoring.calibration import Calibration
from scoring.customer import Customer
from scoring.encoder import Encoder, by_length
from scoring.errors import BadAdapter
from scoring.examples import Pair
from scoring.features import CustomerSpace
from scoring.head import Head, Texts
from scoring.history import words_of
from scoring.network import (
    Lora,
    LoraRows,
    Reading,
    answer_spans,
    lower_layers,
    pool,
    read_texts,
    upper_layers,
)
from scoring.registry import Registry
from scoring.segments import adapter_for
from scoring.topics import Array

ROWS_PER_BATCH = 32


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
    factors: Mapping[str, Tensor]
    """LoRA's factors by the names that peft stores them by."""
    lora: Lora
    head: Head
    space: CustomerSpace
    calibration: Calibration

    def learnt(self) -> dict[str, Tensor]:
        """Return what its layers had learnt, as `scoring.learning.Learner.load` takes it."""
        weight, bias = torch.from_numpy(self.head.reading), torch.from_numpy(self.head.reading_bias)
        return {**self.factors, "reading.weight": weight, "reading.bias": bias}


class Scorer:
    """The served adapters over one encoder; safe to use from many threads.

    Scoring reads the set of adapters once and never waits: `load` and `unload` put a new set in its
    place, so no row is scored by half an adapter.
    """

    def __init__(self, encoder: Encoder, registry: Registry) -> None:
        self._encoder = encoder
        self._registry = registry
        self._served: Mapping[str, Adapter] = {}
        self._changing = threading.Lock()

    @property
    def loaded(self) -> frozenset[str]:
        """The versions that can score now."""
        return frozenset(self._served)

    def load(self, version: str) -> None:
        """Check a version and serve it; raises `BadAdapter` and changes nothing if unsound."""
        adapter = read_adapter(version, self._encoder, self._registry)
        with self._changing:
            self._served = {**self._served, version: adapter}

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
        values = self._values(pairs, adapters) if pairs else np.zeros(0)
        return [
            Score(float(value), adapter.version, pair.customer.segment)
            for value, adapter, pair in zip(values, adapters, pairs, strict=True)
        ]

    def describe(self, customer: Customer, champions: Mapping[str, str]) -> str:
        """Return in words what the customer's adapter reads of them: known features, history.

        Raises `NoAdapter` and `BadAdapter` as `score` does.
        """
        adapter = _served(self._served, adapter_for(customer.segment, champions))
        return "\n".join([adapter.space.profile.describe(customer), *customer.recent_history])

    def _values(self, pairs: Sequence[Pair], adapters: Sequence[Adapter]) -> NDArray[np.float64]:
        """Return the probabilities, (n,); what several rows share is read once."""
        vectors = self._vectors(pairs)
        texts = Texts(
            self._pooled(pairs, adapters),
            np.stack([vectors[pair.question] for pair in pairs]),
            np.stack([vectors[pair.answer] for pair in pairs]),
        )
        values = np.zeros(len(pairs))
        for adapter, rows in _by_adapter(adapters):
            people = [adapter.space.encode(pairs[row].customer, vectors) for row in rows]
            raw = adapter.head.raw(texts.take(rows), np.stack(people))
            values[rows] = adapter.calibration.apply(raw)
        return values

    def _vectors(self, pairs: Sequence[Pair]) -> dict[str, Array]:
        """Return the plain vector of each question, answer and history line's words, (dim,)."""
        texts = {text for pair in pairs for text in (pair.question, pair.answer)}
        distinct = sorted(texts.union(words_of(pair.customer for pair in pairs)))
        return dict(zip(distinct, self._encoder.embed(distinct), strict=True))

    @torch.inference_mode()
    def _pooled(self, pairs: Sequence[Pair], adapters: Sequence[Adapter]) -> Array:
        """Return what each row's adapter reads in its text, (n, 2 * dim)."""
        keys = [(a.version, p.question, p.answer) for a, p in zip(adapters, pairs, strict=True)]
        distinct = list(dict.fromkeys(keys))
        adapter_of = dict(zip(keys, adapters, strict=True))
        readings = read_texts(
            self._encoder, [(question, answer) for _, question, answer in distinct]
        )
        place: dict[tuple[str, str, str], int] = {}
        out = []
        for batch in by_length([len(reading) for reading in readings], ROWS_PER_BATCH):
            place.update({distinct[index]: len(place) + n for n, index in enumerate(batch)})
            out.append(
                self._read(
                    [readings[index] for index in batch],
                    [adapter_of[distinct[index]] for index in batch],
                )
            )
        pooled: Array = torch.cat(out)[[place[key] for key in keys]].numpy()
        return pooled

    def _read(self, readings: Sequence[Reading], adapters: Sequence[Adapter]) -> Tensor:
        """Return the pooled last states of a batch, (n, 2 * dim), each row by its own adapter."""
        distinct = {adapter.version: adapter for adapter in adapters}
        place = {version: index for index, version in enumerate(distinct)}
        rows = torch.tensor([place[adapter.version] for adapter in adapters])
        lora = LoraRows([adapter.lora for adapter in distinct.values()], rows)
        states, mask = lower_layers(self._encoder, readings)
        states = upper_layers(self._encoder, states, mask, lora)
        return pool(states, answer_spans(readings, mask.shape[1]))


def read_adapter(version: str, encoder: Encoder, registry: Registry) -> Adapter:
    """Return a version read from its folder, every file checked; raises `BadAdapter`."""
    _, stored = registry.read(version, encoder.digest)
    try:
        return _read(version, stored)
    except (KeyError, ValueError, TypeError) as exc:
        folder = registry.folder(version)
        raise BadAdapter(
            f"{folder}: its files are not what this version reads ({exc!r}); train it again"
        ) from exc


def _read(version: str, stored: Mapping[str, bytes]) -> Adapter:
    config = json.loads(stored[files.CONFIG])
    factors = load(stored[files.WEIGHTS])
    arrays = load_arrays(stored[files.HEAD])
    return Adapter(
        version=version,
        factors=factors,
        lora=Lora.from_peft(factors, rank=config["r"], alpha=config["lora_alpha"]),
        head=Head.from_tensors(arrays),
        space=CustomerSpace.from_json(stored[files.FEATURES].decode(), arrays["history.kinds"]),
        calibration=Calibration.from_json(stored[files.CALIBRATION].decode()),
    )


def _served(served: Mapping[str, Adapter], version: str) -> Adapter:
    if version not in served:
        raise BadAdapter(f"adapter {version} is not loaded; loaded are {sorted(served)}")
    return served[version]


def _by_adapter(adapters: Sequence[Adapter]) -> list[tuple[Adapter, list[int]]]:
    rows: dict[str, list[int]] = {}
    for index, adapter in enumerate(adapters):
        rows.setdefault(adapter.version, []).append(index)
    return [(adapters[places[0]], places) for places in rows.values()]
