"""Scores: equal to plain peft row by row, named by their adapter, and never from half a set."""

import copy
import random
import threading
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load, save
from torch.nn import functional

from scoring.calibration import Calibration
from scoring.customer import Customer, Feature
from scoring.encoder import Encoder, Reading, load_encoder
from scoring.errors import BadAdapter, NoAdapter
from scoring.examples import Pair
from scoring.head import Texts, raw_scores
from scoring.history import words_of
from scoring.network import STATES, sentences
from scoring.registry import CALIBRATION, HEAD, WEIGHTS, Registry
from scoring.scorer import Score, Scorer, read_adapter
from scoring.trees import no_trees
from scoring.wordings import PlainVectors
from tests.returns import Trained, customer


def values(scores: Sequence[Score]) -> list[float]:
    """Return the probabilities alone."""
    return [score.value for score in scores]


def by_plain_peft(encoder: Encoder, registry: Registry, version: str, pair: Pair) -> float:
    """Return the score as transformers and peft compute it, in fp32, one row at a time.

    Every sentence goes through transformers' own blocks alone, then all together through the upper
    ones as `PeftModel` reads them from the adapter's folder.
    """
    adapter = read_adapter(version, encoder, registry)
    folder = str(registry.folder(version))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        adapted = PeftModel.from_pretrained(copy.deepcopy(encoder.model), folder).eval()
    upper = adapted.get_base_model().transformer.layer[encoder.adapted :]
    pieces = [[pair.question], *(sentences(text) for text in pair.texts[1:])]
    states, of_answer, parts = [], [], []
    with torch.inference_mode():
        for number, part in enumerate(pieces[: 3 if adapter.reads_passages else 2]):
            read = [_alone(encoder, piece) for piece in part]
            below = torch.cat([piece.states for piece in read])[: STATES[number]]
            said = [
                i not in (0, len(piece.states) - 1)
                for piece in read
                for i in range(len(piece.states))
            ]
            states.append(below + adapter.sides[number])
            of_answer += [number == 1 and word for word in said[: STATES[number]]]
            parts.append(read)
        together = torch.cat(states)[None]
        for layer in upper[:-1]:
            together = layer(together)
        answer = together[0, of_answer]
        mean = answer.mean(0) if len(answer) else torch.zeros(encoder.dim)
        pooled = torch.cat([mean, upper[-1](together)[0, 0]])[None].numpy()
    words = words_of([pair.customer])
    lines = dict(zip(words, encoder.embed(words), strict=True))
    people = adapter.space.encode(pair.customer, lines)
    raw = raw_scores([adapter.head], Texts(pooled, PlainVectors.of([parts])), [people])
    return float(adapter.calibration.apply(raw)[0])


def _alone(encoder: Encoder, piece: str) -> Reading:
    """Return what transformers reads in one piece of text, in fp32."""
    ids = torch.tensor(encoder.tokens([piece]))
    plain = encoder.model(input_ids=ids, output_hidden_states=True)
    vector = functional.normalize(plain.last_hidden_state.mean(1), dim=1)[0].numpy()
    return Reading(plain.hidden_states[encoder.adapted][0], vector)


WITHIN_BF16 = 0.03
"""How far a score in bfloat16 is at most, as a rule, from the same in fp32."""


def assert_alike(got: Sequence[float], plain: Sequence[float], *, exact: bool) -> None:
    """Check scores against those in fp32; in bfloat16 a text may change sides between topics."""
    apart = np.abs(np.subtract(got, plain))
    assert apart.max() < (1e-4 if exact else 0.3)
    assert np.median(apart) < WITHIN_BF16


@pytest.fixture(params=[None, torch.float32], ids=["fastest", "fp32"])
def any_encoder(request: pytest.FixtureRequest) -> Encoder:
    """The bundled encoder, multiplying in the fastest type here and in fp32."""
    return load_encoder(products=request.param)


def test_what_segments_took_over_is_in_memory_once(encoder: Encoder, trained: Trained) -> None:
    first, second = (
        read_adapter(adapter.version, encoder, trained.registry).head
        for adapter in trained.adapters[:2]
    )
    beside = second.beside([first])
    assert (beside.reader, beside.trees, beside.fusion) == (first.reader, first.trees, first.fusion)
    assert beside.trees is first.trees is not second.trees
    assert beside.own is second.own
    other = replace(first, trees=no_trees())
    assert second.beside([other]) is second


def test_a_mixed_batch_scores_as_plain_peft_does_row_by_row(
    any_encoder: Encoder, trained: Trained, pairs: list[Pair]
) -> None:
    scorer, exact = Scorer(any_encoder, trained.registry), any_encoder.products is torch.float32
    for adapter in trained.adapters:
        scorer.load(adapter.version)
    strange = Customer("cold", "unheard-of")
    pairs = [
        *pairs,
        Pair("Can I return it?", "No.", strange),
        Pair(
            "May I?",
            "Sorry! It is\ntoo late. " * 40,
            customer("x", "gold", 3),
            "Sixty days. Unworn!",
        ),
        Pair("", "", strange, ""),
    ]
    plain = [
        by_plain_peft(any_encoder, trained.registry, score.adapter, pair)
        for score, pair in zip(scorer.score(pairs, trained.champions), pairs, strict=True)
    ]
    for _ in range(2):  # again after hot unloading and loading
        scores = scorer.score(pairs, trained.champions)
        assert len({score.adapter for score in scores}) == 3
        assert_alike(values(scores), plain, exact=exact)
        scorer.unload(trained.champions["gold"])
        scorer.load(trained.champions["gold"])
    with ThreadPoolExecutor(len(pairs)) as pool:
        alone = pool.map(lambda pair: scorer.score([pair], trained.champions), pairs)
        assert_alike([each.value for (each,) in alone], plain, exact=exact)


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


def test_order_and_company_do_not_change_a_score(trained: Trained, pairs: list[Pair]) -> None:
    scorer = Scorer(load_encoder(products=torch.float32), trained.registry)
    for version in trained.champions.values():
        scorer.load(version)
    together = values(scorer.score(pairs, trained.champions))
    alone = [values(scorer.score([pair], trained.champions))[0] for pair in pairs]
    backwards = values(scorer.score(pairs[::-1], trained.champions))[::-1]
    assert together == pytest.approx(alone, abs=1e-4)
    assert together == pytest.approx(backwards, abs=1e-4)


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


def test_factors_of_another_shape_are_an_error_that_names_the_adapter(
    encoder: Encoder, trained: Trained, copied: Registry
) -> None:
    manifest, files = copied.read(trained.champions["gold"], encoder.digest)
    uneven = {name: torch.zeros(3, 5 + n) for n, name in enumerate(load(files[WEIGHTS]))}
    version = copied.add(manifest, {**files, WEIGHTS: save(uneven)})
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. Send it back!", ["Yes.", "Send it back!"]),
        ("Line one\n\n line two", ["Line one", "line two"]),
        ("No stop", ["No stop"]),
        ("2.5 kg are fine.", ["2.5 kg are fine."]),
        ("نعم؟ لا", ["نعم؟", "لا"]),
        ("", [""]),
        (" \n ", [""]),
    ],
)
def test_answers_are_read_by_sentence(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_text_of_very_many_sentences_keeps_its_rest_in_the_last() -> None:
    text = "Yes. " * 1000
    assert len(sentences(" " * 100_000)) == 1
    found = sentences(text)
    assert len(found) == 16
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


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


def test_a_passage_is_read_where_adapters_were_trained_with_passages(
    encoder: Encoder, trained: Trained, copied: Registry
) -> None:
    manifest, files = copied.read(trained.champions["shared"], encoder.digest)
    without = save({**load(files[HEAD]), "reads_passages": torch.tensor([False])})
    versions = [trained.champions["shared"], copied.add(manifest, {**files, HEAD: without})]
    scorer = Scorer(encoder, copied)
    for version in versions:
        scorer.load(version)
    asked = ("May I send this back?", "A return is possible.", customer("x", None, 30))
    pairs = [Pair(*asked), Pair(*asked, "Nothing is ever taken back.")]
    reads, ignores = (values(scorer.score(pairs, {"shared": version})) for version in versions)
    assert reads[0] != reads[1]
    assert ignores[0] == ignores[1] == pytest.approx(reads[0], abs=WITHIN_BF16)


def test_history_is_read(trained: Trained, scorer: Scorer) -> None:
    plain = customer("x", "gold", 3)
    more = Customer("x", "gold", plain.features, ("2026-08-01 goodwill voucher granted",))
    pair = [Pair("Do I get a voucher?", "Yes", who) for who in (plain, more)]
    first, second = values(scorer.score(pair, trained.champions))
    assert first != second


SWAPS = 1000


def unlike_versions(encoder: Encoder, registry: Registry, version: str) -> list[str]:
    """Return three versions that differ in all that scores: factors, head and calibration."""
    manifest, files = registry.read(version, encoder.digest)
    made = []
    for number, (factor, shift) in enumerate(((1.0, 0.0), (-1.0, 2.0), (0.0, -2.0))):
        weights = {name: factor * each for name, each in load(files[WEIGHTS]).items()}
        head = load(files[HEAD])
        head["reading_bias"] = head["reading_bias"] + shift
        moved = {
            WEIGHTS: save(weights),
            HEAD: save(head),
            CALIBRATION: Calibration(0.3, shift).as_json().encode(),
        }
        named = replace(manifest, segment=f"version {number}")
        made.append(registry.add(named, {**files, **moved}))
    return made


def test_a_thousand_swaps_under_load_never_give_a_score_from_another_version(
    encoder: Encoder, trained: Trained, copied: Registry, pairs: list[Pair]
) -> None:
    scorer = Scorer(load_encoder(products=torch.float32), copied)
    versions = unlike_versions(encoder, copied, trained.champions["shared"])
    for version in versions:
        scorer.load(version)
    expected = {v: values(scorer.score(pairs, {"shared": v})) for v in versions}
    apart = [np.abs(np.subtract(expected[a], expected[b])) for a, b in combinations(versions, 2)]
    telling = np.flatnonzero(np.min(apart, axis=0) > 0.01).tolist()
    assert telling, "no version's score may pass for another's"
    stop, checked, refused = threading.Event(), Counter[str](), Counter[str]()

    def check(number: int) -> None:
        chance = random.Random(number)
        while not stop.is_set():
            version, at = chance.choice(versions), chance.choice(telling)
            try:
                (got,) = scorer.score([pairs[at]], {"shared": version})
            except BadAdapter:
                refused[version] += 1
                continue
            assert got.adapter == version
            assert got.value == pytest.approx(expected[version][at], abs=1e-3)
            checked[version] += 1

    with ThreadPoolExecutor(4) as pool:
        checks = [pool.submit(check, number) for number in range(4)]
        try:
            for swap in range(SWAPS):
                scorer.unload(versions[swap % len(versions)])
                scorer.load(versions[swap % len(versions)])
        finally:
            stop.set()
        for each in checks:
            each.result()
    assert set(checked) == set(refused) == set(versions)
    assert scorer.loaded == set(versions)


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
