"""What several tests of the service share."""

from pathlib import Path

import pytest

from tests.webapp.log_files import usual, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the commands run in, with a log to choose on and one to measure on."""
    monkeypatch.chdir(tmp_path)
    write("train.jsonl", usual(120, seed=1))
    write("test.jsonl", usual(80, seed=2, prefix="t"))
    return tmp_path
