"""What labelled rows say before any adapter is trained: topics, assertions, entitlement."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.beliefs import Beliefs, Scores, after_labels, before_labels
from scoring.features import CustomerSpace
from scoring.head import Head
from scoring.learning import Rows
from scoring.readings import ByTopic, fit_by_topic
from scoring.topics import Array, Places
from scoring.trees import Growth, Trees, grow
from scoring.wordings import Wordings, fit_wordings, places_of

ROUNDS = 2
CUSTOMER_FOLDS = 5

RULES = Growth(trees=800, rate=0.05, smoothing=0.1)
"""What all examples together say of who is entitled to what."""

TEXT_FOLDS = 3


@dataclass(frozen=True)
class Study:
    """What is known of the rows before any adapter is trained.

    `places` are where the texts lie among the topics; `entitled` (n,) are the log odds from rules
    that did not see the row's customer; `fold` (texts,) keeps texts with the same answer together.
    """

    rows: Rows
    space: CustomerSpace
    topics: Array
    places: Places
    beliefs: Beliefs
    entitled: Scores
    fold: NDArray[np.intp]
    seed: int

    @classmethod
    def of(
        cls,
        rows: Rows,
        space: CustomerSpace,
        topics: Array,
        read: Scores,
        seed: int,
    ) -> "Study":
        """Work out what the texts assert and who is entitled to what, from `read`, (texts, 2)."""
        study = cls(
            rows=rows,
            space=space,
            topics=topics,
            places=places_of(rows.plain, topics),
            beliefs=before_labels(read),
            entitled=np.zeros(len(rows.text)),
            fold=_folds(rows, seed),
            seed=seed,
        )
        for _ in range(ROUNDS):
            entitled = study.judged_unseen()
            beliefs = after_labels(read, rows.text, rows.labels, rows.weights, entitled)
            study = replace(study, entitled=entitled, beliefs=beliefs)
        return study

    def rules(
        self, chosen: NDArray[np.intp], growth: Growth, seed: int, *, after: Head | None = None
    ) -> Trees:
        """Return trees that explain the chosen rows' labels, given what their texts assert.

        They go on from what the head `after` says of who is entitled to what.
        """
        text, people = self.rows.text[chosen], self.rows.people[chosen]
        places = self.places.take(text)
        return grow(
            np.concatenate([people, places.bits()], axis=1),
            self.beliefs.signs[text],
            self.rows.labels[chosen],
            self.rows.weights[chosen] * self.beliefs.about[text],
            growth,
            seed=seed,
            start=None if after is None else after.entitled(people, places),
        )

    def judged_unseen(self) -> Scores:
        """Return each row's log odds of entitlement, from rules that did not see its customer."""
        people = int(self.rows.customer.max()) + 1
        order = np.random.default_rng(self.seed).permutation(people)
        fold = (order % CUSTOMER_FOLDS)[self.rows.customer]
        out = np.zeros(len(fold))
        for number in range(min(CUSTOMER_FOLDS, people) if people > 1 else 0):
            mine = np.flatnonzero(fold == number)
            rules = self.rules(np.flatnonzero(fold != number), RULES, self.seed)
            places = self.places.take(self.rows.text[mine])
            out[mine] = rules.entitled(self.rows.people[mine], places)
        return out

    def wordings(self, texts: NDArray[np.intp]) -> Wordings:
        """Return what can be told of these texts from their plain vectors."""
        plain = self.rows.plain.take(texts)
        return fit_wordings(self.topics, plain, self.beliefs.take(texts), self.seed)

    def by_topic(self, pooled: Array, texts: NDArray[np.intp]) -> ByTopic:
        """Return what can be told of these texts from the layers' states, (texts, wide)."""
        random = np.random.default_rng(self.seed)
        answers = self.rows.plain.answer[texts]
        return fit_by_topic(
            pooled, self.places.take(texts), self.beliefs.take(texts), answers, random
        )


def _folds(rows: Rows, seed: int) -> NDArray[np.intp]:
    """Return the fold of each text, (texts,): the same answer is always in one."""
    order = np.random.default_rng(seed).permutation(int(rows.answer.max()) + 1)
    fold: NDArray[np.intp] = (order % TEXT_FOLDS)[rows.answer]
    return fold
