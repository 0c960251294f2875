"""Training, top to bottom: one shared adapter from all examples, then one per segment from it.

What makes it fast on two cores: the layers below the adapted ones are run once and their outputs
kept, the head is fitted before the layers move, and a question with its answer is read once per
step however many customers it is judged for.
"""

import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from safetensors.torch import load, save
from torch import Tensor
from tqdm import tqdm

from scoring import registry as files
from scoring.calibration import Calibration, fit_platt
from scoring.encoder import Encoder
from scoring.errors import BadAdapter, BadExamples
from scoring.examples import Example
from scoring.features import FeatureSpace
from scoring.learning import (
    LAYER_COST,
    Learner,
    Rows,
    Schedule,
    fit_head,
    fit_layers,
    one_row_per_text,
    raw_scores,
    split_customers,
)
from scoring.metrics import auc, brier, expected_calibration_error
from scoring.network import BASIS, TOPICS, Head
from scoring.registry import Manifest, Registry
from scoring.segments import SHARED
from scoring.start import stored_start
from scoring.topics import centres, main_axes

log = logging.getLogger(__name__)

MIN_EXAMPLES = 100
"""A segment with fewer examples than this, or one class only, falls back to the shared adapter."""

HELD_OUT_SHARE = 0.15
"""The share of customers kept out of the weights, for calibration and the adapter's metrics."""

SHARED_SCHEDULE = Schedule(head_steps=1000, steps=180, rate=5e-4, head_rate=2e-3)
SEGMENT_SCHEDULE = Schedule(head_steps=0, steps=12, rate=1e-4, head_rate=3e-4, pull=1e-3)


@dataclass(frozen=True)
class TrainedAdapter:
    """One adapter that was trained and stored; metrics are on customers kept out of its weights."""

    version: str
    segment: str
    examples: int
    customers: int
    metrics: Mapping[str, float | None]
    seconds: float


def train(
    examples: Sequence[Example],
    *,
    encoder: Encoder,
    registry: Registry,
    segment: str | None = None,
    seed: int = 0,
    progress: bool = True,
    created: datetime,
) -> list[TrainedAdapter]:
    """Train, store and make champion the shared adapter and each segment's, or one segment's alone.

    The shared adapter comes first and the others start from it; with `segment` only that one is
    trained, from the shared champion. The same examples and seed give the same weights.
    Raises `BadExamples` for an empty set, one class only, or a named segment with too few examples.
    """
    check_examples(examples, segment)
    plan = [segment] if segment else [SHARED, *trained_segments(examples)]
    run = Run(encoder, registry, seed, created)
    trained = []
    with _repeatable(seed), _bar(plan, progress=progress) as bar:
        bar.set_description("reading texts")
        rows = Rows.prepare(examples, encoder, run.space(segment, examples))
        for name in plan:
            bar.set_description(f"training {name}")
            trained.append(run.train_one(name, rows, bar))
            registry.set_champions({**registry.champions(), name: trained[-1].version})
    for name, count in falling_back(examples).items():
        log.info("segment %r falls back to the shared adapter: %d examples", name, count)
    return trained


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Draw from this seed and add up in a fixed order, whatever the threads do; then as before."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def check_examples(examples: Sequence[Example], segment: str | None = None) -> None:
    """Raise `BadExamples` where nothing can be learnt from these examples."""
    if not examples:
        raise BadExamples("no examples to train on; expected at least one")
    labels = {example.label for example in examples}
    if len(labels) == 1:
        raise BadExamples(f"all {len(examples)} labels are {labels.pop()}; expected both 0 and 1")
    if segment is not None and segment not in trained_segments(examples):
        count = sum(example.pair.customer.segment == segment for example in examples)
        raise BadExamples(
            f"segment {segment!r} has {count} examples; expected at least {MIN_EXAMPLES} with both "
            "labels; until then the shared adapter scores it"
        )


def trained_segments(examples: Sequence[Example]) -> list[str]:
    """Return the segments with enough examples of both classes for their own adapter, sorted."""
    counts = _by_segment(examples)
    labels = {(example.pair.customer.segment, example.label) for example in examples}
    return sorted(
        name
        for name, count in counts.items()
        if name != SHARED and count >= MIN_EXAMPLES and {(name, 0), (name, 1)} <= labels
    )


def falling_back(examples: Sequence[Example]) -> dict[str, int]:
    """Return the segments that the shared adapter goes on scoring, with their example counts."""
    own = set(trained_segments(examples))
    return {name: count for name, count in _by_segment(examples).items() if name not in own}


def _by_segment(examples: Sequence[Example]) -> Counter[str]:
    segments = (example.pair.customer.segment for example in examples)
    return Counter(segment for segment in segments if segment is not None)


@dataclass(frozen=True)
class Run:
    """One call of `train`: where adapters come from and go to, and what makes them repeatable."""

    encoder: Encoder
    registry: Registry
    seed: int
    created: datetime

    def space(self, segment: str | None, examples: Sequence[Example]) -> FeatureSpace:
        """Return the space fitted on these rows, or the shared champion's if it starts there."""
        if segment is None:
            return FeatureSpace.fit(example.pair.customer for example in examples)
        return FeatureSpace.from_json(self._shared()[files.FEATURES].decode())

    def train_one(self, name: str, rows: Rows, bar: "tqdm[None]") -> TrainedAdapter:
        """Train, calibrate and store one adapter."""
        started = time.perf_counter()
        chosen = rows.of(name)
        kept, held_out = (
            chosen[part] for part in split_customers(rows.ids[chosen], self.seed, HELD_OUT_SHARE)
        )
        learner = self._begin(rows, kept) if name == SHARED else self._begin_from_shared()
        schedule = schedule_of(name)
        fit_head(learner, rows, kept, schedule, self.seed, bar)
        fit_layers(learner, rows, kept, schedule, self.seed, bar)
        learner.train_mode(False)
        raw, labels = raw_scores(learner, rows, held_out), rows.labels[held_out].double().numpy()
        calibration = fit_platt(raw, labels, prior=self._prior(name))
        metrics = _metrics(labels, calibration.apply(raw))
        customers = len(np.unique(rows.ids[chosen]))
        manifest = Manifest(
            segment=name,
            base=self.encoder.name,
            base_digest=self.encoder.digest,
            data=rows.data,
            seed=self.seed,
            examples=len(chosen),
            customers=customers,
            metrics=metrics,
            created=self.created.isoformat(),
            files={},
        )
        version = self.registry.add(manifest, stored_files(learner, rows.space, calibration))
        seconds = time.perf_counter() - started
        return TrainedAdapter(version, name, len(chosen), customers, metrics, seconds)

    def _begin(self, rows: Rows, kept: Tensor) -> Learner:
        """Return a learner with topics found in the texts and, on the bundled encoder, a start."""
        random = np.random.default_rng(self.seed)
        context = rows.context.take(one_row_per_text(rows, kept))
        question, answer = context.question.numpy(), context.answer.numpy()
        head = Head(self.encoder.dim, rows.space.width, min(TOPICS, len(question)), BASIS)
        together = (np.concatenate([question, answer], axis=1) / 2**0.5).astype(np.float32)
        head.centres.copy_(torch.from_numpy(centres(together, TOPICS, random)))
        head.basis.copy_(torch.from_numpy(main_axes(np.concatenate([question, answer]), BASIS)))
        learner = Learner(self.encoder, head)
        start = stored_start(self.encoder.digest)
        if start is not None:
            learner.load_lora(start)
            head.stance.weight.data.copy_(start["stance.weight"])
            head.stance.bias.data.copy_(start["stance.bias"])
        return learner

    def _begin_from_shared(self) -> Learner:
        stored = self._shared()
        learner = Learner(self.encoder, Head.like(load(stored[files.HEAD])))
        learner.load_lora(load(stored[files.WEIGHTS]))
        return learner

    def _prior(self, name: str) -> Calibration | None:
        """Return what a calibration is drawn to: for a segment's adapter the shared one."""
        if name == SHARED:
            return None
        return Calibration.from_json(self._shared()[files.CALIBRATION].decode())

    def _shared(self) -> dict[str, bytes]:
        champions = self.registry.champions()
        if SHARED not in champions:
            raise BadAdapter(
                f"{self.registry.root / files.CHAMPIONS}: no shared adapter to start from; "
                "run `frugaldesk train` without --segment first"
            )
        return self.registry.read(champions[SHARED], self.encoder.digest)[1]


def schedule_of(name: str) -> Schedule:
    """Return how long and how fast the adapter of this name learns."""
    return SHARED_SCHEDULE if name == SHARED else SEGMENT_SCHEDULE


def stored_files(
    learner: Learner, space: FeatureSpace, calibration: Calibration
) -> dict[str, bytes]:
    """Return the adapter as the files of its folder; the first two are what peft itself reads."""
    factors = {name: parameter.detach() for name, parameter in learner.lora.items()}
    return {
        files.WEIGHTS: save(factors, metadata={"format": "pt"}),
        files.CONFIG: _config_file(learner.config),
        files.HEAD: save({k: v.contiguous() for k, v in learner.head.state_dict().items()}),
        files.FEATURES: space.as_json().encode(),
        files.CALIBRATION: calibration.as_json().encode(),
    }


def _config_file(config: LoraConfig) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        stored = json.loads((Path(folder) / files.CONFIG).read_text())
    stored["target_modules"].sort()  # peft keeps a set, whose order changes with the process
    return json.dumps(stored, indent=2, sort_keys=True).encode()


def _metrics(labels: NDArray[np.float64], chances: NDArray[np.float64]) -> dict[str, float | None]:
    return {
        "auc": auc(labels, chances),
        "brier": brier(labels, chances),
        "ece": expected_calibration_error(labels, chances),
    }


def _bar(plan: Sequence[str], *, progress: bool) -> "tqdm[None]":
    """Return a bar over the work to come, in steps of `fit_head`; shown on a terminal only."""
    schedules = [schedule_of(name) for name in plan]
    work = sum(schedule.head_steps + schedule.steps * LAYER_COST for schedule in schedules)
    return tqdm(total=work, unit="step", disable=None if progress else True)
