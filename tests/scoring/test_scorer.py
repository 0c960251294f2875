"""Scores: equal to plain peft row by row, named by their adapter, and never from half a set."""

import copy
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import save

from scoring.customer import Customer, Feature
from scoring.encoder import Encoder
from scoring.errors import BadAdapter, NoAdapter
from scoring.examples import Pair
from scoring.head import Texts
from scoring.history import words_of
from scoring.network import answer_spans, pool, read_texts
from scoring.registry import Registry
from scoring.scorer import Score, Scorer, read_adapter
from tests.scoring.conftest import Trained, customer


def values(scores: Sequence[Score]) -> list[float]:
    """Return the probabilities alone."""
    return [score.value for score in scores]


def by_plain_peft(encoder: Encoder, trained: Trained, version: str, pair: Pair) -> float:
    """Return the score as peft itself computes it, one row at a time, without padding."""
    adapter = read_adapter(version, encoder, trained.registry)
    model = PeftModel.from_pretrained(
        copy.deepcopy(encoder.model), str(trained.registry.folder(version))
    ).eval()
    (reading,) = read_texts(encoder, [(pair.question, pair.answer)])
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([reading.ids])).last_hidden_state
        pooled = pool(states, answer_spans([reading], len(reading))).numpy()
    words = words_of([pair.customer])
    people = adapter.space.encode(
        pair.customer, dict(zip(words, encoder.embed(words), strict=True))
    )
    texts = Texts(pooled, encoder.embed([pair.question]), encoder.embed([pair.answer]))
    return float(adapter.calibration.apply(adapter.head.raw(texts, people[None]))[0])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_mixed_batch_scores_as_plain_peft_does_row_by_row(
    encoder: Encoder, trained: Trained, scorer: Scorer, pairs: list[Pair]
) -> None:
    pairs = [*pairs, Pair(*("Can I return it?", "No."), Customer("cold", "unheard-of"))]
    scores = scorer.score(pairs, trained.champions)
    assert len({score.adapter for score in scores}) == 3
    plain = [
        by_plain_peft(encoder, trained, score.adapter, pair)
        for score, pair in zip(scores, pairs, strict=True)
    ]
    assert values(scores) == pytest.approx(plain, abs=1e-4)


def test_every_score_names_the_adapter_of_its_segment(
    trained: Trained, scorer: Scorer, pairs: list[Pair]
) -> None:
    for pair, score in zip(pairs, scorer.score(pairs, trained.champions), strict=True):
        assert score.segment == pair.customer.segment
        assert score.adapter == trained.champions[pair.customer.segment or "shared"]
        assert 0 <= score.value <= 1


@pytest.mark.parametrize("segment", [None, "tiny", "never seen"])
def test_other_segments_fall_back_to_the_shared_adapter(
    trained: Trained, scorer: Scorer, segment: str | None
) -> None:
    (score,) = scorer.score([Pair("Free?", "Yes", Customer("x", segment))], trained.champions)
    assert score.adapter == trained.champions["shared"]
    assert score.segment == segment


def test_the_same_answer_suits_one_customer_and_not_the_other(
    trained: Trained, scorer: Scorer
) -> None:
    said = ("Can I return my jacket?", "Yes, you can return it.")
    gold, guest = (Pair(*said, customer("x", segment, 40)) for segment in ("gold", "guest"))
    scores = scorer.score([gold, guest], trained.champions)
    assert scores[0].value - scores[1].value > 0.3


def test_order_and_company_do_not_change_a_score(
    trained: Trained, scorer: Scorer, pairs: list[Pair]
) -> None:
    together = values(scorer.score(pairs, trained.champions))
    alone = [values(scorer.score([pair], trained.champions))[0] for pair in pairs]
    backwards = values(scorer.score(pairs[::-1], trained.champions))[::-1]
    assert together == pytest.approx(alone, abs=1e-5)
    assert together == pytest.approx(backwards, abs=1e-5)


def test_nothing_to_score_gives_nothing(trained: Trained, scorer: Scorer) -> None:
    assert scorer.score([], trained.champions) == []


def test_a_version_that_is_not_loaded_is_an_error(
    encoder: Encoder, trained: Trained, pairs: list[Pair]
) -> None:
    scorer = Scorer(encoder, trained.registry)
    scorer.load(trained.champions["shared"])
    with pytest.raises(BadAdapter, match="is not loaded"):
        scorer.score(pairs, trained.champions)


def test_no_champion_at_all_is_an_error(scorer: Scorer, pairs: list[Pair]) -> None:
    with pytest.raises(NoAdapter):
        scorer.score(pairs, {})


def test_a_failed_load_leaves_the_served_set_as_it_was(
    trained: Trained, scorer: Scorer, pairs: list[Pair]
) -> None:
    before, loaded = values(scorer.score(pairs, trained.champions)), scorer.loaded
    with pytest.raises(BadAdapter):
        scorer.load("gold@000000000000")
    assert scorer.loaded == loaded
    assert values(scorer.score(pairs, trained.champions)) == before


def test_an_adapter_of_another_make_is_an_error_that_names_it(
    encoder: Encoder, trained: Trained, copied: Registry
) -> None:
    manifest, files = copied.read(trained.champions["gold"], encoder.digest)
    empty = save({"other": torch.zeros(1)})
    version = copied.add(manifest, {**files, "head.safetensors": empty})
    with pytest.raises(BadAdapter, match=version):
        read_adapter(version, encoder, copied)


def test_unloading_and_loading_again_gives_the_same_scores(
    trained: Trained, scorer: Scorer, pairs: list[Pair]
) -> None:
    before = values(scorer.score(pairs, trained.champions))
    gold = trained.champions["gold"]
    scorer.unload(gold)
    assert gold not in scorer.loaded
    scorer.load(gold)
    assert values(scorer.score(pairs, trained.champions)) == before


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("", ""),
        ("x" * 100_000, "no " * 40_000),
        ("كيف أعيد الطلب؟", "نعم، يمكنك إرجاعه 🎒🏔️"),
        ("\x00\u200b\ud83d", "<script>alert(1)</script>"),
    ],
)
def test_any_text_gets_a_score(
    trained: Trained, scorer: Scorer, question: str, answer: str
) -> None:
    (score,) = scorer.score([Pair(question, answer, customer("x", "gold", 3))], trained.champions)
    assert 0 <= score.value <= 1


def test_a_long_question_does_not_push_the_answer_out(trained: Trained, scorer: Scorer) -> None:
    who = customer("x", "gold", 3)
    long = "Can I return my jacket? " * 500
    yes, no = scorer.score(
        [Pair(long, "Yes, you can return it.", who), Pair(long, "No, it is too late.", who)],
        trained.champions,
    )
    assert yes.value > no.value


def test_unknown_features_and_values_beyond_all_edges_get_a_score(
    trained: Trained, scorer: Scorer
) -> None:
    features: dict[str, Feature] = {
        "membership": "diamond",
        "days_since_purchase": 10**300,
        "shoe_size": 44,
    }
    who = Customer("x", "gold", features, ("line " * 10_000,))
    (score,) = scorer.score([Pair("Free?", "Yes", who)], trained.champions)
    assert 0 <= score.value <= 1


def test_an_unknown_feature_changes_nothing(trained: Trained, scorer: Scorer) -> None:
    plain = customer("x", "gold", 3)
    more = Customer("x", "gold", {**plain.features, "shoe_size": 44}, plain.history)
    pair = [Pair("Free?", "Yes", who) for who in (plain, more)]
    first, second = values(scorer.score(pair, trained.champions))
    assert first == pytest.approx(second, abs=1e-5)


def test_history_is_read(trained: Trained, scorer: Scorer) -> None:
    plain = customer("x", "gold", 3)
    more = Customer("x", "gold", plain.features, ("2026-08-01 goodwill voucher granted",))
    pair = [Pair("Do I get a voucher?", "Yes", who) for who in (plain, more)]
    first, second = values(scorer.score(pair, trained.champions))
    assert first != second


def test_threads_get_the_scores_of_the_versions_they_name(
    trained: Trained, scorer: Scorer, pairs: list[Pair]
) -> None:
    expected = {
        version: values(scorer.score(pairs, {"shared": version}))
        for version in trained.champions.values()
    }
    swapped = trained.champions["gold"]
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            scorer.unload(swapped)
            scorer.load(swapped)

    def check(number: int) -> int:
        version = random.Random(number).choice(sorted(expected))
        try:
            got = scorer.score(pairs, {"shared": version})
        except BadAdapter:
            assert version == swapped
            return 0
        assert {score.adapter for score in got} == {version}
        assert values(got) == pytest.approx(expected[version], abs=1e-5)
        return 1

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        with ThreadPoolExecutor(4) as pool_:
            assert sum(pool_.map(check, range(24))) > 0
    finally:
        stop.set()
        swapping.join()


def test_embedding_is_not_changed_by_served_adapters(
    encoder: Encoder, trained: Trained, scorer: Scorer, pairs: list[Pair]
) -> None:
    before = encoder.embed(["Can I return it?"])
    scorer.score(pairs, trained.champions)
    assert np.array_equal(before, encoder.embed(["Can I return it?"]))


def test_what_the_customer_is_shown_as_carries_features_and_history(
    trained: Trained, scorer: Scorer
) -> None:
    shown = scorer.describe(customer("x", "gold", 44), trained.champions)
    assert "days since purchase: 44 (" in shown
    assert "late parcel" in shown
