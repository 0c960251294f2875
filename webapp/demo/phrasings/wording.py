"""How hand-written phrasings are held: one line each, train and held-out apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


def wordings(*, train: str, heldout: str) -> Wordings:
    """Wordings from two blocks of text with one phrasing a line."""
    return Wordings(train=lines(train), heldout=lines(heldout))


def lines(block: str) -> tuple[str, ...]:
    """The lines of a block that are not empty, stripped."""
    return tuple(line.strip() for line in block.splitlines() if line.strip())
