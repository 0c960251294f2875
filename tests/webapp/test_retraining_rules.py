"""When a run begins by itself: enough verdicts, an alarm, a marked adapter; never unasked."""

from datetime import timedelta
from pathlib import Path

import pytest

from cascade import Policy, Tier
from tests.webapp.people import add_people
from webapp import Settings, models, policies, retraining_rules, runs
from webapp.db import Database
from webapp.models import utc_now

POLICY = Policy((Tier("macros", "macro", 0.7),))
CERTIFICATE = {"max_error": 0.05, "confidence": 0.95, "log": "l", "rows": 400, "tiers": "t"}


@pytest.fixture
def tenant(database: Database) -> str:
    """A tenant that verdicts are given in."""
    with database.write() as session:
        return add_people(session)


def settings(folder: Path, after: int | None = None) -> Settings:
    told = {} if after is None else {"FRUGALDESK_RETRAIN_AFTER": str(after)}
    return Settings.from_env({"FRUGALDESK_VAR": str(folder), **told})


def give_verdicts(
    database: Database, tenant: str, count: int, *, segment: str | None = "gold", **told: object
) -> None:
    """Add so many answers that were accepted by the cascade and dismissed by an agent."""
    with database.write() as session:
        customer = models.Customer(tenant_id=tenant, external_id=models.new_id(), features={})
        session.add(customer)
        session.flush()
        for _ in range(count):
            ticket = models.Ticket(
                tenant_id=tenant,
                customer_id=customer.id,
                external_id=models.new_id(),
                subject="",
                body="b",
            )
            session.add(ticket)
            session.flush()
            made = models.Suggestion(
                tenant_id=tenant,
                ticket_id=ticket.id,
                customer_id=customer.id,
                status="suggested",
                question="q",
                shown={},
                segment=segment,
                policy=POLICY.version,
                answer="a",
                deadline_at=utc_now(),
            )
            session.add(made)
            session.flush()
            given = models.Feedback(
                tenant_id=tenant, suggestion_id=made.id, actor="t", action="dismissed", **told
            )
            session.add(given)


def due(database: Database, tenant: str, after: int) -> dict[str, str]:
    with database.read() as session:
        return retraining_rules.due(session, tenant, after)


def begin(database: Database, settings: Settings) -> list[str]:
    with database.write() as session:
        return retraining_rules.begin_due(session, settings)


def end(database: Database, run_id: str) -> None:
    with database.write() as session:
        mine = runs.claim(session, run_id)
        assert mine is not None
        runs.give_up(session, mine, "failed", "out of luck")


def add_champion(database: Database, tenant: str, *, because: str | None) -> None:
    """Make an adapter live for gold, marked where a reason is given."""
    with database.write() as session:
        adapter = models.Adapter(
            tenant_id=tenant,
            segment="gold",
            version="gold@0123456789ab",
            manifest={},
            marked_at=utc_now() if because else None,
            marked_because=because,
        )
        session.add(adapter)
        session.flush()
        session.add(models.LiveAdapter(tenant_id=tenant, segment="gold", adapter_id=adapter.id))


def certify(database: Database, tenant: str) -> None:
    with database.write() as session:
        policies.publish(
            session,
            tenant,
            POLICY,
            origin="optimised",
            made_from={"certificate": CERTIFICATE},
            actor="t",
        )


def test_rules_are_off_unless_they_are_asked_for(
    database: Database, tenant: str, tmp_path: Path
) -> None:
    give_verdicts(database, tenant, 5)
    add_champion(database, tenant, because="someone was erased")
    assert begin(database, settings(tmp_path)) == []
    assert begin(database, settings(tmp_path, after=0)) == []


def test_enough_new_verdicts_begin_a_run(database: Database, tenant: str, tmp_path: Path) -> None:
    give_verdicts(database, tenant, 3)
    give_verdicts(database, tenant, 2, segment="guest")
    give_verdicts(database, tenant, 4, segment=None)
    assert due(database, tenant, 4) == {}
    (run_id,) = begin(database, settings(tmp_path, after=3))
    with database.read() as session:
        run = runs.find(session, tenant, run_id)
        assert (run.segment, run.status, run.started_by) == ("gold", "queued", "service")
        assert run.reason == "3 new verdicts"


def test_verdicts_count_once(database: Database, tenant: str, tmp_path: Path) -> None:
    give_verdicts(database, tenant, 3)
    (run_id,) = begin(database, settings(tmp_path, after=3))
    assert begin(database, settings(tmp_path, after=3)) == []
    end(database, run_id)
    assert begin(database, settings(tmp_path, after=3)) == []
    give_verdicts(database, tenant, 3)
    assert len(begin(database, settings(tmp_path, after=3))) == 1


def test_a_run_that_is_on_its_way_is_enough(
    database: Database, tenant: str, tmp_path: Path
) -> None:
    with database.write() as session:
        runs.request(session, tenant, "gold", actor="t", reason="t")
    give_verdicts(database, tenant, 3)
    give_verdicts(database, tenant, 3, segment="guest")
    assert set(due(database, tenant, 3)) == {"gold", "guest"}
    begun = begin(database, settings(tmp_path, after=3))
    with database.read() as session:
        assert [runs.find(session, tenant, each).segment for each in begun] == ["guest"]


def test_what_is_withdrawn_does_not_count(database: Database, tenant: str) -> None:
    give_verdicts(database, tenant, 2)
    give_verdicts(database, tenant, 2, withdrawn_at=utc_now(), withdrawn_by="t")
    assert due(database, tenant, 3) == {}


def test_a_drift_alarm_is_content_with_fewer_verdicts(database: Database, tenant: str) -> None:
    certify(database, tenant)
    give_verdicts(database, tenant, 1)
    assert due(database, tenant, 1000) == {}
    give_verdicts(database, tenant, 59)
    assert due(database, tenant, 1000) == {"gold": "drift alarm, 60 new verdicts"}
    assert due(database, tenant, 60) == {"gold": "60 new verdicts"}


def test_an_alarm_does_not_train_again_what_learnt_from_it(
    database: Database, tenant: str, tmp_path: Path
) -> None:
    certify(database, tenant)
    give_verdicts(database, tenant, 60)
    (run_id,) = begin(database, settings(tmp_path, after=1000))
    end(database, run_id)
    assert begin(database, settings(tmp_path, after=1000)) == []


def test_a_marked_champion_is_trained_again_once(
    database: Database, tenant: str, tmp_path: Path
) -> None:
    add_champion(database, tenant, because="someone was erased")
    assert due(database, tenant, 1000) == {"gold": "someone was erased"}
    (run_id,) = begin(database, settings(tmp_path, after=1000))
    end(database, run_id)
    assert due(database, tenant, 1000) == {}


def test_an_unmarked_champion_is_left_alone(database: Database, tenant: str) -> None:
    add_champion(database, tenant, because=None)
    assert due(database, tenant, 1000) == {}


def test_other_tenants_verdicts_do_not_count(
    database: Database, tenant: str, tmp_path: Path
) -> None:
    give_verdicts(database, tenant, 3)
    with database.write() as session:
        other = models.Tenant(slug="other", name="other")
        session.add(other)
        session.flush()
        other_id = other.id
    assert due(database, other_id, 1) == {}
    (run_id,) = begin(database, settings(tmp_path, after=3))
    with database.read() as session:
        assert runs.find(session, tenant, run_id).created_at > utc_now() - timedelta(minutes=1)
