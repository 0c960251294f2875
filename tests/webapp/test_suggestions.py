"""A suggestion's life in the database, with a desk whose models and scorer are scripted."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

import cascade
from cascade import (
    Accepted,
    Budgets,
    DraftRequest,
    Escalated,
    Policy,
    PriceTable,
    Step,
    Tier,
    Usage,
)
from cascade.policy import Instead
from cascade.simulated import Simulated
from scoring.customer import Customer as Asker
from webapp import customers, feedback, judging, models, panel, policies, reviews, suggestions
from webapp.audit import Caller
from webapp.db import Database
from webapp.errors import Refused, Unknown
from webapp.suggestions import Begun

PRICES = PriceTable.from_toml(
    '[[price]]\nmodel = "cheap"\neffective = "2026-01-01"\ninput_per_million = "1000"\n'
    'output_per_million = "1000"\n'
    '[[price]]\nmodel = "dear"\neffective = "2026-01-01"\ninput_per_million = "10000"\n'
    'output_per_million = "10000"\n'
)
USAGE = Usage(100, 20)
CHEAP_COST, DEAR_COST = Decimal("0.12"), Decimal("1.2")


@dataclass(frozen=True)
class Judged:
    """A score, as the scorer gives it."""

    value: float
    adapter: str = "gold@0123456789ab"


def _from(model: str, _request: DraftRequest) -> str:
    return f"from {model}"


@dataclass
class ScriptedDesk:
    """A desk with two simulated models, whose answers get the scores written here."""

    scores: dict[str, float] = field(default_factory=lambda: {"cheap": 0.4, "dear": 0.9})
    budgets: Budgets = field(default_factory=Budgets)
    instead: Instead | None = None
    breaks: Exception | None = None
    in_the_end: Callable[[], None] | None = None

    @property
    def setup(self) -> Any:
        """What `begin` is given: only the policy matters here."""

        class Setup:
            policy = Policy(
                (Tier("cheap", "simulated", 0.8), Tier("dear", "simulated", 0.8)),
                self.budgets,
                deadline_s=20,
                instead=self.instead,
            )

        return Setup()

    def answer(
        self,
        question: str,
        customer: Asker,
        setup: Any,
        *,
        ticket: str,
        spent_today: Callable[[], Decimal],
        on_step: Callable[[Step], None],
    ) -> Accepted | Escalated:
        """Run the real cascade over the scripted models."""
        if self.breaks:
            raise self.breaks
        providers = {
            model: Simulated(model, partial(_from, model), usage=USAGE) for model in self.scores
        }

        def score(answers: Sequence[str]) -> list[Judged]:
            return [Judged(self.scores[text.removeprefix("from ")]) for text in answers]

        outcome = cascade.answer(
            DraftRequest(question, customer, ()),
            policy=setup.policy.for_ticket(ticket),
            providers=providers,
            score=score,
            prices=PRICES,
            spent_today=spent_today,
            on_step=on_step,
        )
        if self.in_the_end:
            self.in_the_end()
        return outcome


HOPELESS = ScriptedDesk(scores={"cheap": 0.1, "dear": 0.2})


@dataclass(frozen=True)
class Shop:
    """One tenant with one customer and people, in a database of either kind."""

    database: Database
    caller: Caller
    customer_id: str
    admin_id: str
    rival_id: str

    def begin(self, desk: ScriptedDesk, external_id: str = "T-1", *, body: str = "May I?") -> Begun:
        with self.database.write() as session:
            customer = session.get_one(models.Customer, self.customer_id)
            ticket = suggestions.put_ticket(
                session, customer, external_id=external_id, subject="Return", body=body
            )
            return suggestions.begin(session, self.caller, ticket, desk.setup)

    def suggest(
        self, desk: ScriptedDesk, external_id: str = "T-1", *, body: str = "May I?"
    ) -> dict[str, Any]:
        begun = self.begin(desk, external_id, body=body)
        suggestions.run(self.database, desk, begun)  # type: ignore[arg-type]
        return self.shown(begun.suggestion_id)

    def reply(self, suggestion_id: str, text: str = "My own words") -> None:
        self.give(suggestion_id, "edited", text=text)

    def give(self, suggestion_id: str, action: str, *, text: str | None = None) -> None:
        with self.database.write() as session:
            row = suggestions.find(session, self.caller.tenant_id, suggestion_id)
            feedback.give(session, self.caller, row, action=action, final_text=text)

    def shown(self, suggestion_id: str) -> dict[str, Any]:
        with self.database.read() as session:
            return suggestions.as_json(
                suggestions.find(session, self.caller.tenant_id, suggestion_id)
            )

    def ticket(self, external_id: str = "T-1") -> models.Ticket:
        with self.database.read() as session:
            ours = models.Ticket.external_id == external_id
            return session.scalars(select(models.Ticket).where(ours)).one()

    def waiting(self) -> list[str]:
        with self.database.read() as session:
            return list(
                session.scalars(select(models.Review.id).where(models.Review.status == "open"))
            )


@pytest.fixture
def shop(database: Database) -> Shop:
    with database.write() as session:
        tenant = models.Tenant(slug="t", name="T")
        session.add(tenant)
        session.flush()
        customer, _ = customers.put(
            session, tenant.id, "c-1", segment="gold", features={"membership": "gold"}
        )
        people = [
            models.User(
                tenant_id=tenant.id, email=f"{n}@t.example", name=n, role="admin", password_hash=""
            )
            for n in ("ann", "bob")
        ]
        session.add_all(people)
        session.flush()
        return Shop(
            database, Caller(tenant.id, "key:test"), customer.id, people[0].id, people[1].id
        )


def test_the_first_good_enough_answer_is_stored_with_every_step(shop: Shop) -> None:
    made = shop.suggest(ScriptedDesk())
    assert made["status"] == "suggested"
    assert (made["answer"], made["tier"], made["score"]) == ("from dear", 1, 0.9)
    assert Decimal(made["cost_usd"]) == CHEAP_COST + DEAR_COST
    assert [step["accepted"] for step in made["steps"]] == [False, True]
    assert made["adapter"] == "gold@0123456789ab"


def test_a_mixed_policy_sends_a_ticket_one_way_and_is_named_as_a_whole(shop: Shop) -> None:
    desk = ScriptedDesk(instead=Instead(0.5, (Tier("dear", "simulated", 0.8),)))
    whole: Policy = desk.setup.policy
    with shop.database.write() as session:
        policies.publish(session, shop.caller.tenant_id, whole, origin="test", actor="test")
    for external_id in ("T-1", "T-2", "T-3", "T-4", "T-5", "T-6"):
        begun = shop.begin(desk, external_id)
        with shop.database.read() as session:
            running = session.get_one(models.Suggestion, begun.suggestion_id)
            meets = [tier.model for tier in panel.tiers_of(session, running)]
        suggestions.run(shop.database, desk, begun)  # type: ignore[arg-type]
        made = shop.shown(begun.suggestion_id)
        assert [step["model"] for step in made["steps"]] == meets
        assert meets == [tier.model for tier in whole.for_ticket(external_id).tiers]
        assert (made["policy"], made["tier"]) == (whole.version, len(meets) - 1)
    assert {len(whole.for_ticket(f"T-{number}").tiers) for number in range(1, 7)} == {1, 2}


def test_on_escalation_the_best_answer_is_kept_and_not_the_last(shop: Shop) -> None:
    made = shop.suggest(ScriptedDesk(scores={"cheap": 0.6, "dear": 0.2}))
    assert made["status"] == "escalated"
    assert made["good_enough"] is False
    assert (made["answer"], made["score"]) == ("from cheap", 0.6)
    assert len(shop.waiting()) == 1


def test_an_internal_error_is_an_escalation_that_quotes_nobody(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    made = shop.suggest(ScriptedDesk(breaks=RuntimeError("ann@t.example said something")))
    assert made["status"] == "escalated"
    assert "RuntimeError" in made["reason"]
    assert "ann@t.example" not in made["reason"]
    assert "RuntimeError" in caplog.text
    assert "ann@t.example" not in caplog.text


def test_after_an_internal_error_the_best_answer_seen_is_kept(shop: Shop) -> None:
    def fail() -> None:
        raise RuntimeError

    made = shop.suggest(ScriptedDesk(scores={"cheap": 0.6, "dear": 0.2}, in_the_end=fail))
    assert (made["status"], made["answer"], made["score"]) == ("escalated", "from cheap", 0.6)


def test_the_segments_daily_budget_counts_earlier_tickets(shop: Shop) -> None:
    desk = ScriptedDesk(budgets=Budgets(per_segment_day={"gold": CHEAP_COST + DEAR_COST}))
    assert shop.suggest(desk, "T-1")["status"] == "suggested"
    second = shop.suggest(desk, "T-2")
    assert second["status"] == "escalated"
    assert all("budget" in step["error"] for step in second["steps"])
    assert second["cost_usd"] == "0"


def test_a_run_that_died_is_escalated_with_what_it_had(shop: Shop) -> None:
    begun = shop.begin(ScriptedDesk())
    assert suggestions.settle_cut_off(shop.database) == 0
    late = models.utc_now() + suggestions.TURN_WITHIN + suggestions.GRACE
    assert suggestions.settle_cut_off(shop.database, now=late) == 1
    made = shop.shown(begun.suggestion_id)
    assert (made["status"], made["reason"]) == ("escalated", suggestions.CUT_OFF)
    assert len(shop.waiting()) == 1


def test_a_run_has_its_whole_deadline_from_when_its_turn_comes(shop: Shop) -> None:
    begun = shop.begin(ScriptedDesk())
    long_after = models.utc_now() + timedelta(seconds=20) + 2 * suggestions.GRACE
    assert suggestions.settle_cut_off(shop.database, now=long_after) == 0
    began = models.utc_now()
    suggestions.run(shop.database, ScriptedDesk(), begun)  # type: ignore[arg-type]
    assert shop.shown(begun.suggestion_id)["status"] == "suggested"
    with shop.database.read() as session:
        row = suggestions.find(session, shop.caller.tenant_id, begun.suggestion_id)
        assert (
            timedelta(0) <= row.deadline_at - began - timedelta(seconds=20) < timedelta(seconds=9)
        )


def test_a_run_whose_turn_comes_after_it_was_settled_asks_nobody(shop: Shop) -> None:
    begun = shop.begin(ScriptedDesk())
    settle_everything(shop)
    suggestions.run(shop.database, ScriptedDesk(), begun)  # type: ignore[arg-type]
    made = shop.shown(begun.suggestion_id)
    assert (made["status"], made["steps"]) == ("escalated", [])
    assert len(shop.waiting()) == 1


@pytest.mark.parametrize("dear", [0.9, 0.1])
def test_a_run_that_was_settled_while_it_asked_changes_nothing_any_more(
    shop: Shop, dear: float
) -> None:
    desk = ScriptedDesk(
        scores={"cheap": 0.4, "dear": dear}, in_the_end=partial(settle_everything, shop)
    )
    made = shop.suggest(desk)
    assert (made["status"], made["reason"]) == ("escalated", suggestions.CUT_OFF)
    assert len(shop.waiting()) == 1


def settle_everything(shop: Shop) -> None:
    suggestions.settle_cut_off(shop.database, now=models.utc_now() + timedelta(hours=1))


def test_of_two_who_settle_the_same_run_one_does(shop: Shop) -> None:
    begun = shop.begin(ScriptedDesk())
    with ThreadPoolExecutor(1) as other:
        with shop.database.write() as session:
            row = session.get_one(models.Suggestion, begun.suggestion_id, with_for_update=True)
            row.status = "escalated"
            session.add(
                models.Review(tenant_id=row.tenant_id, suggestion_id=row.id, reason="first")
            )
            session.flush()
            late = models.utc_now() + timedelta(hours=1)
            second = other.submit(suggestions.settle_cut_off, shop.database, now=late)
            time.sleep(0.3)
        assert second.result(timeout=10) == 0
    assert len(shop.waiting()) == 1


def test_a_later_suggestion_takes_the_place_of_a_waiting_escalation(shop: Shop) -> None:
    shop.suggest(HOPELESS)
    assert len(shop.waiting()) == 1
    shop.suggest(ScriptedDesk())
    assert shop.waiting() == []


def test_a_good_draft_after_an_escalation_takes_the_ticket_back(shop: Shop) -> None:
    shop.suggest(HOPELESS)
    assert shop.ticket().status == "escalated"
    shop.suggest(ScriptedDesk())
    assert shop.ticket().status == "open"


def test_an_escalation_dismissed_without_an_answer_gives_the_ticket_back(shop: Shop) -> None:
    shop.suggest(HOPELESS)
    (escalation_id,) = shop.waiting()
    with shop.database.write() as session:
        ann = session.get_one(models.User, shop.admin_id)
        escalation = reviews.find(session, shop.caller.tenant_id, escalation_id)
        reviews.claim(session, escalation, ann)
        reviews.dismiss(session, escalation, ann, note=None)
    assert shop.ticket().status == "open"


@pytest.mark.parametrize("older", [ScriptedDesk(), HOPELESS])
def test_a_run_that_ends_after_a_later_one_leaves_that_ones_escalation(
    shop: Shop, older: ScriptedDesk
) -> None:
    begun = shop.begin(older)
    shop.suggest(HOPELESS)
    newest = shop.waiting()
    suggestions.run(shop.database, older, begun)  # type: ignore[arg-type]
    assert shop.waiting() == newest
    assert shop.ticket().status == "escalated"


def test_an_agents_own_reply_closes_the_escalation_and_answers_the_ticket(shop: Shop) -> None:
    made = shop.suggest(HOPELESS)
    with shop.database.write() as session:
        row = suggestions.find(session, shop.caller.tenant_id, made["id"])
        with pytest.raises(Refused, match="good enough"):
            feedback.give(session, shop.caller, row, action="accepted")
        feedback.give(session, shop.caller, row, action="edited", final_text="My own words")
    assert shop.waiting() == []
    with shop.database.read() as session:
        ticket = session.scalars(select(models.Ticket)).one()
        assert (ticket.status, ticket.reply) == ("answered", "My own words")


def test_two_admins_do_not_collide(shop: Shop) -> None:
    shop.suggest(HOPELESS)
    (escalation_id,) = shop.waiting()
    with shop.database.write() as session:
        ann = session.get_one(models.User, shop.admin_id)
        bob = session.get_one(models.User, shop.rival_id)
        escalation = reviews.find(session, shop.caller.tenant_id, escalation_id)
        reviews.claim(session, escalation, ann)
        with pytest.raises(Refused, match="another admin"):
            reviews.claim(session, escalation, bob)
        with pytest.raises(Refused, match="claim"):
            reviews.dismiss(session, escalation, bob, note=None)
        assert reviews.next_open(session, ann.tenant_id, bob) is None
        assert reviews.next_open(session, ann.tenant_id, ann) is escalation


def test_the_queue_goes_on_by_age_past_what_others_hold_and_starts_over(shop: Shop) -> None:
    for external_id in ("T-1", "T-2", "T-3"):
        shop.suggest(HOPELESS, external_id)
    with shop.database.write() as session:
        ann = session.get_one(models.User, shop.admin_id)
        bob = session.get_one(models.User, shop.rival_id)
        by_age = select(models.Review).order_by(models.Review.created_at)
        first, second, third = session.scalars(by_age).all()
        assert reviews.next_after(session, first, bob) == second.id
        reviews.claim(session, second, ann)
        assert reviews.next_after(session, first, bob) == third.id
        assert reviews.next_after(session, third, bob) == first.id
        reviews.claim(session, first, ann)
        assert reviews.next_after(session, third, bob) is None


def test_a_correction_becomes_feedback_and_answers_the_ticket(shop: Shop) -> None:
    shop.suggest(HOPELESS)
    (escalation_id,) = shop.waiting()
    with shop.database.write() as session:
        ann = session.get_one(models.User, shop.admin_id)
        escalation = reviews.find(session, shop.caller.tenant_id, escalation_id)
        reviews.claim(session, escalation, ann)
        with pytest.raises(Refused, match="root cause"):
            judging.resolve(session, escalation, ann, final_text="Yes.", root_cause="mood")
        judging.resolve(session, escalation, ann, final_text="Yes.", root_cause="knowledge")
    with shop.database.read() as session:
        given = session.scalars(select(models.Feedback)).one()
        assert (given.action, given.final_text) == ("corrected", "Yes.")
        assert session.scalars(select(models.Ticket)).one().reply == "Yes."
        actions = set(session.scalars(select(models.AuditEntry.action)))
    assert {"escalation.claimed", "escalation.resolved", "suggestion.escalated"} <= actions


def test_a_follow_up_opens_the_answered_ticket_again(shop: Shop) -> None:
    shop.reply(shop.suggest(ScriptedDesk())["id"])
    shop.suggest(ScriptedDesk())
    assert (shop.ticket().status, shop.ticket().reply) == ("answered", "My own words")
    shop.suggest(ScriptedDesk(), body="And the hat?")
    asked = shop.ticket()
    assert (asked.body, asked.status, asked.reply, asked.replied_at) == (
        "And the hat?",
        "open",
        None,
        None,
    )
    with shop.database.read() as session:
        assert session.scalars(select(models.Feedback.final_text)).all() == ["My own words"]


def test_a_ticket_answered_already_does_not_wait_for_an_admin(shop: Shop) -> None:
    shop.reply(shop.suggest(ScriptedDesk())["id"])
    assert shop.suggest(HOPELESS)["status"] == "escalated"
    assert shop.waiting() == []
    assert shop.ticket().status == "answered"


@pytest.mark.parametrize("action", ["accepted", "edited", "dismissed"])
def test_an_answered_ticket_takes_no_other_verdict(shop: Shop, action: str) -> None:
    made = shop.suggest(ScriptedDesk())["id"]
    shop.reply(made)
    with pytest.raises(Refused, match="somebody has answered"):
        shop.give(made, action, text="Other words")
    assert shop.ticket().reply == "My own words"
    with shop.database.read() as session:
        assert len(session.scalars(select(models.Feedback)).all()) == 1


def test_a_verdict_on_an_older_draft_is_refused(shop: Shop) -> None:
    older, _ = shop.suggest(ScriptedDesk())["id"], shop.suggest(ScriptedDesk())
    with pytest.raises(Refused, match="newer draft"):
        shop.give(older, "accepted")
    assert shop.ticket().status == "open"


def test_a_draft_is_dismissed_once_and_can_still_be_edited(shop: Shop) -> None:
    made = shop.suggest(ScriptedDesk())["id"]
    shop.give(made, "dismissed")
    with pytest.raises(Refused, match="dismissed already"):
        shop.give(made, "dismissed")
    shop.reply(made)
    assert shop.ticket().status == "answered"


def test_of_two_who_answer_at_once_the_second_is_refused(shop: Shop) -> None:
    made = shop.suggest(ScriptedDesk())["id"]
    with ThreadPoolExecutor(1) as other:
        with shop.database.write() as session:
            row = suggestions.find(session, shop.caller.tenant_id, made)
            feedback.give(session, shop.caller, row, action="accepted")
            late = other.submit(shop.reply, made)
            time.sleep(0.3)
        with pytest.raises(Refused, match="somebody has answered"):
            late.result(timeout=10)


def test_an_admin_does_not_replace_an_agents_reply(shop: Shop) -> None:
    made = shop.suggest(HOPELESS)["id"]
    (escalation_id,) = shop.waiting()
    with shop.database.write() as session:
        ann = session.get_one(models.User, shop.admin_id)
        escalation = reviews.find(session, shop.caller.tenant_id, escalation_id)
        reviews.claim(session, escalation, ann)
    shop.reply(made)
    with shop.database.write() as session:
        escalation = reviews.find(session, shop.caller.tenant_id, escalation_id)
        with pytest.raises(Refused, match="somebody has answered"):
            judging.resolve(session, escalation, ann, final_text="No.", root_cause="model")
        reviews.dismiss(session, escalation, ann, note=None)
    assert (shop.ticket().status, shop.ticket().reply) == ("answered", "My own words")


def test_another_tenants_rows_are_unknown(shop: Shop) -> None:
    made = shop.suggest(ScriptedDesk())
    with shop.database.read() as session:
        with pytest.raises(Unknown):
            suggestions.find(session, "another-tenant", made["id"])
        with pytest.raises(Unknown):
            customers.find(session, "another-tenant", "c-1")


def test_the_same_external_id_of_two_customers_is_two_tickets(shop: Shop) -> None:
    with shop.database.write() as session:
        other, _ = customers.put(session, shop.caller.tenant_id, "c-2", segment=None, features={})
        first = session.get_one(models.Customer, shop.customer_id)
        tickets = {
            suggestions.put_ticket(session, each, external_id="T-9", subject="", body="b").id
            for each in (first, other, first)
        }
    assert len(tickets) == 2
