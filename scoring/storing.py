"""What was learnt, as the files of an adapter's folder and the figures of its manifest."""

import json
import tempfile
from pathlib import Path

import numpy as np
from peft import LoraConfig
from safetensors.numpy import save as save_arrays
from safetensors.torch import save

from scoring import registry as files
from scoring.beliefs import Scores
from scoring.calibration import Calibration
from scoring.features import CustomerSpace
from scoring.head import Head
from scoring.learning import Learner
from scoring.metrics import auc, brier, expected_calibration_error


def stored_files(
    learner: Learner,
    config: LoraConfig,
    head: Head,
    space: CustomerSpace,
    calibration: Calibration,
    *,
    reads_passages: bool,
) -> dict[str, bytes]:
    """Return the adapter as the files of its folder; the first two are what peft itself reads."""
    factors = {name: parameter.detach() for name, parameter in learner.lora.items()}
    sides = learner.sides.detach().numpy()
    arrays = {
        **head.tensors(),
        "history.kinds": space.history.kinds,
        "sides": sides,
        "reads_passages": np.array([reads_passages]),
    }
    return {
        files.WEIGHTS: save(factors, metadata={"format": "pt"}),
        files.CONFIG: _config_file(config),
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


def metrics_of(labels: Scores, chances: Scores) -> dict[str, float | None]:
    """Return the figures that a manifest carries."""
    return {
        "auc": auc(labels, chances),
        "brier": brier(labels, chances),
        "ece": expected_calibration_error(labels, chances),
    }
