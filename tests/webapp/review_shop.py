"""A tenant with agents and reviewers, for tests of what people say about answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.webapp.people import PASSWORD, add_people
from webapp import access, customers, feedback, judging, models, reviews, suggestions
from webapp.audit import Caller
from webapp.db import Database
from webapp.feedback import NO_AUDITS, Audits
from webapp.judging import Finding

QUESTION = "May I return it?"
ANSWER = "Yes, you can return it within thirty days."
GOOD = {"correct": True, "complete": True, "right_for_customer": True, "tone": True}
BAD = GOOD | {"correct": False}
ALL = Audits(1.0, draw=lambda: 0.5)
"""Every answer is audited."""


def never() -> float:
    """Draw no second look."""
    return 1.0


def always() -> float:
    """Draw a second look."""
    return 0.0


@dataclass(frozen=True)
class ReviewShop:
    """One tenant: customers "gold-1" and "gold-2" alike, "guest-1" not; two admins, two agents."""

    database: Database
    tenant: str

    def suggest(
        self,
        ticket: str,
        *,
        customer: str = "gold-1",
        question: str = QUESTION,
        answer: str | None = ANSWER,
        status: str = "suggested",
        policy: str = "p1",
    ) -> str:
        """Store a finished suggestion for a ticket of its own; returns its id."""
        with self.database.write() as session:
            asker = customers.find(session, self.tenant, customer)
            asked = suggestions.put_ticket(
                session, asker, external_id=ticket, subject="Return", body=question
            )
            row = models.Suggestion(
                tenant_id=self.tenant,
                ticket_id=asked.id,
                customer_id=asker.id,
                question=question,
                shown=customers.shown(session, asker),
                segment=asker.segment,
                policy=policy,
                status=status,
                answer=answer,
                score=None if answer is None else 0.9,
                threshold=None if answer is None else 0.8,
                deadline_at=models.utc_now(),
            )
            session.add(row)
            session.flush()
            if status == "escalated":
                reviews.add(
                    session, self.tenant, "escalation", reason="Too low.", suggestion_id=row.id
                )
            return row.id

    def give(
        self,
        suggestion_id: str,
        action: str,
        text: str | None = None,
        *,
        by: str = "user:agent@t.example",
        reason: str | None = None,
        audits: Audits = NO_AUDITS,
    ) -> str:
        """Give feedback; returns its id."""
        with self.database.write() as session:
            row = suggestions.find(session, self.tenant, suggestion_id)
            caller = Caller(self.tenant, by)
            return feedback.give(
                session, caller, row, action=action, final_text=text, reason=reason, audits=audits
            ).id

    def audited(self, ticket: str, **told: Any) -> str:
        """Have an answer accepted and drawn for an audit; returns the suggestion's id."""
        made = self.suggest(ticket, **told)
        self.give(made, "accepted", audits=ALL)
        return made

    def user(self, session: Session, name: str) -> models.User:
        """The person of that name."""
        found = select(models.User).where(models.User.email == f"{name}@t.example")
        return session.scalars(found).one()

    def claim(self, review_id: str, name: str) -> None:
        """Have an admin claim a review."""
        with self.database.write() as session:
            row = reviews.find(session, self.tenant, review_id)
            reviews.claim(session, row, self.user(session, name))

    def judge(
        self,
        review_id: str,
        name: str,
        found: Mapping[str, bool],
        *,
        root_cause: str | None = None,
        text: str | None = None,
        draw: Any = never,
    ) -> list[str]:
        """Have an admin claim and judge a review; returns the ids of the feedback it gives."""
        self.claim(review_id, name)
        finding = Finding(found, root_cause, text)
        with self.database.write() as session:
            row = reviews.find(session, self.tenant, review_id)
            given = judging.judge(session, row, self.user(session, name), finding, draw=draw)
            return [each.id for each in given]

    def open(self, kind: str | None = None) -> list[models.Review]:
        """The open reviews, in the queue's order."""
        with self.database.read() as session:
            rows = session.scalars(
                select(models.Review)
                .where(models.Review.status == "open")
                .order_by(*reviews.IN_ORDER)
            )
            return [each for each in rows if kind in (None, each.kind)]

    def feedback(self, suggestion_id: str) -> list[models.Feedback]:
        """What was said of a suggestion, in order."""
        with self.database.read() as session:
            return list(
                session.scalars(
                    select(models.Feedback)
                    .where(models.Feedback.suggestion_id == suggestion_id)
                    .order_by(models.Feedback.created_at)
                )
            )

    def cases(self) -> list[models.RegressionCase]:
        """The regression set, the oldest first."""
        with self.database.read() as session:
            in_order = select(models.RegressionCase).order_by(models.RegressionCase.created_at)
            return list(session.scalars(in_order))

    def ticket(self, external_id: str) -> models.Ticket:
        """A ticket as it is."""
        with self.database.read() as session:
            ours = models.Ticket.external_id == external_id
            return session.scalars(select(models.Ticket).where(ours)).one()


def open_review_shop(database: Database) -> ReviewShop:
    """Add the tenant, its customers, admin@, second@ (an admin too), agent@ and other@."""
    with database.write() as session:
        tenant = add_people(session)
        for name, role in (("second", "admin"), ("other", "agent")):
            access.put_user(
                session,
                tenant,
                email=f"{name}@t.example",
                name=name,
                role=role,
                password=PASSWORD,
            )
        for name in ("gold-1", "gold-2", "guest-1"):
            segment = name.partition("-")[0]
            features = {"membership": segment}
            customers.put(session, tenant, name, segment=segment, features=features)
        return ReviewShop(database, tenant)
