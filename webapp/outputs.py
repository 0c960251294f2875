"""Files that commands write: none overwrites what was read, none is left half done."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cascade.errors import BadOutcomes


def check_places(written: Sequence[Path], *, read: Sequence[str] = ()) -> None:
    """Raise `BadOutcomes` where a file cannot be written, or would overwrite another one's.

    `read` are the names of the files that the command reads. Nothing is opened.
    """
    taken = {Path(name).resolve(): f"the input {name}" for name in read}
    for path in written:
        _check_place(path)
        place = path.resolve()
        if place in taken:
            raise BadOutcomes(f"{path} would overwrite {taken[place]}; choose another name for it")
        taken[place] = f"the output {path}"


def write_json(path: Path, whole: Mapping[str, Any]) -> None:
    """Write JSON; the file appears whole or not at all.

    A link goes on pointing where it points, and a file that was there keeps its mode.
    """
    place = path.resolve()
    # Named by the process, so that it is no file of somebody's.
    unfinished = place.with_name(f"{place.name}.{os.getpid()}.partial")
    with naming(path):
        try:
            unfinished.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
            if place.exists():
                shutil.copymode(place, unfinished)
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an `OSError` name this file: a full disk names none, a file on its way another."""
    try:
        yield
    except OSError as exc:
        told = exc.strerror or str(exc)
        raise OSError(exc.errno or errno.EIO, told, str(path)) from exc


def _check_place(path: Path) -> None:
    if not path.parent.is_dir():
        raise BadOutcomes(f"{path.parent} is no folder; make it, or choose another")
    if not path.exists():
        return
    if not path.is_file():
        raise BadOutcomes(f"{path} is there and no file; expected a file or a new name")
    # Whoever took the right to write from a file meant it, and root too asks first.
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK):
        raise BadOutcomes(f"{path} is read-only; make it writable, or choose another name")
