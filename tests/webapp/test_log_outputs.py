"""What the commands on logs write, and what they leave alone."""

import json
import stat
import sys
from pathlib import Path

import pytest

from tests.webapp.log_files import OPTIMISE, call, easy, write
from webapp import outputs

BOTH = (*OPTIMISE, "--test", "test.jsonl")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((*OPTIMISE, "--policy", "train.jsonl"), "overwrite the input train.jsonl"),
        ((*BOTH, "--policy", "./sub/../test.jsonl"), "overwrite the input test.jsonl"),
        ((*OPTIMISE, "--policy", "link.jsonl"), "overwrite the input train.jsonl"),
        ((*OPTIMISE, "--policy", "F.png", "--plot", "F.png"), "overwrite the output F.png"),
        (
            (*BOTH, "--policy", "F-savings.png", "--plot", "F.png"),
            "F-savings.png would overwrite the output F-savings.png",
        ),
        (("optimise", "--train", "log.png", "--plot", "log.png"), "overwrite the input log.png"),
        (("advise", "--outcomes", "log.png", "--plot", "log.png"), "overwrite the input log.png"),
        ((*OPTIMISE, "--policy", "frozen.json"), "frozen.json is read-only"),
        ((*OPTIMISE, "--policy", "/dev/null"), "/dev/null is there and no file"),
        ((*BOTH, "--plot", "way.png"), "way-savings.png is there and no file"),
    ],
)
def test_what_must_not_be_written_is_said_first(
    folder: Path, command: tuple[str, ...], said: str
) -> None:
    Path("sub").mkdir()
    Path("way-savings.png").mkdir()
    Path("link.jsonl").symlink_to("train.jsonl")
    Path("log.png").write_bytes(Path("train.jsonl").read_bytes())
    Path("frozen.json").write_text("mine")
    Path("frozen.json").chmod(0o444)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    result = call(*command, status=2)
    assert said in result.stderr
    assert result.stdout == ""
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_pictures_beside_each_other_need_not_differ_from_what_is_not_drawn(folder: Path) -> None:
    call(*OPTIMISE, "--plot", "F.png", "--policy", "F-savings.png")
    assert json.loads(Path("F-savings.png").read_text())["tiers"]


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of files")
def test_a_policy_file_keeps_its_mode_and_a_link_its_end(folder: Path) -> None:
    Path("real.json").write_text("old")
    Path("real.json").chmod(0o640)
    Path("P.json").symlink_to("real.json")
    call(*OPTIMISE, "--policy", "P.json")
    assert Path("P.json").is_symlink()
    assert json.loads(Path("real.json").read_text())["tiers"]
    assert stat.S_IMODE(Path("real.json").stat().st_mode) == 0o640


def test_a_failed_write_names_its_file_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    before = sorted(folder.iterdir())
    monkeypatch.setattr(Path, "write_text", full)
    message = call(*OPTIMISE, "--policy", "P.json", status=2).stderr
    assert message == "frugaldesk: P.json: No space left on device\n"
    assert sorted(folder.iterdir()) == before


def test_a_certificate_that_cannot_be_saved_is_no_failed_certificate(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("easy.jsonl", easy(200, "e"))
    write("new.jsonl", easy(200, "n"))
    call("optimise", "--train", "easy.jsonl", "--policy", "P.json")

    def refuse(path: Path, whole: object) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(outputs, "write_json", refuse)
    asked = ("certify", "--policy", "P.json", "--outcomes", "new.jsonl", "--save")
    assert "frugaldesk: P.json: Operation not permitted" in call(*asked, status=2).stderr


@pytest.mark.parametrize(
    "command", [(*OPTIMISE, "--policy", "P.json"), ("advise", "--outcomes", "train.jsonl")]
)
def test_a_picture_that_fails_loses_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    from cascade import plots

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plots, "frontier", full)
    monkeypatch.setattr(plots, "diminishing_returns", full)
    result = call(*command, "--plot", "F.png", status=2)
    assert "frugaldesk: F.png: No space left on device" in result.stderr
    assert "train.jsonl" in result.stdout
    assert Path("P.json").exists() == ("--policy" in command)
