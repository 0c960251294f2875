"""Policies in the database and in files: versions, the live pointer, limits, words."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cascade import Budgets, Policy, Tier
from cascade.errors import BadPolicy
from cascade.policy import Instead
from webapp import models, policies, policy_files, policy_words
from webapp.db import Database
from webapp.errors import NotReady, Refused, Unknown

BUILT_IN = Policy((Tier("macros", "macro", 0.8),), Budgets(Decimal("0.05")), 60.0)
OPTIMISED = Policy(
    (
        Tier("macros", "macro", 0.7, {"gold": 0.65}, ((0.1, 0.2), (0.9, 0.95))),
        Tier("small", "llm", 0.0),
    ),
    instead=Instead(0.0625, (Tier("small", "llm", 0.0),)),
)
MADE_FROM = {
    "log": "outcomes.jsonl",
    "rows": 400,
    "train": {"cost": 0.0000123456, "quality": 0.91},
    "test": {"cost": 0.000013, "quality": 0.9},
    "choice": {"budget": 0.00002},
    "seed": 0,
}
SOURCES: dict[str, Any] = {"macros": "macro", "small": "llm"}


@pytest.fixture
def tenant(database: Database) -> str:
    with database.write() as session:
        row = models.Tenant(slug="t", name="T")
        session.add(row)
        session.flush()
        policies.keep_built_in(session, [row.id], BUILT_IN)
        return row.id


def publish(session: Session, tenant: str, policy: Policy = OPTIMISED) -> None:
    policies.publish(
        session, tenant, policy, origin=policies.OPTIMISED, actor="cli", made_from=MADE_FROM
    )


def file_of(policy: Policy, **extra: Any) -> str:
    return json.dumps({**json.loads(policy.to_json()), **extra})


# The live pointer


def test_a_published_policy_is_live_and_the_service_never_replaces_it(
    database: Database, tenant: str
) -> None:
    with database.write() as session:
        publish(session, tenant)
    for settings in (BUILT_IN, replace(BUILT_IN, deadline_s=30.0)):
        with database.write() as session:
            policies.keep_built_in(session, [tenant], settings)
    with database.read() as session:
        assert policies.live(session, tenant) == OPTIMISED
        row = policies.live_row(session, tenant).policy
        assert (row.origin, row.made_from) == (policies.OPTIMISED, MADE_FROM)


def test_the_built_in_policy_follows_the_settings(database: Database, tenant: str) -> None:
    newer = replace(BUILT_IN, deadline_s=30.0)
    with database.write() as session:
        policies.keep_built_in(session, [tenant], newer)
    with database.read() as session:
        assert policies.live(session, tenant) == newer


def test_a_built_in_version_that_a_person_made_live_stays(database: Database, tenant: str) -> None:
    newer = replace(BUILT_IN, deadline_s=30.0)
    with database.write() as session:
        policies.keep_built_in(session, [tenant], newer)
        policies.make_live(session, tenant, BUILT_IN.version, actor="user:ada")
        policies.keep_built_in(session, [tenant], newer)
    with database.read() as session:
        assert policies.live(session, tenant) == BUILT_IN


def test_who_goes_back_to_the_newest_built_in_version_follows_the_settings_again(
    database: Database, tenant: str
) -> None:
    newer = replace(BUILT_IN, deadline_s=30.0)
    with database.write() as session:
        publish(session, tenant)
        policies.make_live(session, tenant, BUILT_IN.version, actor="user:ada")
        policies.keep_built_in(session, [tenant], newer)
    with database.read() as session:
        assert policies.live(session, tenant) == newer


def test_the_way_back_is_known_and_in_the_audit_log(database: Database, tenant: str) -> None:
    with database.write() as session:
        publish(session, tenant)
    with database.write() as session:
        before = policies.version_before(session, tenant)
        assert before == BUILT_IN.version
        policies.make_live(session, tenant, before, actor="user:ada")
        assert policies.live(session, tenant) == BUILT_IN
    with database.read() as session:
        pointer = policies.live_row(session, tenant)
        assert (pointer.moved_by, pointer.version_before) == ("user:ada", OPTIMISED.version)
        moves = session.scalars(
            select(models.AuditEntry)
            .where(models.AuditEntry.action == "policy.published")
            .order_by(models.AuditEntry.created_at)
        ).all()
        assert [(each.subject, each.detail["before"]) for each in moves] == [
            (BUILT_IN.version, None),
            (OPTIMISED.version, BUILT_IN.version),
            (BUILT_IN.version, OPTIMISED.version),
        ]


def test_what_is_live_already_is_not_made_live_again(database: Database, tenant: str) -> None:
    for _ in range(2):
        with database.write() as session:
            publish(session, tenant)
    with database.read() as session:
        assert policies.version_before(session, tenant) == BUILT_IN.version
        assert len(policies.stored(session, tenant)) == 2


def test_there_is_no_way_back_from_the_first_policy(database: Database, tenant: str) -> None:
    with database.read() as session:
        with pytest.raises(Refused, match="no policy was live before"):
            policies.version_before(session, tenant)
        with pytest.raises(NotReady):
            policies.version_before(session, "another-tenant")


def test_only_a_stored_version_of_this_tenant_is_made_live(database: Database, tenant: str) -> None:
    with database.write() as session:
        other = models.Tenant(slug="o", name="O")
        session.add(other)
        session.flush()
        publish(session, other.id)
        with pytest.raises(Unknown, match=f"the newest are: {BUILT_IN.version}"):
            policies.make_live(session, tenant, OPTIMISED.version, actor="cli")


def test_who_looked_at_another_live_version_is_refused(database: Database, tenant: str) -> None:
    with database.write() as session:
        publish(session, tenant)
        with pytest.raises(Refused, match="meanwhile"):
            policies.make_live(
                session, tenant, BUILT_IN.version, actor="cli", instead_of=BUILT_IN.version
            )


def test_a_policy_that_is_only_stored_serves_nobody(database: Database, tenant: str) -> None:
    with database.write() as session:
        policies.store(session, tenant, OPTIMISED, origin=policies.WRITTEN, actor="user:ada")
    with database.read() as session:
        assert policies.live(session, tenant) == BUILT_IN


# Files


def test_a_file_holds_the_policy_and_what_it_was_made_from_without_the_rows() -> None:
    text = file_of(OPTIMISED, made_from={**MADE_FROM, "ids": ["0123", "4567"]})
    file = policy_files.read(text, name="P.json")
    assert file.policy == OPTIMISED
    assert file.made_from == MADE_FROM
    assert file.origin == policies.OPTIMISED
    by_hand = policy_files.read(OPTIMISED.to_json(), name="P.json")
    assert (by_hand.made_from, by_hand.origin) == (None, policies.WRITTEN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ("[1]", "cannot be read"),
        ("{}", "no 'tiers'"),
        ("[" * 100_000, "nested too deeply"),
        (file_of(OPTIMISED, made_from=[1]), "made_from is list; expected an object"),
        (file_of(OPTIMISED, made_from={"rows": "many"}), "made_from.rows"),
        (file_of(OPTIMISED, made_from={"test": {"cost": 1}}), "made_from.test.quality"),
        (file_of(OPTIMISED, made_from={"more": float("nan")}), "expected finite"),
        (file_of(OPTIMISED, made_from={"more": "a\x00"}), "U+0000"),
        (file_of(OPTIMISED, made_from={"more": "a" * 30_000}), "expected at most 20000"),
        (file_of(Policy((Tier("m", "llm", 0.5, {"\ud800": 0.5}),))), "U+D800"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(BadPolicy) as raised:
        policy_files.read(text, name="P.json")
    assert "P.json" in str(raised.value)
    assert said in str(raised.value)


def test_limits_that_a_policy_does_not_set_are_taken_over_each_for_itself() -> None:
    served = Policy(BUILT_IN.tiers, Budgets(Decimal("0.05"), {"gold": Decimal(5)}), deadline_s=60.0)
    assert policy_files.with_limits_of(OPTIMISED, served) == replace(
        OPTIMISED, budgets=served.budgets, deadline_s=60.0
    )
    own = replace(OPTIMISED, budgets=Budgets(Decimal(0)), deadline_s=20.0)
    limited = policy_files.with_limits_of(own, served)
    assert limited.budgets == Budgets(Decimal(0), {"gold": Decimal(5)})
    assert limited.deadline_s == 20.0


def test_a_policy_that_cannot_be_served_here_is_refused() -> None:
    policy_files.check_servable(OPTIMISED, SOURCES)
    with pytest.raises(Refused, match=r"asks 'small'.*no provider; it has: macros"):
        policy_files.check_servable(OPTIMISED, {"macros": "macro"})
    with pytest.raises(Refused, match="calls 'small' llm; here it is macro"):
        policy_files.check_servable(OPTIMISED, {"macros": "macro", "small": "macro"})
    only_instead = replace(BUILT_IN, instead=OPTIMISED.instead)
    with pytest.raises(Refused, match="asks 'small'"):
        policy_files.check_servable(only_instead, {"macros": "macro"})
    with pytest.raises(Refused, match="at most 600 seconds"):
        policy_files.check_servable(replace(BUILT_IN, deadline_s=601.0), SOURCES)


# Words


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_change_is_told_in_words() -> None:
    assert [plain(line) for line in policy_words.changes(BUILT_IN, OPTIMISED)] == [
        "Asked in this order: macros → macros, small",
        "macros needs: 80 % → 70 %, gold 65 %",
        "scores of macros stand for: none → 20 % to 95 %, 2 points",
        "small needs: none → 0 %",
        "Tickets that go another way: none → 6.25 %",
        "Another way: asked in this order: none → small",
        "Another way: small needs: none → 0 %",
        "Budget for a ticket: $0.05 → none",
        "Deadline: 60 s → 30 s",
    ]
    assert policy_words.changes(BUILT_IN, BUILT_IN) == []
    slight = replace(BUILT_IN, tiers=(Tier("macros", "macro", 0.80001),))
    assert policy_words.changes(BUILT_IN, slight) == ["Something smaller than what is shown here"]


def test_budgets_of_the_day_are_told_by_segment() -> None:
    budgets = Budgets(None, {"gold": Decimal(5), "*": Decimal("0.5")})
    told = policy_words.limits(replace(BUILT_IN, budgets=budgets))
    assert told["Budget a day for gold"] == "$5"
    assert told["Budget a day for every other segment"] == "$0.5"


def test_estimates_are_told_with_their_log_and_rows() -> None:
    told = {about: plain(text) for about, text in policy_words.estimates(MADE_FROM).items()}
    assert told == {
        "Log": "outcomes.jsonl, 400 rows",
        "Chosen by": "budget 0.00002",
        "On the rows it was chosen on": "$0.0000123 a ticket, 91 % right",
        "On rows kept out": "$0.000013 a ticket, 90 % right",
    }
    assert policy_words.estimates(None) == {}
    assert policy_words.estimates({}) == {}
