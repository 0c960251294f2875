"""What every test of the scorer may ask for."""

import shutil
from pathlib import Path

import pytest

from scoring.encoder import Encoder
from scoring.examples import Pair
from scoring.registry import Registry
from scoring.scorer import Scorer
from tests.returns import Trained, returns


@pytest.fixture
def scorer(encoder: Encoder, trained: Trained) -> Scorer:
    """A scorer with every trained version loaded."""
    scorer = Scorer(encoder, trained.registry)
    for adapter in trained.adapters:
        scorer.load(adapter.version)
    return scorer


@pytest.fixture
def pairs() -> list[Pair]:
    """Twelve pairs of customers never seen in training, segments mixed."""
    return [example.pair for example in returns(12, customers=12, seed=9, prefix="new")]


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Registry:
    """A registry of the same adapters that a test may damage."""
    shutil.copytree(trained.registry.root, tmp_path / "adapters")
    return Registry(tmp_path / "adapters")
