"""Hand-written questions and answers, by topic and stance, train and held-out apart."""

from __future__ import annotations

from pathlib import Path

from webapp.demo.phrasings.wording import Block, Phrasing, Wordings, read_blocks
from webapp.demo.policy import TOPICS, Topic


def _phrasing(topic: Topic, train: Block, heldout: Block) -> Phrasing:
    granting, refusing = topic.stances
    return Phrasing(
        Wordings(train.questions, heldout.questions),
        {
            granting: Wordings(train.granting, heldout.granting),
            refusing: Wordings(train.refusing, heldout.refusing),
        },
    )


_TRAIN, _HELDOUT = (
    read_blocks(Path(__file__).with_name(name)) for name in ("train.txt", "heldout.txt")
)

PHRASINGS: dict[str, Phrasing] = {
    topic.name: _phrasing(topic, _TRAIN[topic.name], _HELDOUT[topic.name]) for topic in TOPICS
}
