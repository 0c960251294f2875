"""What feedback says of the answers that a policy version accepted."""

import pytest

from webapp import customers, feedback, models, suggestions
from webapp.audit import Caller
from webapp.db import Database
from webapp.drift import changed_share, wrongness

DRAFT = "Yes, you can still return the jacket within thirty days."


@pytest.mark.parametrize(
    ("sent", "share"),
    [
        (DRAFT, 0.0),
        ("yes you can still  return the jacket, within thirty days!", 0.0),
        ("Yes, you can still return the coat within thirty days.", 0.1),
        ("Yes, you can still return the jacket.", 0.3),
        ("No.", 1.0),
        ("", 1.0),
    ],
)
def test_changed_words_are_counted(sent: str, share: float) -> None:
    assert changed_share(DRAFT, sent) == pytest.approx(share)
    assert changed_share(sent, DRAFT) == pytest.approx(share)


def test_nothing_is_not_changed() -> None:
    assert changed_share("", "...") == 0.0


def test_long_texts_are_compared_in_time() -> None:
    assert changed_share("a b " * 2000, "b a " * 2000) == pytest.approx(2 / 4000)


def test_verdicts_come_in_the_order_they_arrived_one_for_each_answer(database: Database) -> None:
    made = {
        name: suggest(database, name, policy="p1")
        for name in ("accepted", "slightly edited", "dismissed", "rewritten")
    }
    give(database, made["dismissed"], "dismissed")
    give(database, made["accepted"], "accepted")
    give(database, made["slightly edited"], "edited", DRAFT.replace("jacket", "coat"))
    give(database, made["dismissed"], "edited", DRAFT)
    give(database, made["rewritten"], "edited", "No, it is too late.")
    give(database, suggest(database, "of another policy", policy="p2"), "dismissed")
    escalated = suggest(database, "not good enough", policy="p1", status="escalated")
    give(database, escalated, "edited", "No.")
    suggest(database, "without a verdict", policy="p1")
    with database.read() as session:
        tenant_id = session.get_one(models.Suggestion, escalated).tenant_id
        assert wrongness(session, tenant_id, "p1") == [1.0, 0.0, 0.0, 1.0]
        assert wrongness(session, tenant_id, "p2") == [1.0]
        assert wrongness(session, tenant_id, "p3") == []
        assert wrongness(session, "another-tenant", "p1") == []


def suggest(database: Database, ticket: str, *, policy: str, status: str = "suggested") -> str:
    """Store a finished suggestion for a ticket of its own."""
    with database.write() as session:
        tenant = session.query(models.Tenant).first() or models.Tenant(slug="t", name="T")
        session.add(tenant)
        session.flush()
        customer, _ = customers.put(session, tenant.id, "c-1", segment=None, features={})
        asked = suggestions.put_ticket(
            session, customer, external_id=ticket, subject="Return", body="May I?"
        )
        row = models.Suggestion(
            tenant_id=tenant.id,
            ticket_id=asked.id,
            customer_id=customer.id,
            question="May I?",
            shown={},
            policy=policy,
            status=status,
            answer=DRAFT,
            deadline_at=models.utc_now(),
        )
        session.add(row)
        session.flush()
        return row.id


def give(database: Database, suggestion_id: str, action: str, text: str | None = None) -> None:
    with database.write() as session:
        row = session.get_one(models.Suggestion, suggestion_id)
        caller = Caller(row.tenant_id, "key:test")
        feedback.give(session, caller, row, action=action, final_text=text)
