"""Where the first adapter on the bundled encoder starts: it already knows granting from refusing.

It was trained by `python -m scoring.pretraining` on the project's own sentences in `stances.txt`.
"""

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

START = Path(__file__).with_name("start.safetensors")


def stored_start(base_digest: str) -> dict[str, Tensor] | None:
    """Return the start's tensors, or None for another base encoder than the one it was made for."""
    if not START.exists():
        return None
    with safe_open(START, framework="pt") as stored:
        made_for = stored.metadata()["base_digest"]
    return load_file(START) if made_for == base_digest else None
