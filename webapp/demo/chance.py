"""Chance that can be repeated: the same name and seed draw the same numbers in every process."""

from __future__ import annotations

from random import Random


def stream(name: str, seed: int) -> Random:
    """A source of chance of its own for one purpose, so that no part of the shop moves another."""
    return Random(f"{name}:{seed}")
