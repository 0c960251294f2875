"""Training, top to bottom: one shared adapter from all examples, then one per segment from it.

No example says what an answer asserts or what a customer is entitled to, only whether the two
agree. So training alternates: what the layers read of each text; the rules that explain the labels,
given that; what the labels make of each text, under those rules; and what the layers and the rules
learn from it. Labels are always weighed by rules that did not see their customer.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from scoring import registry as files
from scoring.beliefs import Scores
from scoring.calibration import Calibration, fit_platt
from scoring.encoder import Encoder
from scoring.errors import BadAdapter, BadExamples
from scoring.examples import Example
from scoring.features import CustomerSpace
from scoring.fusion import Fusion, Told, fit_fusion
from scoring.head import Head, Reader, Texts
from scoring.history import words_of
from scoring.learning import Learner, Progress, Rows, Schedule, fit_layers, lora_config
from scoring.registry import Manifest, Registry
from scoring.scorer import Adapter, read_adapter, read_learnt
from scoring.segments import SHARED
from scoring.start import start_for
from scoring.storing import metrics_of, stored_files
from scoring.study import RULES, TEXT_FOLDS, Study
from scoring.trees import Growth, no_trees
from scoring.wordings import find_topics

log = logging.getLogger(__name__)

MIN_EXAMPLES = 100
"""A segment with fewer examples than this, or one class only, falls back to the shared adapter."""

BESIDE_SHARED = Growth(trees=24, rate=0.05, smoothing=1.0)
"""What a segment's own trees may add to the shared ones."""
AGAINST_SHARED = Growth(trees=60, rate=0.1, smoothing=1.0)
"""A candidate learns from feedback that says where the shared rules are wrong for its segment."""

SHARED_SCHEDULE = Schedule(steps=140, rate=5e-4, reading_rate=2e-3)
SEGMENT_SCHEDULE = Schedule(steps=8, rate=1e-4, reading_rate=3e-4, pull=1e-3)


@dataclass(frozen=True)
class TrainedAdapter:
    """One adapter that was trained and stored; its metrics are of `Unseen` rows."""

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
    trained, from the shared champion. The same examples, seed and number of threads give the same
    weights.
    Raises `BadExamples` for an empty set, one class only, or a named segment with too few examples.
    """
    check_examples(examples, segment)
    champions = registry.champions()
    if segment is not None and SHARED not in champions:
        raise BadAdapter(
            f"{registry.root / files.CHAMPIONS}: no shared adapter to start from; "
            "run `frugaldesk train` without --segment first"
        )
    shared = None if segment is None else champions[SHARED]
    run = Run(encoder, registry, seed, created, shared)
    trained = []
    with _bar(progress=progress) as bar:
        plan = [segment] if segment else [SHARED, *trained_segments(examples)]
        for adapter in run.adapters(examples, plan, bar):
            registry.set_champions({**registry.champions(), adapter.segment: adapter.version})
            trained.append(adapter)
    if segment is None:  # a segment that had an adapter of its own may fall back by now
        registry.set_champions({each.segment: each.version for each in trained})
    for name, count in falling_back(examples).items():
        log.info("segment %r falls back to the shared adapter: %d examples", name, count)
    return trained


def train_candidate(
    examples: Sequence[Example],
    segment: str,
    *,
    shared: str | None,
    encoder: Encoder,
    registry: Registry,
    seed: int,
    created: datetime,
    progress: Progress,
) -> TrainedAdapter:
    """Train and store one adapter that goes live nowhere: the segment's, or the shared one.

    A segment's starts from the version `shared`, the shared one from the stored start. It is
    computed on one core, so that the version is the same in any process of a machine, and the
    others go on serving. `progress` is told each stage and step, and what it raises ends the
    training with nothing stored. Raises `BadExamples` as `train` does, `BadAdapter` where `shared`
    cannot be read.
    """
    alone = None if segment == SHARED else segment
    check_examples(examples, alone)
    if alone is not None and shared is None:
        raise BadAdapter(f"no shared adapter that one for {segment!r} could start from")
    start = shared if alone else None
    run = Run(encoder, registry, seed, created, start, AGAINST_SHARED)
    with _one_thread():
        (trained,) = run.adapters(examples, [segment], progress)
    return trained


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core: how sums are shared out shows in their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


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
class Unseen:
    """How the sources are fused, and each row's raw score, (n,), where its answer was not seen.

    The rules had not seen its customer either. Where one segment is trained alone, only its own
    steps had not seen the answer: what the shared adapter had seen is not known.
    """

    fusion: Fusion
    raw: Scores


@dataclass(frozen=True)
class Run:
    """One training: where adapters come from and go to, and what makes them repeatable.

    `shared` is the version that segments start from; None while there is none, so that everything
    is learnt from the stored start.
    """

    encoder: Encoder
    registry: Registry
    seed: int
    created: datetime
    shared: str | None
    own: Growth = BESIDE_SHARED

    def adapters(
        self, examples: Sequence[Example], plan: Sequence[str], bar: Progress
    ) -> Iterator[TrainedAdapter]:
        """Train and store the adapters of this plan, in order; a shared one comes first."""
        with _repeatable(self.seed):
            bar.set_description("reading texts")
            study = self.study(examples)
            bar.total = self.steps(study, plan)
            bar.set_description("judging unseen answers")
            unseen = self.unseen(study, plan[0], bar)
            run = self
            for name in plan:
                bar.set_description(f"training {name}")
                trained = run.train_one(name, study, unseen, bar)
                run = replace(run, shared=trained.version) if name == SHARED else run
                yield trained

    def study(self, examples: Sequence[Example]) -> Study:
        """Read the examples and find out what they say.

        With a shared adapter to start from, the spaces, the topics and the layers are its.
        """
        shared = self._shared()
        customers = [example.pair.customer for example in examples]
        words = words_of(customers)
        vectors = (each.vector for each in self.encoder.read(words, remembered=False))
        lines = dict(zip(words, vectors, strict=True))
        learner = self._start(shared)
        if shared is None:
            space = CustomerSpace.fit(customers, lines, self.encoder.dim, self.seed)
            rows = Rows.prepare(examples, self.encoder, space, lines)
            topics, read = find_topics(rows.plain, self.seed), learner.read(rows.parts)
        else:
            space, topics = shared.space, shared.head.reader.wordings.topics
            rows = Rows.prepare(examples, self.encoder, space, lines)
            read = shared.head.read(Texts(learner.all_pooled(rows.parts), rows.plain))
        return Study.of(rows, space, topics, read, self.seed)

    def steps(self, study: Study, plan: Sequence[str]) -> int:
        """Return how many steps the layers will take for the adapters of this plan."""
        others = [len(others) for _, others in _folds(study)]
        texts = [len(np.unique(study.rows.text[study.rows.of(name)])) for name in plan]
        unseen = sum(schedule_of(plan[0]).steps_over(count) for count in others)
        planned = zip(plan, texts, strict=True)
        return unseen + sum(schedule_of(name).steps_over(count) for name, count in planned)

    def unseen(self, study: Study, name: str, bar: Progress) -> Unseen:
        """Find out what is told of rows whose answer and customer nothing had seen."""
        shared = self._shared()
        sources = self._told_unseen(study, shared, schedule_of(name), bar)
        text = study.rows.text
        if shared is not None:
            fusion = shared.head.fusion
            return Unseen(fusion, fusion.raw(sources, study.places.take(text)))
        raw = np.zeros(len(text))
        for texts, others in _folds(study):
            mine, rest = (np.flatnonzero(np.isin(text, each)) for each in (texts, others))
            fusion = _fused(study, sources, rest)
            raw[mine] = fusion.raw(sources.take(mine), study.places.take(text[mine]))
        return Unseen(_fused(study, sources, np.arange(len(raw))), raw)

    def _told_unseen(
        self, study: Study, shared: Adapter | None, schedule: Schedule, bar: Progress
    ) -> Told:
        """Return what the sources say of each row where none had seen its answer."""
        rows, folds = study.rows, []
        for mine, others in _folds(study):
            learner = self._start(shared)
            fit_layers(learner, rows, others, study.beliefs, schedule, self.seed, bar)
            reader = self._reader(study, learner, others, shared)
            texts = Texts(
                learner.all_pooled([rows.parts[text] for text in mine]), rows.plain.take(mine)
            )
            read, nobody = learner.reading_of(texts.pooled), np.zeros(len(mine))
            folds.append((mine, reader.told(read, texts, study.places.take(mine), nobody)))
        by_text = Told.joined([told for _, told in folds])
        place = np.argsort(np.concatenate([mine for mine, _ in folds]))
        return replace(by_text.take(place[rows.text]), rules=study.entitled)

    def _reader(
        self, study: Study, learner: Learner, texts: NDArray[np.intp], shared: Adapter | None
    ) -> Reader:
        """Return what is told of texts beside the layers' reading; a segment's is the shared."""
        if shared is not None:
            return shared.head.reader
        pooled = learner.all_pooled([study.rows.parts[text] for text in texts])
        return Reader(study.by_topic(pooled, texts), study.wordings(texts))

    def train_one(self, name: str, study: Study, unseen: Unseen, bar: Progress) -> TrainedAdapter:
        """Train, calibrate and store one adapter."""
        started = time.perf_counter()
        rows, chosen = study.rows, study.rows.of(name)
        shared = None if name == SHARED else self._shared()
        learner = self._start(shared)
        texts = np.unique(rows.text[chosen])
        fit_layers(learner, rows, texts, study.beliefs, schedule_of(name), self.seed, bar)
        head = Head(
            learner.reading.weight.detach().numpy(),
            learner.reading.bias.detach().numpy(),
            no_trees()
            if shared is None
            else study.rules(chosen, self.own, self.seed, after=shared.head),
            self._reader(study, learner, texts, shared),
            study.rules(chosen, RULES, self.seed) if shared is None else shared.head.trees,
            unseen.fusion,
        )
        prior = None if shared is None else shared.calibration
        calibration = self._calibrated(study, chosen, head, learner, unseen, prior)
        customers = len(np.unique(rows.customer[chosen]))
        manifest = Manifest(
            segment=name,
            base=self.encoder.name,
            base_digest=self.encoder.digest,
            data=rows.data,
            seed=self.seed,
            examples=len(chosen),
            customers=customers,
            metrics=metrics_of(rows.labels[chosen], calibration.apply(unseen.raw[chosen])),
            created=self.created.isoformat(),
            files={},
        )
        config = lora_config(self.encoder)
        reads = rows.with_passages or (shared is not None and shared.reads_passages)
        stored = stored_files(learner, config, head, study.space, calibration, reads_passages=reads)
        version = self.registry.add(manifest, stored)
        seconds = time.perf_counter() - started
        return TrainedAdapter(version, name, len(chosen), customers, manifest.metrics, seconds)

    def _calibrated(
        self,
        study: Study,
        chosen: NDArray[np.intp],
        head: Head,
        learner: Learner,
        unseen: Unseen,
        prior: Calibration | None,
    ) -> Calibration:
        """Return the calibration of rows whose answers were seen, and of half as many unseen ones.

        In service there are both: macros and what agents write again and again, and new drafts.
        Unseen ones count less, because what judged them had learnt from two thirds of the answers
        only and is less right than the adapter. No row's customer was seen by the rules.
        """
        rows = study.rows
        texts, where = np.unique(rows.text[chosen], return_inverse=True)
        pooled = learner.all_pooled([rows.parts[text] for text in texts])
        known, places = Texts(pooled, rows.plain.take(texts)), study.places.take(texts)
        told = head.reader.told(head.layers_read(pooled), known, places, np.zeros(len(texts)))
        seen = replace(told.take(where), rules=study.entitled[chosen])
        known_raw = head.fusion.raw(seen, places.take(where))
        raw = np.concatenate([unseen.raw[chosen], known_raw, known_raw])
        return fit_platt(raw, np.tile(rows.labels[chosen], 3), prior=prior)

    def _start(self, shared: Adapter | None) -> Learner:
        """Return a learner that reads as the shared adapter does, or as the stored start."""
        learner = Learner(self.encoder)
        learner.load(
            start_for(self.encoder)
            if shared is None
            else read_learnt(shared.version, self.encoder, self.registry)
        )
        return learner

    def _shared(self) -> Adapter | None:
        if self.shared is None:
            return None
        return read_adapter(self.shared, self.encoder, self.registry)


def schedule_of(name: str) -> Schedule:
    """Return how long and how fast the adapter of this name learns."""
    return SHARED_SCHEDULE if name == SHARED else SEGMENT_SCHEDULE


def _fused(study: Study, sources: Told, chosen: NDArray[np.intp]) -> Fusion:
    rows = study.rows
    places = study.places.take(rows.text[chosen])
    return fit_fusion(sources.take(chosen), places, rows.labels[chosen], rows.weights[chosen])


def _folds(study: Study) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the texts of each fold, and those that it is judged from: all others.

    Where there are none, few texts are all there is, and they are judged from themselves.
    """
    for number in range(TEXT_FOLDS):
        mine, others = np.flatnonzero(study.fold == number), np.flatnonzero(study.fold != number)
        if len(mine):
            yield mine, others if len(others) else mine


def _bar(*, progress: bool) -> "tqdm[None]":
    """Return a bar over the layers' steps to come; shown on a terminal only."""
    return tqdm(total=None, unit="step", disable=None if progress else True)
