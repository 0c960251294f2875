"""What moves an adapter's pointer, what stands in the way, and what goes with it."""

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy.orm import Session

from cascade import DraftRequest, Policy, Tier
from scoring.registry import Manifest
from tests.webapp.judged_shop import (
    ADMIN,
    AFTER,
    BEFORE,
    GOLD_1,
    GOLD_2,
    GOLD_3,
    GUEST_1,
    SHARED_1,
    WORSE,
    JudgedShop,
    open_judged_shop,
)
from webapp import adapters, audit, followup, models, policies, promotion, shadowing
from webapp.db import Database
from webapp.desk import Desk, Setup
from webapp.errors import NotReady, Refused, Unknown
from webapp.knowledge import Knowledge
from webapp.suggestions import Begun

SHARED_2 = "shared@00000000a002"


@pytest.fixture
def shop(database: Database) -> JudgedShop:
    return open_judged_shop(database)


def publish_policy(shop: JudgedShop, policy: Policy) -> None:
    with shop.database.write() as session:
        policies.publish(session, shop.tenant, policy, origin="written", actor=ADMIN)


# What stands in the way


def unjudged(shop: JudgedShop) -> None:
    shop.adapter(GOLD_2)


def refused(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2, WORSE)


def against_another_champion(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2, against=GOLD_3)


def under_another_policy(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    publish_policy(shop, Policy((Tier("macros", "macro", 0.9),)))


def learnt_from_somebody_erased(shop: JudgedShop) -> None:
    shop.adapter(GOLD_2, marked=adapters.LEARNT)
    shop.judge(GOLD_2)


def refused_when_judged_again(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.judge(GOLD_2, WORSE)


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (unjudged, "was never judged against the champion; retrain gold"),
        (refused, "refused: it would be worse"),
        (against_another_champion, f"judged against {GOLD_3}, but {GOLD_1} is live; retrain gold"),
        (under_another_policy, f"judged under policy {BEFORE.version}, but .* is live; retrain"),
        (learnt_from_somebody_erased, "is to be trained again: It learnt from a customer who was"),
        (refused_when_judged_again, "refused: it would be worse"),
    ],
)
def test_a_promotion_is_refused_and_says_why(
    shop: JudgedShop, prepare: Callable[[JudgedShop], None], why: str
) -> None:
    prepare(shop)
    policy = shop.policy
    with pytest.raises(Refused, match=why):
        shop.promote(GOLD_2)
    assert (shop.champions["gold"], shop.policy) == (GOLD_1, policy)
    assert shop.entries("adapter.promoted") == []
    with shop.database.read() as session:
        hindrance = promotion.hindrance(session, promotion.find(session, shop.tenant, GOLD_2))
    assert hindrance is not None


def test_what_is_live_or_unknown_is_not_promoted(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.promote(GOLD_2)
    with pytest.raises(Refused, match="is live for gold already"):
        shop.promote(GOLD_2)
    with pytest.raises(Unknown, match="no adapter 'gold@nothing' here"):
        shop.promote("gold@nothing")


# What a promotion moves


def test_a_promotion_moves_pointer_thresholds_and_audit_log(shop: JudgedShop) -> None:
    shop.adapter(GOLD_2)
    evaluation = shop.judge(GOLD_2)
    shop.promote(GOLD_2)
    assert shop.champions == {"shared": SHARED_1, "gold": GOLD_2}
    assert shop.policy == AFTER.version
    standing = shop.standing("gold")
    assert (standing.before, standing.can_roll_back) == (GOLD_1, True)
    (entry,) = shop.entries("adapter.promoted")
    assert (entry.actor, entry.subject) == (ADMIN, GOLD_2)
    assert entry.detail == {"before": GOLD_1, "evaluation": evaluation, "policy": AFTER.version}


def test_thresholds_that_need_not_move_stay(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2, to=None)
    shop.promote(GOLD_2)
    assert (shop.champions["gold"], shop.policy) == (GOLD_2, BEFORE.version)
    assert shop.roll_back("gold") == GOLD_1
    assert shop.policy == BEFORE.version


def test_a_failure_in_between_leaves_nothing(
    shop: JudgedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.candidate(GOLD_2)
    shop.adapter(GOLD_3)
    shop.challenge(GOLD_3)
    record = audit.record

    def full(
        session: Session, tenant: str, actor: str, action: str, subject: str, **detail: audit.Detail
    ) -> None:
        if action == "adapter.promoted":
            raise OSError("no space left on device")
        record(session, tenant, actor, action, subject, **detail)

    monkeypatch.setattr(audit, "record", full)
    with pytest.raises(OSError, match="no space left"):
        shop.promote(GOLD_2)
    assert shop.champions["gold"] == GOLD_1
    assert shop.challengers == {"gold": GOLD_3}
    assert shop.policy == BEFORE.version
    assert shop.entries("adapter.promoted") == []
    with shop.database.read() as session:
        assert [row.version for row in policies.stored(session, shop.tenant)] == [BEFORE.version]


def test_a_segments_first_own_adapter_is_judged_against_the_shared_one(shop: JudgedShop) -> None:
    shop.candidate(GUEST_1, against=SHARED_1, to=None)
    shop.promote(GUEST_1)
    assert shop.champions["guest"] == GUEST_1
    assert shop.standing("guest").can_roll_back
    assert shop.roll_back("guest") is None
    assert "guest" not in shop.champions
    standing = shop.standing("guest")
    assert (standing.champion, standing.own) == (SHARED_1, False)


# Back


def test_a_rollback_restores_adapter_and_thresholds(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.promote(GOLD_2)
    assert shop.roll_back("gold") == GOLD_1
    assert (shop.champions["gold"], shop.policy) == (GOLD_1, BEFORE.version)
    (entry,) = shop.entries("adapter.rolled_back")
    assert (entry.subject, entry.detail["to"]) == (GOLD_2, GOLD_1)
    assert entry.detail["policy"] == BEFORE.version


def test_a_second_rollback_does_not_undo_the_first(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.promote(GOLD_2)
    shop.roll_back("gold")
    assert not shop.standing("gold").can_roll_back
    with pytest.raises(Refused, match="there is nothing to undo"):
        shop.roll_back("gold")
    assert shop.champions["gold"] == GOLD_1
    shop.promote(GOLD_2)
    assert shop.champions["gold"] == GOLD_2


def test_a_rollback_goes_by_the_judgement_that_promoted(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.promote(GOLD_2)
    # The same examples make the same adapter, and the run judges it against itself.
    shop.judge(GOLD_2, WORSE, against=GOLD_2, under=AFTER, to=None)
    shop.roll_back("gold")
    assert (shop.champions["gold"], shop.policy) == (GOLD_1, BEFORE.version)


def test_a_policy_that_went_live_since_stays(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.promote(GOLD_2)
    own = Policy((Tier("macros", "macro", 0.95),))
    publish_policy(shop, own)
    shop.roll_back("gold")
    assert (shop.champions["gold"], shop.policy) == (GOLD_1, own.version)


@pytest.mark.parametrize("segment", ["gold", "shared", "guest", "nowhere"])
def test_nothing_is_rolled_back_where_nothing_was_before(shop: JudgedShop, segment: str) -> None:
    with pytest.raises(Refused, match="there is nothing to undo"):
        shop.roll_back(segment)


def test_the_first_shared_adapter_is_not_rolled_back_to_nothing(
    shop: JudgedShop, database: Database
) -> None:
    with database.write() as session:
        session.query(models.LiveAdapter).delete()
    shop.candidate(SHARED_2, against=None, to=None)
    shop.promote(SHARED_2)
    assert not shop.standing("shared").can_roll_back
    with pytest.raises(Refused, match="there is nothing to undo"):
        shop.roll_back("shared")
    assert shop.champions == {"shared": SHARED_2}


# Challengers


def test_a_challenge_begins_and_ends(shop: JudgedShop) -> None:
    shop.adapter(GOLD_2)
    shop.challenge(GOLD_2)
    assert shop.challengers == {"gold": GOLD_2}
    assert shop.champions["gold"] == GOLD_1
    with shop.database.write() as session:
        promotion.end_challenge(session, shop.tenant, "gold", actor=ADMIN)
        with pytest.raises(Refused, match="nothing challenges the champion of 'gold'"):
            promotion.end_challenge(session, shop.tenant, "gold", actor=ADMIN)
    assert shop.challengers == {}
    entries = shop.entries("adapter.challenges", "adapter.challenge_ended")
    assert [each.subject for each in entries] == [GOLD_2, GOLD_2]


def test_the_champion_cannot_challenge_itself(shop: JudgedShop) -> None:
    with pytest.raises(Refused, match="is the champion"):
        shop.challenge(GOLD_1)


def test_a_promotion_ends_the_challenge(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.challenge(GOLD_2)
    shop.promote(GOLD_2)
    assert shop.challengers == {}


class ScriptedDesk(Desk):
    """Stands for the desk: says what it is told to, and remembers who was asked."""

    def __init__(self, says: float) -> None:
        self.says = says
        self.asked: list[str] = []

    def score_with(
        self, request: DraftRequest, answers: Sequence[str], version: str
    ) -> list[float]:
        self.asked.append(version)
        if not 0 <= self.says <= 1:
            raise NotReady(f"the adapter {version} cannot be loaded")
        return [self.says] * len(answers)


class NoKnowledge(Knowledge):
    """Knowledge without a passage."""

    def __init__(self) -> None:
        pass

    def passages_for(self, question: str) -> tuple[()]:
        return ()


def begun(shop: JudgedShop, suggestion_id: str, policy: Policy = BEFORE) -> Begun:
    """A suggestion as it was begun under what is live now."""
    return Begun(
        shop.tenant, suggestion_id, Setup(shop.tenant, policy, shop.champions, NoKnowledge())
    )


def score(
    shop: JudgedShop, suggestion_id: str, says: float, *, policy: Policy = BEFORE
) -> tuple[int, list[str]]:
    """Have the challenger score a suggestion; returns how many answers, and who was asked."""
    desk = ScriptedDesk(says)
    scored = shadowing.score(shop.database, desk, begun(shop, suggestion_id, policy))
    return scored, desk.asked


def shadow_scores(shop: JudgedShop) -> list[tuple[str, float]]:
    with shop.database.read() as session:
        rows = session.query(models.ShadowScore).order_by(models.ShadowScore.created_at)
        return [(row.adapter, row.score) for row in rows]


def test_what_a_challenger_says_is_stored_and_not_served(shop: JudgedShop) -> None:
    made = shop.suggest("gold-1", score=0.9)
    assert score(shop, made, 0.2) == (0, [])
    shop.adapter(GOLD_2)
    shop.challenge(GOLD_2)
    assert score(shop, made, 0.2) == (1, [GOLD_2])
    assert shadow_scores(shop) == [(GOLD_2, 0.2)]
    with shop.database.read() as session:
        row = session.get_one(models.Suggestion, made)
        assert (row.score, row.adapter, row.status) == (0.9, GOLD_1, "suggested")
        assert [(step.score, step.adapter) for step in row.steps] == [(0.9, GOLD_1)]


def test_every_answer_is_shadowed_and_a_failure_stops_nothing(
    shop: JudgedShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.adapter(GOLD_2)
    shop.challenge(GOLD_2)
    followup.of_run(shop.database, ScriptedDesk(0.3), begun(shop, shop.suggest("gold-1")))
    assert shadow_scores(shop) == [(GOLD_2, 0.3)]
    made = shop.suggest("gold-2")
    followup.of_run(shop.database, ScriptedDesk(float("inf")), begun(shop, made))
    assert f"nothing was looked up of {made}" in caplog.text
    assert shadow_scores(shop) == [(GOLD_2, 0.3)]


def test_a_challengers_scores_are_read_by_the_tiers_calibration(shop: JudgedShop) -> None:
    shop.adapter(GOLD_2)
    shop.challenge(GOLD_2)
    calibrated = Policy((Tier("macros", "macro", 0.6, {}, ((0.0, 0.5), (1.0, 1.0))),))
    score(shop, shop.suggest("gold-1"), 0.2, policy=calibrated)
    ((version, stored),) = shadow_scores(shop)
    assert (version, round(stored, 6)) == (GOLD_2, 0.6)


@pytest.mark.parametrize(("customer", "shadowed"), [("guest-1", 1), ("nobody-1", 1), ("gold-1", 0)])
def test_the_shared_challenger_shadows_what_falls_back_to_shared(
    shop: JudgedShop, customer: str, shadowed: int
) -> None:
    shop.adapter(SHARED_2)
    shop.challenge(SHARED_2)
    made = shop.suggest(customer, adapter=SHARED_1)
    assert score(shop, made, 0.7) == (shadowed, [SHARED_2] * shadowed)


def test_nothing_is_stored_of_a_suggestion_that_was_erased(shop: JudgedShop) -> None:
    shop.adapter(GOLD_2)
    shop.challenge(GOLD_2)
    assert score(shop, models.new_id(), 0.7) == (0, [])


def test_a_comparison_counts_decisions_and_who_was_right(shop: JudgedShop) -> None:
    shop.adapter(GOLD_2)
    shop.challenge(GOLD_2)
    for old, new, verdict in (
        (0.9, 0.9, "accepted"),
        (0.9, 0.2, "dismissed"),
        (0.9, 0.2, "accepted"),
        (0.9, 0.1, None),
        (0.3, 0.8, None),
        (0.3, 0.3, None),
    ):
        made = shop.suggest("gold-1", score=old)
        shop.shadow(made, GOLD_2, new)
        if verdict == "dismissed":
            shop.say(made, "edited", "No, it is too late, and we are sorry to say so.")
        elif verdict:
            shop.say(made, verdict)
    # What another champion scored is no comparison with this one.
    shop.shadow(shop.suggest("gold-2", adapter=GOLD_3), GOLD_2, 0.9)
    with shop.database.read() as session:
        found = shadowing.compare(session, shop.tenant, shop.standing("gold"))
        assert shadowing.compare(session, shop.tenant, shop.standing("guest")) is None
    assert found == shadowing.Comparison(
        candidates=6,
        alike=2,
        only_challenger=1,
        only_champion=3,
        judged=3,
        right_challenger=2,
        right_champion=2,
    )


# What can be trained


def test_segments_are_those_of_customers_and_of_adapters(shop: JudgedShop) -> None:
    with shop.database.read() as session:
        assert promotion.segments(session, shop.tenant) == ["shared", "gold", "guest"]
        promotion.check_segment(session, shop.tenant, "guest")
        with pytest.raises(Refused, match="'silver' is unknown; expected one of shared, gold, gu"):
            promotion.check_segment(session, shop.tenant, "silver")


def test_a_published_adapter_can_be_taken_back_to_what_it_replaced(shop: JudgedShop) -> None:
    shop.candidate(GOLD_2)
    shop.promote(GOLD_2)
    brought = Manifest("gold", "base", "0", "0", 0, 9, 3, {}, "2026-11-01T00:00:00Z", {})
    with shop.database.write() as session:
        adapters.publish(session, shop.tenant, [brought], actor="cli")
    assert shop.champions["gold"] == brought.version
    assert shop.standing("gold").before == GOLD_2
    assert shop.roll_back("gold") == GOLD_2
    assert shop.policy == AFTER.version
