"""Training on a small domain: what it stores, what it refuses, and that it can be repeated."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from scoring.customer import Customer
from scoring.encoder import Encoder
from scoring.errors import BadAdapter, BadExamples
from scoring.examples import Example, Pair, as_row, write_rows
from scoring.registry import Registry
from scoring.scorer import Scorer
from scoring.study import TEXT_FOLDS
from scoring.training import (
    MIN_EXAMPLES,
    Run,
    falling_back,
    train,
    train_candidate,
    trained_segments,
)
from tests.conftest import run_frugaldesk
from tests.returns import CREATED, Trained, returns


def test_trains_the_shared_adapter_and_one_per_segment_with_enough_examples(
    trained: Trained,
) -> None:
    assert [adapter.segment for adapter in trained.adapters] == ["shared", "gold", "guest"]
    assert trained.champions == {adapter.segment: adapter.version for adapter in trained.adapters}


def test_a_segment_with_three_examples_falls_back(trained: Trained) -> None:
    assert falling_back(trained.examples) == {"tiny": 3}
    assert "tiny" not in trained_segments(trained.examples)


def test_the_manifest_says_where_an_adapter_comes_from(encoder: Encoder, trained: Trained) -> None:
    manifest = trained.registry.check(trained.champions["gold"], encoder.digest)
    gold = [e for e in trained.examples if e.pair.customer.segment == "gold"]
    assert manifest.segment == "gold"
    assert manifest.base_digest == encoder.digest
    assert manifest.examples == len(gold)
    assert manifest.customers == len({example.pair.customer.id for example in gold})
    assert manifest.created == CREATED.isoformat()
    assert set(manifest.metrics) == {"auc", "brier", "ece"}


def test_learns_who_may_return_what(trained: Trained, scorer: Scorer) -> None:
    fresh = returns(200, customers=50, seed=5, prefix="new")
    scores = scorer.score([example.pair for example in fresh], trained.champions)
    right = [(s.value >= 0.5) == (e.label == 1) for s, e in zip(scores, fresh, strict=True)]
    assert sum(right) / len(right) > 0.8


def test_the_same_examples_and_seed_give_the_same_versions_in_any_process(tmp_path: Path) -> None:
    examples = tmp_path / "examples.jsonl"
    write_rows(examples, map(as_row, returns(60, customers=20, seed=3)))
    champions = []
    for order in ("1", "2"):
        adapters = tmp_path / order
        files = ("--examples", str(examples), "--adapters", str(adapters))
        run_frugaldesk("train", *files, PYTHONHASHSEED=order)
        champions.append(Registry(adapters).champions())
    assert champions[0] == champions[1]


def test_what_was_read_before_does_not_change_a_version(encoder: Encoder, tmp_path: Path) -> None:
    examples = returns(60, customers=12, seed=5)

    def version(folder: str) -> str:
        registry = Registry(tmp_path / folder)
        train(examples, encoder=encoder, registry=registry, progress=False, created=CREATED)
        return registry.champions()["shared"]

    first = version("before")
    encoder.read(["Sure, send it back to us.", "May I send this back?"])
    assert version("after") == first


def test_the_same_answer_is_never_on_both_sides_of_a_fold(encoder: Encoder, tmp_path: Path) -> None:
    examples = returns(60, customers=12, seed=5)
    study = Run(encoder, Registry(tmp_path), 0, CREATED, None).study(examples)
    folds: dict[str, set[int]] = {}
    for example, text in zip(examples, study.rows.text, strict=True):
        folds.setdefault(example.pair.answer, set()).add(int(study.fold[text]))
    assert len(folds) == 6
    assert all(len(found) == 1 for found in folds.values())
    assert len(set.union(*folds.values())) == TEXT_FOLDS


def test_a_segment_that_falls_back_by_now_is_no_champion_any_more(
    encoder: Encoder, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "adapters")
    registry.set_champions({"shared": "shared@" + "0" * 12, "gold": "gold@" + "0" * 12})
    examples = returns(60, customers=12, seed=5)
    (shared,) = train(examples, encoder=encoder, registry=registry, progress=False, created=CREATED)
    assert registry.champions() == {"shared": shared.version}


class Counted:
    """Progress that counts its steps."""

    total: float | None = None

    def __init__(self) -> None:
        self.taken = 0.0

    def set_description(self, desc: str) -> None:
        """Say nothing."""

    def update(self, n: float) -> None:
        """Count the steps."""
        self.taken += n


@pytest.mark.parametrize("answers", [1, 2, 3])
def test_the_bar_ends_with_the_training(encoder: Encoder, tmp_path: Path, answers: int) -> None:
    examples = returns(150, customers=20, seed=5)
    chosen = sorted({each.pair.answer for each in examples})[:answers]
    bar = Counted()
    train_candidate(
        [each for each in examples if each.pair.answer in chosen],
        "shared",
        shared=None,
        encoder=encoder,
        registry=Registry(tmp_path),
        seed=0,
        created=CREATED,
        progress=bar,
    )
    assert bar.taken == bar.total


def test_one_segment_is_trained_from_the_shared_champion(
    encoder: Encoder, trained: Trained, copied: Registry
) -> None:
    before = copied.champions()
    (adapter,) = train(
        trained.examples,
        encoder=encoder,
        registry=copied,
        segment="gold",
        seed=1,
        progress=False,
        created=datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert adapter.segment == "gold"
    assert adapter.version != before["gold"]
    assert copied.champions() == {**before, "gold": adapter.version}


def test_a_segment_alone_needs_a_shared_adapter(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(BadAdapter, match="no shared adapter"):
        train(
            returns(400, customers=80, seed=1),
            encoder=encoder,
            registry=Registry(tmp_path),
            segment="gold",
            progress=False,
            created=CREATED,
        )


@pytest.mark.parametrize(
    ("examples", "segment", "message"),
    [
        ([], None, "no examples"),
        ([e for e in returns(40, customers=9, seed=1) if e.label], None, "labels are 1"),
        (returns(40, customers=9, seed=1), "gold", f"at least {MIN_EXAMPLES}"),
        (returns(400, customers=9, seed=1), "platinum", "has 0 examples"),
    ],
)
def test_refuses_what_nothing_can_be_learnt_from(
    encoder: Encoder,
    trained: Trained,
    examples: list[Example],
    segment: str | None,
    message: str,
) -> None:
    with pytest.raises(BadExamples, match=message):
        train(
            examples,
            encoder=encoder,
            registry=trained.registry,
            segment=segment,
            progress=False,
            created=CREATED,
        )


def test_one_customer_with_two_rows_is_enough_to_train_on(
    encoder: Encoder, copied: Registry
) -> None:
    who = Customer("only", None)
    rows = [Example(Pair("Free?", answer, who), label) for answer, label in (("Yes", 1), ("No", 0))]
    (adapter,) = train(rows, encoder=encoder, registry=copied, progress=False, created=CREATED)
    assert (adapter.examples, adapter.customers) == (2, 1)
