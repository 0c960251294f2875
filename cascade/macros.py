"""Answers from the knowledge base: the macros nearest to the question, filled for the customer."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.deadline import Deadline
from cascade.errors import BadMacro
from cascade.pricing import Usage
from cascade.providers import DraftRequest, Drafts
from scoring.customer import Feature

Embed = Callable[[Sequence[str]], NDArray[Any]]
"""Texts to one row of numbers each, in the same order."""

BLANK = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A plain feature name in braces. Anything else in braces is text, and reaches no attribute."""


IDENTIFIER = re.compile(r"[a-z]+(?:_[a-z]+)+")


@dataclass(frozen=True)
class Macro:
    """A prepared answer and the questions it answers; `{feature}` in the body is filled in."""

    external_id: str
    title: str
    questions: tuple[str, ...]
    body: str


class Macros:
    """The provider named "macros": up to `top` filled macros at cosine `min_similarity` or nearer.

    None is less like the question than the nearest by more than `within`: what is behind is about
    something else. Macros as like each other as `alike`, in what they answer and say together, are
    other answers to the same question, so all of them are as near as the nearest. Everything of a
    macro is embedded once, when this is made. Raises `BadMacro` when `embed` does not give one
    finite row for each text.

    >>> Macros([Macro("m-1", "Returns", ("Can I return it?",), "Yes, {first_name}.")], embed)
    """

    model = "macros"
    source = "macro"
    attempts = 1

    def __init__(
        self,
        macros: Sequence[Macro],
        embed: Embed,
        *,
        top: int = 6,
        min_similarity: float = 0.36,
        within: float = 0.03,
        alike: float = 0.78,
    ) -> None:
        self._macros = tuple(macros)
        self._embed = embed
        self._top = top
        self._min_similarity = min_similarity
        self._within = within
        texts = [(each.title, *each.questions) for each in self._macros]
        self._starts = np.cumsum([0, *(len(each) for each in texts)])[:-1]
        flat = [text for each in texts for text in each]
        said = [each.body for each in self._macros]
        rows = _unit_rows(embed, [*flat, *said]) if flat else np.zeros((0, 0), np.float32)
        self._rows, bodies = rows[: len(flat)], rows[len(flat) :]  # (texts, dim), (macros, dim)
        self._same = _likeness(self._rows, self._starts, bodies) >= alike  # (macros, macros)

    def draft(self, request: DraftRequest, *, deadline: Deadline) -> Drafts:
        """The nearest macros whose blanks this customer's profile can fill, nearest first."""
        filled = (fill(macro.body, request.customer.features) for macro in self._near(request))
        distinct = dict.fromkeys(text for text in filled if text is not None)
        return Drafts(tuple(islice(distinct, self._top)))

    def largest_cost(self, request: DraftRequest) -> Usage | None:
        """None: macros bill nothing."""
        return None

    def _near(self, request: DraftRequest) -> Iterator[Macro]:
        if not self._macros:
            return
        question = _unit_rows(self._embed, [request.question])[0]
        # The best of a macro's title and questions speaks for the macro, and for those like it.
        own = np.maximum.reduceat(self._rows @ question, self._starts)  # (macros,)
        nearness = np.where(self._same, own, -np.inf).max(axis=1)
        least = max(self._min_similarity, float(nearness.max()) - self._within)
        for place in np.lexsort((-own, -nearness)):
            if nearness[place] < least:
                return
            yield self._macros[place]


def fill(body: str, features: Mapping[str, Feature]) -> str | None:
    """The body with its blanks filled, or None where the profile lacks one of them."""
    if any(name not in features for name in BLANK.findall(body)):
        return None
    return BLANK.sub(lambda blank: _shown(features[blank[1]]), body)


def _shown(value: Feature) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    # Values are often identifiers; a customer reads "in transit", not "in_transit".
    return text.replace("_", " ") if IDENTIFIER.fullmatch(text) else text


def _unit_rows(embed: Embed, texts: Sequence[str]) -> NDArray[np.float32]:
    rows = np.asarray(embed(texts), dtype=np.float32)
    if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all():
        raise BadMacro(
            f"the embedding of {len(texts)} texts has shape {rows.shape} or holds NaN; "
            "expected one finite row for each text"
        )
    return _unit(rows)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, np.maximum(lengths, 1e-12), dtype=np.float32)


def _likeness(
    rows: NDArray[np.float32], starts: NDArray[np.intp], bodies: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the cosine of every two macros, by what they answer and what they say alike."""
    if not len(bodies):
        return np.zeros((0, 0), np.float32)
    together = _unit(_unit(np.add.reduceat(rows, starts)) + bodies)
    likeness: NDArray[np.float32] = together @ together.T
    np.fill_diagonal(likeness, 1.0)
    return likeness
