"""Adapters at rest: immutable folders named by their content, checked byte by byte when read."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scoring.errors import BadAdapter

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
HEAD = "head.safetensors"
FEATURES = "features.json"
CALIBRATION = "calibration.json"
MANIFEST = "manifest.json"
FILES = (WEIGHTS, CONFIG, HEAD, FEATURES, CALIBRATION)

FORMAT = 2
"""Rises whenever adapters stored before can no longer be read."""

CHAMPIONS = "champions.json"

_LONGEST_NAME = 150
_PARTIAL = ".partial-"
_VERSION = re.compile(r"(?P<segment>.*)@(?P<digest>[0-9a-f]{12})", re.DOTALL)


@dataclass(frozen=True)
class Manifest:
    """Where an adapter comes from: enough to know its base, its data, and to train it again.

    `data` is the sha256 of the examples, `created` an ISO 8601 time in UTC, `files` the sha256 of
    each file beside the manifest.
    """

    segment: str
    base: str
    base_digest: str
    data: str
    seed: int
    examples: int
    customers: int
    metrics: Mapping[str, float | None]
    created: str
    files: Mapping[str, str]

    @property
    def version(self) -> str:
        """`segment@` and twelve hex digits of the sha256 over all but the time of creation.

        The same examples and seed give the same version, whenever they are trained.
        """
        content = {name: value for name, value in asdict(self).items() if name != "created"}
        return f"{self.segment}@{_sha256(_stored(content))[:12]}"

    def as_bytes(self) -> bytes:
        """Return the manifest as the JSON that is stored, the same bytes for the same content."""
        return _stored(asdict(self))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """Return the manifest that `as_bytes` wrote; raises ValueError or TypeError if bent."""
        row: Any = json.loads(content)
        if not isinstance(row, dict) or set(row) != {field.name for field in fields(cls)}:
            raise ValueError("the manifest lacks fields or has unknown ones")
        return cls(**row)


@dataclass(frozen=True)
class Registry:
    """A folder of adapter folders, and `champions.json` for commands that have no database."""

    root: Path

    def add(self, manifest: Manifest, files: Mapping[str, bytes]) -> str:
        """Store an adapter and return its version; the folder appears whole or not at all.

        The manifest's `files` are filled in here. Adding the same content again changes nothing,
        but for a folder that was damaged, which is put right.
        """
        complete = _with_digests(manifest, files)
        folder = self.folder(complete.version)
        if folder.exists() and self._damaged(complete):
            shutil.rmtree(folder)
        if not folder.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            _write_folder(folder, {**files, MANIFEST: complete.as_bytes()})
        return complete.version

    def _damaged(self, manifest: Manifest) -> bool:
        try:
            self.check(manifest.version, manifest.base_digest)
        except BadAdapter:
            return True
        return False

    def folder(self, version: str) -> Path:
        """Return where this version lies; raises `BadAdapter` for what is not a version."""
        match = _VERSION.fullmatch(version)
        if match is None:
            raise BadAdapter(f"version {version!r}: expected a segment, '@' and twelve hex digits")
        return self.root / f"{_file_name(match['segment'])}@{match['digest']}"

    def manifest(self, version: str) -> Manifest:
        """Return what is written about a version; raises `BadAdapter` if missing or altered."""
        return _read_manifest(self.folder(version) / MANIFEST, version)

    def check(self, version: str, base_digest: str) -> Manifest:
        """Return the manifest if every file is there, unaltered, and made for this base encoder."""
        return self.read(version, base_digest)[0]

    def read(self, version: str, base_digest: str) -> tuple[Manifest, dict[str, bytes]]:
        """Return the manifest and the checked content of each file, so that nothing is read twice.

        Raises `BadAdapter` naming the file that is missing, altered, or made for another base.
        """
        folder = self.folder(version)
        manifest = _read_manifest(folder / MANIFEST, version)
        if manifest.base_digest != base_digest:
            raise BadAdapter(
                f"{folder / MANIFEST}: made for base {manifest.base} "
                f"({manifest.base_digest[:12]}), but the encoder is {base_digest[:12]}; "
                "train it again or set SCORER_BASE"
            )
        if set(manifest.files) != set(FILES):
            raise BadAdapter(
                f"{folder / MANIFEST}: lists {sorted(manifest.files)}, expected {FILES}"
            )
        return manifest, {
            name: _read_checked(folder / name, digest) for name, digest in manifest.files.items()
        }

    def champions(self) -> dict[str, str]:
        """Return the live version per segment as the file commands know it; empty at first."""
        path = self.root / CHAMPIONS
        if not path.exists():
            return {}
        try:
            rows = json.loads(path.read_bytes())
        except ValueError as exc:
            raise BadAdapter(f"{path}: {exc}; train again or restore the file") from exc
        if not isinstance(rows, dict) or not all(isinstance(row, str) for row in rows.values()):
            raise BadAdapter(f"{path}: expected an object of segment to version")
        return rows

    def set_champions(self, champions: Mapping[str, str]) -> None:
        """Replace the live versions in one step."""
        self.root.mkdir(parents=True, exist_ok=True)
        content = json.dumps(dict(champions), sort_keys=True, indent=1).encode()
        handle, partial = tempfile.mkstemp(dir=self.root, prefix=".champions-")
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        Path(partial).replace(self.root / CHAMPIONS)

    def tidy(self, *, before: datetime) -> None:
        """Remove what a writer began before that moment and was killed over."""
        for path in self.root.glob(f"{_PARTIAL}*"):
            # Another process may tidy too, and what is gone is what was wanted.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before.timestamp():
                    shutil.rmtree(path, ignore_errors=True)


def _stored(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode()


def _with_digests(manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    if set(files) != set(FILES):
        raise BadAdapter(f"an adapter is made of {FILES}; got {sorted(files)}")
    digests = {name: _sha256(content) for name, content in sorted(files.items())}
    return Manifest(**{**asdict(manifest), "files": digests})


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_PARTIAL))
    try:
        for name, content in files.items():
            with (partial / name).open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        partial.chmod(0o755)
        partial.rename(folder)
    except OSError:
        # Two writers of the same content race for the same name; whoever came first has won.
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_manifest(path: Path, version: str) -> Manifest:
    content = _read_bytes(path)
    try:
        manifest = Manifest.from_bytes(content)
    except (ValueError, TypeError) as exc:
        raise BadAdapter(f"{path}: {exc}; train the adapter again") from exc
    if manifest.version != version or manifest.as_bytes() != content:
        raise BadAdapter(f"{path}: its content is {manifest.version}, expected {version}")
    return manifest


def _read_checked(path: Path, digest: str) -> bytes:
    content = _read_bytes(path)
    got = _sha256(content)
    if got != digest:
        raise BadAdapter(f"{path}: sha256 is {got}, the manifest says {digest}")
    return content


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BadAdapter(f"{path}: {exc.strerror}; train the adapter again or restore it") from exc


def _file_name(segment: str) -> str:
    """Return a file name for any segment; one too long for a file system ends in its digest."""
    quoted = quote(segment, safe="", errors="surrogatepass")
    if len(quoted) <= _LONGEST_NAME:
        return quoted
    return f"{quoted[:_LONGEST_NAME]}-{_sha256(segment.encode('utf-8', 'surrogatepass'))[:12]}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
