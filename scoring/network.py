"""Reads a question, its answer and the passage behind it together: the upper blocks, with LoRA.

Each text is read alone first, below the adapted blocks, and only its states come here. So what
several rows share is read once, whichever adapters they have.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from scoring.encoder import (
    CHARACTERS_PER_TOKEN,
    STATES_KEPT,
    TEXT_TOKENS,
    Encoder,
    Reading,
    padded,
    span_mean,
)
from scoring.layers import Lora, LoraRows, unseen

RANK = 8
ALPHA = 16.0

PARTS = ("question", "answer", "passage")
STATES = (64, STATES_KEPT, STATES_KEPT)
"""How many states each part has at most, so that no long text can push the others out."""

QUESTION, ANSWER, PASSAGE = range(3)

Parts = Sequence[Sequence[Reading]]
"""A question, its answer and, where there is one, the passage behind it: each as the readings of
its pieces, of which the question has one, and the others one per sentence."""

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？؟])|\n")
_MOST_SENTENCES = 16
_MOST_CHARACTERS = 8 * TEXT_TOKENS * CHARACTERS_PER_TOKEN


def sentences(text: str) -> list[str]:
    """Return a text's sentences, at least one; what goes beyond 16 stays in the last.

    Only the beginning of a very long text is looked at: no more of it is read.
    """
    split = _SENTENCE_END.split(text[:_MOST_CHARACTERS], _MOST_SENTENCES - 1)
    return [part.strip() for part in split if part.strip()] or [""]


def read_parts(
    encoder: Encoder, texts: Sequence[Sequence[str]], *, remembered: bool = True
) -> list[Parts]:
    """Return the readings of questions with their answers; what several share is read once.

    With `remembered=False` nothing depends on what was read before.
    """
    pieces = [[[text[0]], *(sentences(part) for part in text[1:])] for text in texts]
    distinct = sorted({piece for parts in pieces for part in parts for piece in part})
    read = dict(zip(distinct, encoder.read(distinct, remembered=remembered), strict=True))
    return [[[read[piece] for piece in part] for part in parts] for parts in pieces]


@dataclass(frozen=True)
class Joined:
    """A batch of texts, the parts of each side by side.

    `states` are (n, length, dim); `mask` (n, length) says which are real, `part` (n, length) has
    the number of each one's part, and `in_answer` (n, length) says which are words of the answer.
    """

    states: Tensor
    mask: Tensor
    part: Tensor
    in_answer: Tensor


def tokens_of(parts: Parts) -> int:
    """Return how many states these texts have together."""
    return sum(
        min(sum(len(piece.states) for piece in part), most)
        for part, most in zip(parts, STATES, strict=False)
    )


def join(rows: Sequence[Parts]) -> Joined:
    """Return the texts of each row one behind the other, filled up to the longest row."""
    states, numbers, words = [], [], []
    for parts in rows:
        cut = [
            torch.cat([piece.states for piece in part])[:most]
            for part, most in zip(parts, STATES, strict=False)
        ]
        states.append(torch.cat(cut))
        numbers.append([number for number, part in enumerate(cut) for _ in range(len(part))])
        said = [word for piece in parts[ANSWER] for word in _words(piece)][: STATES[ANSWER]]
        after = sum(len(part) for part in cut[PASSAGE:])
        words.append([0] * len(cut[QUESTION]) + said + [0] * after)
    part, mask = padded(numbers)
    together = pad_sequence(states, batch_first=True).float()
    return Joined(together, mask, part, padded(words)[0].bool())


def _words(piece: Reading) -> list[int]:
    """Return 1 for states of words, 0 for the first, [CLS], and the last, [SEP]."""
    return [0, *[1] * (len(piece.states) - 2), 0]


def pool(below_last: Tensor, first: Tensor, in_answer: Tensor) -> Tensor:
    """Return one vector per row, (n, 2 * dim).

    It is the mean over the answer's words below the last block, of (n, length, dim), beside the
    first state above it, (n, dim).
    """
    return torch.cat([span_mean(below_last, in_answer), first], dim=1)


def pooled(
    encoder: Encoder, rows: Sequence[Parts], lora: Sequence[Lora], sides: Sequence[Tensor]
) -> Tensor:
    """Return what each row's own adapter reads in its texts, (n, 2 * dim).

    `sides` (parts, dim) is what an adapter adds to the states of each part. The same function as
    peft's `adapter_names` over these blocks.
    """
    batch, rows_lora = join(rows), LoraRows(lora)
    states = batch.states + torch.stack(list(sides))[torch.arange(len(rows))[:, None], batch.part]
    hidden = unseen(batch.mask[:, None], encoder.products)
    *middle, last = encoder.blocks[encoder.adapted :]
    for block in middle:
        states = block(states, hidden, rows_lora)
    first = last(states, hidden, rows_lora, first_only=True)
    return pool(states, first[:, 0], batch.in_answer)
