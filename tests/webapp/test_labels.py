"""What a run learns from and what it keeps to judge by."""

from datetime import UTC, datetime, timedelta

import pytest

from scoring.customer import Customer
from scoring.examples import Example, Pair, as_row
from tests.webapp.people import add_people
from webapp import customers, labels, models, suggestions
from webapp.db import Database
from webapp.labels import LARGEST_SHARE, Origin, Row, capped, is_kept, split

ORIGINS: tuple[Origin, ...] = ("imported", "feedback", "feedback")
START = datetime(2026, 11, 1, tzinfo=UTC)
KEPT = next(f"c-{number}" for number in range(99) if is_kept(f"c-{number}"))
LEARNT = [f"c-{number}" for number in range(99) if not is_kept(f"c-{number}")]


def row(
    customer: str,
    origin: Origin = "imported",
    *,
    day: int | None = None,
    actor: str | None = None,
    weight: float = 1.0,
) -> Row:
    at = None if day is None else START + timedelta(days=day)
    pair = Pair("May I?", "Yes.", Customer(customer, "gold"))
    return Row(Example(pair, 1, at, weight), origin, actor)


def test_a_fifth_of_the_customers_is_kept_for_ever() -> None:
    share = sum(is_kept(f"customer {number}") for number in range(4000)) / 4000
    assert share == pytest.approx(labels.HELD_OUT_SHARE, abs=0.02)


def test_a_customer_is_on_one_side_only() -> None:
    rows = [
        row(name, origin, day=day)
        for name in (KEPT, *LEARNT[:30])
        for day, origin in enumerate(ORIGINS)
    ]
    done = split([*rows, row(LEARNT[3], "regression")])
    assert not {each.customer for each in done.learnt} & {each.customer for each in done.kept}
    assert {KEPT, LEARNT[3]} <= {each.customer for each in done.kept}


def test_the_newest_are_kept_until_there_are_newer_ones() -> None:
    rows = [row(name, "feedback", day=day) for day, name in enumerate(LEARNT[:20])]
    kept = [each.customer for each in split(rows).kept]
    assert kept == LEARNT[18:20]
    later = [*rows, *(row(name, "feedback", day=99) for name in LEARNT[30:31])]
    assert LEARNT[18] not in {each.customer for each in split(later).kept}


def test_nobody_weighs_more_than_a_quarter() -> None:
    many = [row(LEARNT[0], "feedback", actor="user:one", weight=2.0) for _ in range(50)]
    others = [row(LEARNT[1], "feedback", actor="user:two") for _ in range(20)]
    rows = [*many, *others, *(row(LEARNT[2]) for _ in range(80))]
    weights = [each.weight for each in capped(rows)]
    assert sum(weights[:50]) == pytest.approx(LARGEST_SHARE * 200)
    assert weights[50:] == [1.0] * 100


def test_what_was_said_becomes_rows_unless_it_was_withdrawn_or_came_later(
    database: Database,
) -> None:
    tenant = store(database, "c-1", "edited", final_text="No, sorry, that is over.")
    store(database, "c-2", "dismissed", withdrawn=True)
    store(database, "c-3", None)
    now = models.utc_now()
    store(database, "c-4", "accepted")
    with database.read() as session:
        rows = labels.feedback_rows(session, tenant, before=now)
    said = [(each.customer, each.example.pair.answer, each.example.label) for each in rows]
    assert said == [("c-1", "Yes.", 0), ("c-1", "No, sorry, that is over.", 1)]
    assert {(each.segment, each.origin, each.actor) for each in rows} == {
        ("gold", "feedback", "user:a")
    }
    assert rows[0].example.pair.customer.features == {"days": 3}


def test_all_three_origins_are_collected_and_other_tenants_are_not(database: Database) -> None:
    tenant = store(database, "c-1", "dismissed")
    example = as_row(Example(Pair("May I?", "Yes.", Customer("c-9", "gold")), 1))
    with database.write() as session:
        (made,) = session.query(models.Suggestion)
        session.add(
            models.TrainingRow(
                tenant_id=tenant, customer="c-9", segment="gold", row=example, source="file"
            )
        )
        session.add(
            models.RegressionCase(
                tenant_id=tenant,
                customer="c-9",
                segment="gold",
                suggestion_id=made.id,
                label=1,
                row=example,
            )
        )
    with database.read() as session:
        found = labels.collect(session, tenant, before=models.utc_now())
        assert [each.origin for each in found] == ["imported", "feedback", "regression"]
        assert labels.collect(session, "another", before=models.utc_now()) == []


def store(
    database: Database,
    customer: str,
    action: str | None,
    *,
    final_text: str | None = None,
    withdrawn: bool = False,
) -> str:
    """Store a suggestion that offered "Yes." and what was done with it; return the tenant."""
    with database.write() as session:
        tenant = session.query(models.Tenant.id).scalar() or add_people(session)
        who, _ = customers.put(session, tenant, customer, segment="gold", features={"days": 3})
        ticket = suggestions.put_ticket(
            session, who, external_id=f"T-{customer}", subject="", body="May I?"
        )
        made = models.Suggestion(
            tenant_id=tenant,
            ticket_id=ticket.id,
            customer_id=who.id,
            status="suggested",
            question="May I?",
            shown=customers.shown(session, who),
            segment="gold",
            policy="p",
            answer="Yes.",
            deadline_at=models.utc_now(),
        )
        session.add(made)
        session.flush()
        if action is not None:
            session.add(
                models.Feedback(
                    tenant_id=tenant,
                    suggestion_id=made.id,
                    actor="user:a",
                    action=action,
                    final_text=final_text,
                    withdrawn_at=models.utc_now() if withdrawn else None,
                )
            )
        return str(tenant)
