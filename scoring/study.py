"""What labelled rows say before any adapter is trained: topics, assertions, entitlement."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.beliefs import Beliefs, Scores, after_labels, before_labels
from scoring.features import CustomerSpace
from scoring.learning import Rows
from scoring.topics import Array, nearest, one_hot
from scoring.trees import RATE, Bits, Trees, grow
from scoring.wordings import Wordings, beside, fit_wordings

ROUNDS = 2
CUSTOMER_FOLDS = 5
FOLD_TREES = 400

TEXT_FOLDS = 3


@dataclass(frozen=True)
class Study:
    """What is known of the rows before any adapter is trained.

    `places` (n, partitions) are the rows' topics, `bits` (n, columns) customers and topics
    together; `entitled` (n,) are the log odds from rules that did not see the row's customer;
    `fold` (texts,) keeps texts with the same answer together.
    """

    rows: Rows
    space: CustomerSpace
    topics: Array
    places: NDArray[np.intp]
    bits: Bits
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
        places = nearest(topics, beside(rows.plain.question, rows.plain.answer))[rows.text]
        columns = one_hot(places, topics.shape[1])
        study = cls(
            rows=rows,
            space=space,
            topics=topics,
            places=places,
            bits=np.concatenate([rows.people, columns], axis=1),
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
        self,
        chosen: NDArray[np.intp],
        count: int,
        seed: int,
        *,
        after: Trees | None = None,
        rate: float = RATE,
    ) -> Trees:
        """Return trees that explain the chosen rows' labels, given what their texts assert."""
        text, bits = self.rows.text[chosen], self.bits[chosen]
        return grow(
            bits,
            self.beliefs.signs[text],
            self.rows.labels[chosen],
            self.rows.weights[chosen] * self.beliefs.about[text],
            self.rows.customer[chosen],
            count=count,
            seed=seed,
            start=None if after is None else after.margins(bits),
            rate=rate,
        )

    def judged_unseen(self) -> Scores:
        """Return each row's log odds of entitlement, from rules that did not see its customer."""
        people = int(self.rows.customer.max()) + 1
        order = np.random.default_rng(self.seed).permutation(people)
        fold = (order % CUSTOMER_FOLDS)[self.rows.customer]
        out = np.zeros(len(fold))
        for number in range(min(CUSTOMER_FOLDS, people) if people > 1 else 0):
            rules = self.rules(np.flatnonzero(fold != number), FOLD_TREES, self.seed)
            out[fold == number] = rules.margins(self.bits[fold == number])
        return out

    def wordings(self, texts: NDArray[np.intp] | None = None) -> Wordings:
        """Return what can be told of the texts, by default all, from their plain vectors."""
        known = np.arange(len(self.rows.parts)) if texts is None else texts
        plain = self.rows.plain.take(known)
        return fit_wordings(self.topics, plain, self.beliefs.take(known), self.seed)


def _folds(rows: Rows, seed: int) -> NDArray[np.intp]:
    """Return the fold of each text, (texts,): the same answer is always in one."""
    order = np.random.default_rng(seed).permutation(int(rows.answer.max()) + 1)
    fold: NDArray[np.intp] = (order % TEXT_FOLDS)[rows.answer]
    return fold
