"""How hand-written phrasings are held: one line each, train and held-out apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from webapp.demo.records import Split


@dataclass(frozen=True)
class Wordings:
    """Different ways to say one thing; no held-out wording is also a train wording."""

    train: tuple[str, ...]
    heldout: tuple[str, ...]

    def of(self, split: Split) -> tuple[str, ...]:
        """The wordings of one split."""
        return self.train if split == "train" else self.heldout


@dataclass(frozen=True)
class Phrasing:
    """A topic's questions (`{item}` stands for a product) and its answers by stance."""

    questions: Wordings
    answers: Mapping[str, Wordings]


@dataclass(frozen=True)
class Block:
    """What one file says on one topic: questions, and answers that grant or refuse."""

    questions: tuple[str, ...]
    granting: tuple[str, ...]
    refusing: tuple[str, ...]


def read_blocks(path: Path) -> dict[str, Block]:
    """Read a file of `= topic`, then lines that begin with `? `, `+ ` or `- `, by topic."""
    found: dict[str, dict[str, list[str]]] = {}
    topic = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, text = line[:1], line[2:]
        if kind == "=":
            topic = text
        elif kind in ("?", "+", "-"):
            found.setdefault(topic, {"?": [], "+": [], "-": []})[kind].append(text)
    return {
        name: Block(*(tuple(kinds[kind]) for kind in ("?", "+", "-")))
        for name, kinds in found.items()
    }


def wordings(*, train: str, heldout: str) -> Wordings:
    """Wordings from two blocks of text with one phrasing a line."""
    return Wordings(train=lines(train), heldout=lines(heldout))


def lines(block: str) -> tuple[str, ...]:
    """The lines of a block that are not empty, stripped."""
    return tuple(line.strip() for line in block.splitlines() if line.strip())
