"""Training runs as rows: one at a time, held by one worker, freed when it dies."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.webapp.people import add_people
from webapp import models, runs
from webapp.db import Database
from webapp.errors import Refused
from webapp.models import utc_now

LATER = runs.LOST_AFTER + timedelta(seconds=1)


@pytest.fixture
def tenant(database: Database) -> str:
    """A tenant that a run can be requested for."""
    with database.write() as session:
        return add_people(session)


def request(database: Database, tenant: str, segment: str = "gold") -> str:
    with database.write() as session:
        return runs.request(session, tenant, segment, actor="test", reason="test").id


def claim(database: Database, run_id: str) -> runs.Claim:
    with database.write() as session:
        mine = runs.claim(session, run_id)
    assert mine is not None
    return mine


def found(database: Database, run_id: str) -> models.TrainingRun:
    with database.read() as session:
        return session.get_one(models.TrainingRun, run_id)


def bury(database: Database) -> list[str]:
    with database.write() as session:
        return runs.take_from_the_dead(session, now=utc_now() + LATER)


def test_a_segment_has_one_run_at_a_time(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    with pytest.raises(Refused, match="queued or running already"):
        request(database, tenant)
    request(database, tenant, "guest")
    mine = claim(database, run_id)
    with pytest.raises(Refused, match="queued or running already"):
        request(database, tenant)
    with database.write() as session:
        runs.give_up(session, mine, "failed", "out of luck")
    request(database, tenant)


def test_of_two_workers_one_gets_the_run(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    claim(database, run_id)
    with database.write() as session:
        assert runs.claim(session, run_id) is None


def test_a_run_whose_worker_died_is_taken_up_again_and_then_fails(
    database: Database, tenant: str
) -> None:
    run_id = request(database, tenant)
    for attempt in range(1, runs.MOST_ATTEMPTS + 1):
        claim(database, run_id)
        assert found(database, run_id).attempt == attempt
        assert bury(database) == ([run_id] if attempt < runs.MOST_ATTEMPTS else [])
    run = found(database, run_id)
    assert run.status == "failed"
    assert "its worker was lost 3 times; start it again" in (run.error or "")
    request(database, tenant)


def test_a_living_worker_keeps_its_run(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    mine = claim(database, run_id)
    with database.write() as session:
        assert runs.beat(session, mine)
        assert runs.take_from_the_dead(session) == []
    assert found(database, run_id).status == "running"


def test_a_worker_taken_for_dead_can_do_no_harm(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    late = claim(database, run_id)
    bury(database)
    claim(database, run_id)
    with database.write() as session:
        assert not runs.beat(session, late)
        with pytest.raises(runs.Lost):
            runs.held(session, late)
        runs.give_up(session, late, "failed", "too late")
    assert found(database, run_id).status == "running"


def test_a_queued_run_is_cancelled_at_once(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    with database.write() as session:
        runs.cancel(session, session.get_one(models.TrainingRun, run_id), actor="test")
    assert found(database, run_id).status == "cancelled"
    with database.write() as session:
        assert runs.claim(session, run_id) is None
        with pytest.raises(Refused, match="cancelled already"):
            runs.cancel(session, session.get_one(models.TrainingRun, run_id), actor="test")


def test_a_running_one_stops_at_its_next_word(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    mine = claim(database, run_id)
    with database.write() as session:
        runs.cancel(session, session.get_one(models.TrainingRun, run_id), actor="test")
        with pytest.raises(runs.Cancelled):
            runs.held(session, mine)


def test_one_that_was_to_stop_does_not_begin_again(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    claim(database, run_id)
    with database.write() as session:
        runs.cancel(session, session.get_one(models.TrainingRun, run_id), actor="test")
    assert bury(database) == []
    assert found(database, run_id).status == "cancelled"


def test_what_nobody_was_told_of_is_named_again(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    with database.write() as session:
        assert runs.take_from_the_dead(session) == [run_id]


def test_requests_and_cancellations_are_in_the_audit_log(database: Database, tenant: str) -> None:
    run_id = request(database, tenant)
    with database.write() as session:
        runs.cancel(session, session.get_one(models.TrainingRun, run_id), actor="test")
    with database.read() as session:
        entries = session.scalars(
            select(models.AuditEntry.action).where(models.AuditEntry.subject == run_id)
        )
        assert sorted(entries) == ["run.cancelled", "run.requested"]
