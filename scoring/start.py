"""Where the first adapter starts: it already knows granting from refusing.

The bundled encoder's start was trained by `python -m scoring.pretraining` on the project's own
sentences in `stances.txt`. Another encoder has none stored: its layers start as they are, and what
is read from them is fitted to the same sentences.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from scoring.encoder import Encoder

START = Path(__file__).with_name("start.safetensors")


def start_for(encoder: Encoder) -> Mapping[str, Tensor]:
    """Return what the first adapter on this encoder begins with, as `Learner.load` takes it."""
    if START.exists():
        with safe_open(START, framework="pt") as stored:
            made_for = stored.metadata()["base_digest"]
        if made_for == encoder.digest:
            return load_file(START)
    from scoring.pretraining import STANCES, Corpus, learn_reading

    return learn_reading(encoder, Corpus.read(STANCES), seed=0)
