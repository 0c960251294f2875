"""The scorer: how well it knows customers on two domains, and how fast it is beside plain peft.

Quality: trains on some 3,000 examples of the demo shop and of an invented airline, and evaluates on
customers, questions and answers that are in neither's training part. Speed: full scores, from text
to chance, against the forward pass alone of transformers with peft's `adapter_names`, in fp32; no
text is asked twice, so that nothing comes from memory. Training: one segment's examples, against a
plain loop over the same encoder until its AUC is within .01 of ours, or far beyond our time.
Ratios within one run, medians.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median

import numpy as np
import torch
from safetensors.torch import load, save

from benchmarks import airline
from benchmarks.plain_peft import mixed_forward, train_plain
from benchmarks.report import Bar, finish, less, machine, read_options
from scoring.customer import Customer
from scoring.encoder import Encoder, load_encoder
from scoring.evaluation import Report, evaluate
from scoring.examples import Example, Pair, read_examples
from scoring.metrics import auc
from scoring.registry import HEAD, WEIGHTS, Registry
from scoring.scorer import Score, Scorer
from scoring.training import train
from webapp.demo.seeding import write_examples
from webapp.demo.shop import build_shop

ROWS, TOKENS, SEGMENTS, MOST_SEGMENTS, CALLERS = 32, 64, 16, 256, 32
ONE_SEGMENT = 2000
LONG_ENOUGH = 4
"""A plain loop that takes so many times as long as ours, and is not there yet, is stopped."""
REST = 0.1
"""Seconds before each timing, so that no thread of the one before still spins."""


def main() -> int:
    """Measure, print, and return the exit status."""
    options = read_options(__doc__ or "")
    encoder = load_encoder()
    print(f"scorer, seed 0, on {machine()}")
    bars: list[Bar] = []
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        domains = {"shop": shop(Path(folder)), "airline": airline_examples()}
        for name, (training, held_out) in domains.items():
            registry = Registry(Path(folder) / name)
            training, held_out = less(training, options), less(held_out, options)
            report, seconds = quality(name, training, held_out, encoder, registry)
            found, hidden = report.overall.figures, report.controls[0].figures
            bars += [
                Bar(f"{name}_auc", found["auc"].value or 0.0, 0.95),
                Bar(f"{name}_auc_customer_hidden", hidden["auc"].value or 1.0, 0.58, below=True),
                Bar(f"{name}_ece", found["ece"].value or 0.0, 0.05, below=True),
            ]
            figures[name] = {"evaluation": report.as_json(), "train_seconds": seconds}
            bars += given_up(name, held_out, encoder, registry)
        known = less(domains["shop"][0], options)
        one = Random(0).sample(known, min(ONE_SEGMENT, len(known)))
        bars.append(
            training_speed(one, domains["shop"][1], encoder, Registry(Path(folder) / "one"))
        )
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            bars += apart.submit(speed, registry, 5 if options.quick else 15).result()
    return finish("scorer", bars, figures, options)


def shop(folder: Path) -> tuple[list[Example], list[Example]]:
    """Return the demo shop's training and held-out examples."""
    training, held_out = (
        _read(path) for path in write_examples(build_shop(), folder / "shop-examples")
    )
    return training, held_out


def airline_examples() -> tuple[list[Example], list[Example]]:
    """Return the invented airline's training and held-out examples."""
    return airline.examples("train", seed=0), airline.examples("heldout", seed=1)


def quality(
    name: str,
    training: Sequence[Example],
    held_out: Sequence[Example],
    encoder: Encoder,
    registry: Registry,
) -> tuple[Report, float]:
    """Train on one domain and evaluate; returns the report and how long training took, in s."""
    started = time.perf_counter()
    train(training, encoder=encoder, registry=registry, created=datetime.now(UTC))
    seconds = time.perf_counter() - started
    scorer = Scorer(encoder, registry)
    for version in registry.champions().values():
        scorer.load(version)
    report = evaluate(
        held_out, scorer=scorer, champions=registry.champions(), name=name, split="held-out"
    )
    print(f"{name}: trained on {len(training)} examples in {seconds:.0f} s")
    print(report.as_text())
    return report, seconds


def given_up(
    name: str, held_out: Sequence[Example], encoder: Encoder, registry: Registry
) -> list[Bar]:
    """Return what the fastest products cost against the same adapters in fp32.

    In fp32 the scorer computes what plain peft does, row by row (`tests/scoring/test_scorer.py`).
    """
    labels = np.array([float(example.label) for example in held_out])
    exact, fast = (
        np.array([score.value for score in _scores(held_out, each, registry)])
        for each in (load_encoder(products=torch.float32), encoder)
    )
    lost = (auc(labels, exact) or 0.0) - (auc(labels, fast) or 0.0)
    return [
        Bar(f"{name}_auc_given_up", lost, 0.005, below=True),
        Bar(f"{name}_farthest_score", float(np.abs(exact - fast).max()), 0.03, below=True),
    ]


def _scores(examples: Sequence[Example], encoder: Encoder, registry: Registry) -> Sequence[Score]:
    scorer, champions = Scorer(encoder, registry), registry.champions()
    for version in champions.values():
        scorer.load(version)
    return scorer.score([example.pair for example in examples], champions)


def training_speed(
    training: Sequence[Example], held_out: Sequence[Example], encoder: Encoder, registry: Registry
) -> Bar:
    """Return how much longer a plain loop takes to our AUC, less .01.

    The bar of one that is stopped is what it took until then.
    """
    own = [
        replace(each, pair=replace(each.pair, customer=replace(each.pair.customer, segment=None)))
        for each in training
    ]
    started = time.perf_counter()
    train(own, encoder=encoder, registry=registry, created=datetime.now(UTC))
    seconds = time.perf_counter() - started
    labels = np.array([float(example.label) for example in held_out])
    ours = auc(labels, np.array([each.value for each in _scores(held_out, encoder, registry)]))
    print(f"one segment of {len(own)} examples: ours AUC {ours:.3f} in {seconds:.0f} s")
    plain = 0.0
    for epoch in train_plain(encoder, own, held_out, seed=0):
        print(f"one segment, plain loop: AUC {epoch.auc:.3f} after {epoch.seconds:.0f} s")
        plain = epoch.seconds
        if epoch.auc >= (ours or 0.0) - 0.01:
            break
        if plain > LONG_ENOUGH * seconds:
            print("one segment, plain loop: not there yet")
            break
    return Bar("training_over_plain", plain / seconds, 2.5)


def speed(registry: Registry, rounds: int) -> list[Bar]:
    """Time serving in this process, whose memory nothing else must have used."""
    return Speed(load_encoder(), registry, rounds=rounds).bars()


class Speed:
    """As many segments as it takes, each with its own adapter, all of them unlike."""

    def __init__(self, encoder: Encoder, registry: Registry, *, rounds: int) -> None:
        self._encoder, self._registry, self._rounds = encoder, registry, rounds
        self._texts = self._endless_texts()
        self._segments = [f"segment-{number}" for number in range(MOST_SEGMENTS)]
        self._champions = {**self._unlike(), "shared": registry.champions()["shared"]}
        self._scorer = Scorer(encoder, registry)
        self._scorer.load(self._champions["shared"])
        before = _resident_bytes()
        for segment in self._segments:
            self._scorer.load(self._champions[segment])
        self._bytes = (_resident_bytes() - before) / MOST_SEGMENTS

    def bars(self) -> list[Bar]:
        """Time everything side by side and return what has a bar."""
        folder = str(self._registry.folder(self._champions["shared"]))
        many = mixed_forward(self._encoder, folder, self._of(ROWS, SEGMENTS), TOKENS)
        one = mixed_forward(self._encoder, folder, self._of(1, 1), TOKENS)
        times = self._side_by_side(
            {
                "ours_16": lambda: self._score(self._pairs(ROWS, SEGMENTS)),
                "peft_16": many,
                "ours_1_row": lambda: self._score(self._pairs(1, 1)),
                "peft_1_row": one,
                "ours_256": lambda: self._score(self._pairs(ROWS, MOST_SEGMENTS)),
                "ours_1": lambda: self._score(self._pairs(ROWS, 1)),
                "callers": self._callers,
            }
        )
        for name, seconds in times.items():
            print(f"{name}: {seconds * 1e3:.1f} ms")
        return [
            Bar("throughput_over_peft", times["peft_16"] / times["ours_16"], 2.5),
            Bar("latency_of_peft", times["ours_1_row"] / times["peft_1_row"], 0.4, below=True),
            Bar("time_of_256_segments", times["ours_256"] / times["ours_1"], 1.15, below=True),
            Bar("megabytes_per_segment", self._bytes / 1e6, 1.0, below=True),
            Bar("callers_over_batch", times["ours_16"] / times["callers"], 0.7),
        ]

    def _unlike(self) -> dict[str, str]:
        """Store an adapter for each segment: a trained one, its factors and head slightly moved."""
        trained = [
            self._registry.read(version, self._encoder.digest)
            for segment, version in sorted(self._registry.champions().items())
            if segment != "shared"
        ]
        noise, versions = torch.Generator().manual_seed(0), {}
        for number, segment in enumerate(self._segments):
            manifest, files = trained[number % len(trained)]
            moved = {name: _moved(files[name], noise) for name in (WEIGHTS, HEAD)}
            named = replace(manifest, segment=segment, files={})
            versions[segment] = self._registry.add(named, {**files, **moved})
        return versions

    def _side_by_side(self, measured: dict[str, Callable[[], object]]) -> dict[str, float]:
        """Return the median seconds of each, all taking turns, the first turn not counted."""
        times: dict[str, list[float]] = {name: [] for name in measured}
        for turn in range(self._rounds + 1):
            for name, run in measured.items():
                time.sleep(REST)
                started = time.perf_counter()
                run()
                if turn:
                    times[name].append(time.perf_counter() - started)
        return {name: median(seconds) for name, seconds in times.items()}

    def _score(self, pairs: Sequence[Pair]) -> None:
        self._scorer.score(pairs, self._champions)

    def _callers(self) -> None:
        """As many threads as a batch has rows, each with one row of its own."""
        pairs = self._pairs(ROWS, SEGMENTS)
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda pair: self._score([pair]), pairs))

    def _of(self, rows: int, segments: int) -> list[str]:
        return [self._segments[row * segments // rows] for row in range(rows)]

    def _pairs(self, rows: int, segments: int) -> list[Pair]:
        """Return pairs of `TOKENS` tokens each, never the same again."""
        return [
            Pair(*next(self._texts), Customer("c", segment)) for segment in self._of(rows, segments)
        ]

    def _endless_texts(self) -> Iterator[tuple[str, str]]:
        """Yield questions of 24 words with answers of two sentences, 64 tokens with all marks."""
        random, tokenizer = Random(0), self._encoder.tokenizer
        words = [
            word
            for word in sorted(tokenizer.get_vocab())
            if word.isascii() and word.isalpha() and len(word) > 3
        ]
        while True:
            chosen = random.choices(words, k=TOKENS - 8)
            first, second = " ".join(chosen[24:40]), " ".join(chosen[40:])
            yield " ".join(chosen[:24]), f"{first}. {second}."


def _moved(stored: bytes, noise: torch.Generator) -> bytes:
    """Return stored tensors with what a segment has of its own moved a little."""
    tensors = load(stored)
    for name, tensor in tensors.items():
        if "lora" in name or name.startswith(("reading", "sides", "own.values")):
            tensors[name] = tensor + 1e-4 * torch.randn(tensor.shape, generator=noise)
    return save(tensors)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _read(path: Path) -> list[Example]:
    with path.open(encoding="utf-8") as source:
        return read_examples(source, name=path.name)


if __name__ == "__main__":
    sys.exit(main())
