"""The scorer: how well it knows customers on two domains, and how fast it is beside plain peft.

Quality: trains on some 3,000 examples of the demo shop and of an invented airline, and evaluates on
customers, questions and answers that are in neither's training part. Speed: full scores, from text
to chance, against the forward pass alone of transformers with peft's `adapter_names`, in fp32; no
text is asked twice, so that nothing comes from a cache. Ratios within one run, medians.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median

import torch
from peft import PeftModel

from benchmarks import airline
from benchmarks.report import Bar, finish, less, machine, read_options
from scoring.customer import Customer
from scoring.encoder import Encoder, load_encoder
from scoring.evaluation import Report, evaluate
from scoring.examples import Example, Pair, read_examples
from scoring.learning import sharing_copy
from scoring.registry import Registry
from scoring.scorer import Scorer
from scoring.training import train
from webapp.demo.seeding import write_examples
from webapp.demo.shop import build_shop

ROWS, TOKENS, SEGMENTS, MOST_SEGMENTS, CALLERS = 32, 64, 16, 256, 32


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
            report, seconds = quality(name, training, less(held_out, options), encoder, registry)
            found, hidden = report.overall.figures, report.controls[0].figures
            bars += [
                Bar(f"{name}_auc", found["auc"].value or 0.0, 0.95),
                Bar(f"{name}_auc_customer_hidden", hidden["auc"].value or 1.0, 0.58, below=True),
                Bar(f"{name}_ece", found["ece"].value or 0.0, 0.05, below=True),
            ]
            figures[name] = {"evaluation": report.as_json(), "train_seconds": seconds}
        bars += Speed(encoder, registry, rounds=5 if options.quick else 15).bars()
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


class Speed:
    """One adapter stored under many segments' names, so that all of them must be told apart."""

    def __init__(self, encoder: Encoder, registry: Registry, *, rounds: int) -> None:
        self._encoder, self._registry, self._rounds = encoder, registry, rounds
        self._texts = self._endless_texts()
        shared = registry.champions()["shared"]
        manifest, files = registry.read(shared, encoder.digest)
        self._segments = [f"segment-{number}" for number in range(MOST_SEGMENTS)]
        self._champions = {"shared": shared}
        self._scorer = Scorer(encoder, registry)
        self._scorer.load(shared)
        for segment in self._segments:
            version = registry.add(replace(manifest, segment=segment, files={}), files)
            self._scorer.load(version)
            self._champions[segment] = version
        self._bytes = sum(len(files[name]) for name in files)

    def bars(self) -> list[Bar]:
        """Time everything side by side and return what has a bar."""
        many, one = self._plain(ROWS, SEGMENTS), self._plain(1, 1)
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

    def _side_by_side(self, measured: dict[str, Callable[[], object]]) -> dict[str, float]:
        """Return the median seconds of each, all taking turns, the first turn not counted."""
        times: dict[str, list[float]] = {name: [] for name in measured}
        for turn in range(self._rounds + 1):
            for name, run in measured.items():
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

    def _pairs(self, rows: int, segments: int) -> list[Pair]:
        """Return pairs of `TOKENS` tokens each, never the same again."""
        return [
            Pair(*next(self._texts), Customer("c", self._segments[row * segments // rows]))
            for row in range(rows)
        ]

    def _endless_texts(self) -> Iterator[tuple[str, str]]:
        random, tokenizer = Random(0), self._encoder.tokenizer
        words = [
            word
            for word in sorted(tokenizer.get_vocab())
            if word.isascii() and word.isalpha() and len(word) > 3
        ]
        while True:
            chosen = random.choices(words, k=TOKENS - 3)
            yield " ".join(chosen[:24]), " ".join(chosen[24:])

    def _plain(self, rows: int, segments: int) -> Callable[[], object]:
        """Return the forward pass of peft's mixed batch, each row with its segment's adapter."""
        folder = str(self._registry.folder(self._champions["shared"]))
        model = PeftModel.from_pretrained(
            sharing_copy(self._encoder), folder, adapter_name=self._segments[0]
        )
        for segment in self._segments[1:segments]:
            model.load_adapter(folder, segment)
        model.eval()
        names = [self._segments[row * segments // rows] for row in range(rows)]
        ids = torch.randint(1000, 20_000, (rows, TOKENS))

        def forward() -> object:
            with torch.inference_mode():
                return model(input_ids=ids, adapter_names=names)

        return forward


def _read(path: Path) -> list[Example]:
    with path.open(encoding="utf-8") as source:
        return read_examples(source, name=path.name)


if __name__ == "__main__":
    sys.exit(main())
