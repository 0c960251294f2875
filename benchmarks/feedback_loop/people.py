"""Who says what about an answer: agents in a hurry, admins and reviewers who are not.

Everything by chance is drawn with the ticket, before anybody knows what the cascade will offer. So
audits on and off meet the same tickets and the same people in the same mood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.open_question.domains import Domain
from benchmarks.open_question.tiers import Answer, Question, Simulation
from cascade.verdicts import Verdict, labels_of
from scoring.examples import Example, Pair
from webapp.labels import Row

THRESHOLD = 0.6
"""The score from which an answer is accepted, for every model and in every round."""
NOTICES = 0.5
"""How likely an agent is to notice that an accepted answer is wrong."""
EDITS = 0.5
"""How often who noticed writes the right answer themselves, rather than only dismiss the draft."""
AUDITED = 0.15
"""The share of accepted answers that a reviewer reads with audits on."""
AGENTS, ADMINS = 8, 4
"""Enough people that what a single one may weigh, `webapp.labels.capped`, changes little."""


@dataclass(frozen=True)
class Ticket:
    """A question with the models' drafts, and all that chance decides about who reads them.

    `noticing`, `editing` and `auditing` are drawn from [0, 1); `written` is the right answer as a
    person would write it.
    """

    question: Question
    written: str
    agent: str
    admin: str
    noticing: float
    editing: float
    auditing: float

    def pairs(self) -> list[Pair]:
        """Return each draft as the scorer is asked about it."""
        asked = self.question
        return [Pair(asked.text, each.text, asked.person.customer) for each in asked.answers]


@dataclass(frozen=True)
class Served:
    """What became of a ticket: the answer that was offered, and whether it was good enough."""

    ticket: Ticket
    offered: Answer
    accepted: bool


@dataclass(frozen=True)
class Lesson:
    """A labelled example from feedback, and whether its label is the truth."""

    row: Row
    true: bool


def tickets(domain: Domain, count: int, random: Random) -> list[Ticket]:
    """Return so many tickets of training customers in the order in which they arrive."""
    asked = list(Simulation(domain).questions(domain.learnt_from, "train", random))
    return [_ticket(domain, each, random) for each in random.sample(asked, min(count, len(asked)))]


def _ticket(domain: Domain, asked: Question, random: Random) -> Ticket:
    entitled = asked.person.entitled[asked.topic]
    return Ticket(
        question=asked,
        written=domain.say(asked.topic, entitled, "train", random),
        agent=f"agent {random.randrange(AGENTS)}",
        admin=f"admin {random.randrange(ADMINS)}",
        noticing=random.random(),
        editing=random.random(),
        auditing=random.random(),
    )


def serve(ticket: Ticket, scores: Sequence[float]) -> Served:
    """Accept the first draft that is good enough, else escalate with the best one."""
    answers = ticket.question.answers
    for answer, score in zip(answers, scores, strict=True):
        if score >= THRESHOLD:
            return Served(ticket, answer, accepted=True)
    best = max(range(len(answers)), key=scores.__getitem__)
    return Served(ticket, answers[best], accepted=False)


def is_audited(served: Served, share: float) -> bool:
    """Return whether a reviewer reads this answer: only what an agent accepted may be drawn."""
    return _is_sent(served) and served.ticket.auditing < share


def verdicts(served: Served, share: float) -> list[Verdict]:
    """Return what people say, with `observed` as the service stores it for this audit share."""
    ticket, right = served.ticket, bool(served.offered.quality)
    final = served.offered.text if right else ticket.written
    if not served.accepted:
        return [Verdict("corrected", final=final, observed=1.0)]
    if not _is_sent(served):
        if ticket.editing < EDITS:
            return [Verdict("edited", final=ticket.written, observed=1.0)]
        return [Verdict("dismissed", observed=1.0)]
    said = [Verdict("accepted", final=served.offered.text, observed=share)]
    if is_audited(served, share):
        said.append(Verdict("audited", None if right else final, suits=right, observed=share))
    return said


def lessons(served: Served, share: float) -> list[Lesson]:
    """Return what these verdicts teach, by the service's own rule."""
    ticket, said = served.ticket, verdicts(served, share)
    asked, careful = ticket.question, said[-1].action in ("corrected", "audited")
    actor = ticket.admin if careful else ticket.agent
    found = []
    for label in labels_of(served.offered.text, said):
        pair = Pair(asked.text, label.text, asked.person.customer)
        # What a person writes is right; a draft is what its model made it.
        truth = served.offered.quality if label.text == served.offered.text else 1
        example = Example(pair, label.label, weight=label.weight)
        found.append(Lesson(Row(example, "feedback", actor), label.label == truth))
    return found


def _is_sent(served: Served) -> bool:
    """Return whether an agent sends the accepted answer as it is: it is right, or looks so."""
    return served.accepted and (bool(served.offered.quality) or served.ticket.noticing >= NOTICES)
