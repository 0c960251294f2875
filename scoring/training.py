"""Training, top to bottom: one shared adapter from all examples, then one per segment from it.

No example says what an answer asserts or what a customer is entitled to, only whether the two
agree. So training alternates: what the layers read of each text; the rules that explain the labels,
given that; what the labels make of each text, under those rules; and what the layers and the rules
learn from it. Labels are always weighed by rules that did not see their customer.
"""

import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from safetensors.numpy import save as save_arrays
from safetensors.torch import save
from tqdm import tqdm

from scoring import registry as files
from scoring.beliefs import Beliefs, Scores, after_labels, before_labels
from scoring.calibration import Calibration, fit_platt
from scoring.encoder import Encoder
from scoring.errors import BadAdapter, BadExamples
from scoring.examples import Example
from scoring.features import CustomerSpace
from scoring.head import Head, Texts, joined
from scoring.history import words_of
from scoring.learning import Learner, Rows, Schedule, fit_layers
from scoring.metrics import auc, brier, expected_calibration_error
from scoring.registry import Manifest, Registry
from scoring.scorer import Adapter, read_adapter
from scoring.segments import SHARED
from scoring.start import start_for
from scoring.topics import Array, centres, nearest, one_hot
from scoring.trees import RATE, Bits, Trees, grow
from scoring.wordings import Wordings, beside, find_topics, fit_wordings

log = logging.getLogger(__name__)

MIN_EXAMPLES = 100
"""A segment with fewer examples than this, or one class only, falls back to the shared adapter."""

KEPT_OUT_SHARE = 0.15
"""The share of answers that the layers never learn from, for calibration and the metrics."""

ANSWERS_PER_KIND = 4
"""Answers are kept out by kind, near ones together, so that a kept-out one is a new wording."""

FOLDS = 5
ROUNDS = 2
SHARED_TREES = 200
FOLD_TREES = 100
SEGMENT_TREES = 24
SEGMENT_RATE = 0.05

SHARED_SCHEDULE = Schedule(steps=140, rate=5e-4, reading_rate=2e-3)
SEGMENT_SCHEDULE = Schedule(steps=8, rate=1e-4, reading_rate=3e-4, pull=1e-3)


@dataclass(frozen=True)
class TrainedAdapter:
    """One adapter that was trained and stored; metrics are on answers and customers not seen."""

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
        study = run.study(examples, segment)
        for name in plan:
            bar.set_description(f"training {name}")
            trained.append(run.train_one(name, study, bar))
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
class Study:
    """What is known of the rows before any adapter is trained.

    `bits` (n, columns) are customers and topics together; `entitled` (n,) are the log odds from
    rules that did not see the row's customer; the layers may learn from `known_texts`, the others
    are kept out.
    """

    rows: Rows
    space: CustomerSpace
    topics: Array
    bits: Bits
    beliefs: Beliefs
    entitled: Scores
    known_texts: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        rows: Rows,
        space: CustomerSpace,
        topics: Array,
        read: Scores,
        seed: int,
    ) -> "Study":
        """Work out what the texts assert and who is entitled to what, from `read`, (texts, 2)."""
        places = nearest(topics, beside(rows.question, rows.answer))
        columns = one_hot(places[rows.text], topics.shape[1])
        study = cls(
            rows=rows,
            space=space,
            topics=topics,
            bits=np.concatenate([rows.people, columns], axis=1),
            beliefs=before_labels(read),
            entitled=np.zeros(len(rows.text)),
            known_texts=_known_texts(rows, seed),
        )
        for _ in range(ROUNDS):
            entitled = study.judged_unseen(seed)
            beliefs = after_labels(read, rows.text, rows.labels, rows.weights, entitled)
            study = replace(study, entitled=entitled, beliefs=beliefs)
        return study

    def rules(
        self,
        chosen: NDArray[np.intp],
        count: int,
        seed: int,
        *,
        after: Trees | None = None,
        rate: float = RATE,
    ) -> Trees:
        """Return trees that explain the chosen rows' labels, given what their texts assert."""
        text, bits = self.rows.text[chosen], self.bits[chosen]
        return grow(
            bits,
            self.beliefs.signs[text],
            self.rows.labels[chosen],
            self.rows.weights[chosen] * self.beliefs.about[text],
            self.rows.customer[chosen],
            count=count,
            seed=seed,
            start=None if after is None else after.margins(bits),
            rate=rate,
        )

    def judged_unseen(self, seed: int) -> Scores:
        """Return each row's log odds of entitlement, from rules that did not see its customer."""
        people = int(self.rows.customer.max()) + 1
        fold = (np.random.default_rng(seed).permutation(people) % FOLDS)[self.rows.customer]
        out = np.zeros(len(fold))
        for number in range(min(FOLDS, people) if people > 1 else 0):
            rules = self.rules(np.flatnonzero(fold != number), FOLD_TREES, seed)
            out[fold == number] = rules.margins(self.bits[fold == number])
        return out

    def wordings(self, texts: NDArray[np.intp] | None = None) -> Wordings:
        """Return what can be told of the texts, by default all, from their plain vectors."""
        known = np.arange(len(self.rows.readings)) if texts is None else texts
        question, answer = self.rows.question[known], self.rows.answer[known]
        return fit_wordings(self.topics, question, answer, self.beliefs.take(known))


@dataclass(frozen=True)
class Run:
    """One call of `train`: where adapters come from and go to, and what makes them repeatable."""

    encoder: Encoder
    registry: Registry
    seed: int
    created: datetime

    def study(self, examples: Sequence[Example], segment: str | None) -> Study:
        """Read the examples and find out what they say.

        Where one segment is trained alone, the spaces, the topics and the layers are those of the
        shared champion, from which it starts.
        """
        shared = None if segment is None else self._shared()
        customers = [example.pair.customer for example in examples]
        words = words_of(customers)
        lines = dict(zip(words, self.encoder.embed(words), strict=True))
        if shared is None:
            space = CustomerSpace.fit(customers, lines, self.encoder.dim, self.seed)
            rows = Rows.prepare(examples, self.encoder, space, lines)
            topics = find_topics(rows.question, rows.answer, self.seed)
        else:
            space, topics = shared.space, shared.head.wordings.topics
            rows = Rows.prepare(examples, self.encoder, space, lines)
        read = _read(self._start(shared), rows)
        return Study.of(rows, space, topics, read, self.seed)

    def train_one(self, name: str, study: Study, bar: "tqdm[None]") -> TrainedAdapter:
        """Train, calibrate and store one adapter."""
        started = time.perf_counter()
        rows, chosen = study.rows, study.rows.of(name)
        shared = None if name == SHARED else self._shared()
        learner = self._start(shared)
        texts = np.unique(rows.text[chosen])
        known = texts[study.known_texts[texts]]
        fit_layers(learner, rows, known, study.beliefs, schedule_of(name), self.seed, bar)
        weight, bias = learner.reading.weight.detach(), learner.reading.bias.detach()
        wordings = study.wordings() if shared is None else shared.head.wordings
        trees = self._rules(study, chosen, shared)
        head = Head(weight.numpy(), bias.numpy(), wordings, trees)
        calibration, metrics = _judged(study, chosen, head, learner, shared)
        customers = len(np.unique(rows.customer[chosen]))
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
        version = self.registry.add(manifest, stored_files(learner, head, study.space, calibration))
        seconds = time.perf_counter() - started
        return TrainedAdapter(version, name, len(chosen), customers, metrics, seconds)

    def _start(self, shared: Adapter | None) -> Learner:
        """Return a learner that reads as the shared adapter does, or as the stored start."""
        learner = Learner(self.encoder)
        learner.load(start_for(self.encoder) if shared is None else shared.learnt())
        learner.train_mode(False)
        return learner

    def _rules(self, study: Study, chosen: NDArray[np.intp], shared: Adapter | None) -> Trees:
        """Return the adapter's trees: a segment keeps the shared ones and adds a few of its own."""
        if shared is None:
            return study.rules(chosen, SHARED_TREES, self.seed)
        before = shared.head.trees
        own = study.rules(chosen, SEGMENT_TREES, self.seed, after=before, rate=SEGMENT_RATE)
        return before.and_then(own)

    def _shared(self) -> Adapter:
        champions = self.registry.champions()
        if SHARED not in champions:
            raise BadAdapter(
                f"{self.registry.root / files.CHAMPIONS}: no shared adapter to start from; "
                "run `frugaldesk train` without --segment first"
            )
        return read_adapter(champions[SHARED], self.encoder, self.registry)


def schedule_of(name: str) -> Schedule:
    """Return how long and how fast the adapter of this name learns."""
    return SHARED_SCHEDULE if name == SHARED else SEGMENT_SCHEDULE


def stored_files(
    learner: Learner, head: Head, space: CustomerSpace, calibration: Calibration
) -> dict[str, bytes]:
    """Return the adapter as the files of its folder; the first two are what peft itself reads."""
    factors = {name: parameter.detach() for name, parameter in learner.lora.items()}
    arrays = {**head.tensors(), "history.kinds": space.history.kinds}
    return {
        files.WEIGHTS: save(factors, metadata={"format": "pt"}),
        files.CONFIG: _config_file(learner.config),
        files.HEAD: save_arrays({k: np.ascontiguousarray(v) for k, v in arrays.items()}),
        files.FEATURES: space.as_json().encode(),
        files.CALIBRATION: calibration.as_json().encode(),
    }


def _config_file(config: LoraConfig) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        stored = json.loads((Path(folder) / files.CONFIG).read_text())
    stored["target_modules"].sort()  # peft keeps a set, whose order changes with the process
    return json.dumps(stored, indent=2, sort_keys=True).encode()


def _read(learner: Learner, rows: Rows) -> Scores:
    """Return the log odds that the layers read of each text, (texts, 2)."""
    pooled = learner.all_pooled(rows, np.arange(len(rows.readings)))
    with torch.inference_mode():
        read: Scores = learner.reading(torch.from_numpy(pooled)).double().numpy()
    return read


def _texts(learner: Learner, rows: Rows, places: NDArray[np.intp]) -> Texts:
    """Return what the head sees of the texts at these places."""
    distinct, where = np.unique(places, return_inverse=True)
    pooled = learner.all_pooled(rows, distinct)
    return Texts(pooled, rows.question[distinct], rows.answer[distinct]).take(where)


def _judged(
    study: Study, chosen: NDArray[np.intp], head: Head, learner: Learner, shared: Adapter | None
) -> tuple[Calibration, dict[str, float | None]]:
    """Return the calibration and the metrics on answers and customers that nothing had seen."""
    rows = study.rows
    prior = None if shared is None else shared.calibration
    unseen = chosen[~study.known_texts[rows.text[chosen]]]
    if not len(unseen):
        return prior or Calibration(), {"auc": None, "brier": None, "ece": None}
    texts = _texts(learner, rows, rows.text[unseen])
    blind = replace(head, wordings=study.wordings(np.flatnonzero(study.known_texts)))
    grants, about = blind.read(texts, blind.wordings.topics_of(texts.question, texts.answer))
    raw, labels = joined(grants, study.entitled[unseen], about), rows.labels[unseen]
    calibration = fit_platt(raw, labels, prior=prior)
    chances = calibration.apply(raw)
    return calibration, {
        "auc": auc(labels, chances),
        "brier": brier(labels, chances),
        "ece": expected_calibration_error(labels, chances),
    }


def _known_texts(rows: Rows, seed: int) -> NDArray[np.bool_]:
    """Return which texts the layers may learn from: the others' answers are of kinds kept out."""
    random = np.random.default_rng(seed)
    answers, place = np.unique(rows.answer, axis=0, return_inverse=True)
    kinds = centres(answers, max(1, len(answers) // ANSWERS_PER_KIND), random)
    kind = nearest(kinds[None], answers)[:, 0]
    kept_out = random.random(len(kinds)) < KEPT_OUT_SHARE
    known: NDArray[np.bool_] = ~kept_out[kind][place]
    return known if known.any() else ~known


def _bar(plan: Sequence[str], *, progress: bool) -> "tqdm[None]":
    """Return a bar over the layers' steps to come; shown on a terminal only."""
    work = sum(schedule_of(name).steps for name in plan)
    return tqdm(total=work, unit="step", disable=None if progress else True)
