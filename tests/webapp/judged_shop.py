"""A tenant whose adapters are rows alone, for tests of what is done with judgements."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from cascade import Policy, Tier
from scoring.bootstrap import Figure
from scoring.gate import Compared, Judgement
from tests.webapp.people import add_people
from webapp import adapters, customers, models, policies, promotion, suggestions
from webapp.db import Database
from webapp.models import utc_now

SHARED_1, GOLD_1, GOLD_2, GOLD_3 = "shared@00000000a001", *(f"gold@00000000b00{n}" for n in "123")
GUEST_1 = "guest@00000000c001"
BEFORE = Policy((Tier("macros", "macro", 0.6),))
AFTER = Policy((Tier("macros", "macro", 0.6, {"gold": 0.7}),))
ADMIN = "user:admin@t.example"
PART = Compared(
    name="held-out feedback",
    segment="gold",
    rows=24,
    customers=9,
    log_loss=Figure(-0.514, -0.702, -0.318),
    auc=Figure(0.31, 0.12, 0.44),
    ece_champion=0.212,
    ece_candidate=None,
    wrong_rows=15,
    wrong_champion=0.8,
    wrong_candidate=0.0667,
    losses=(),
    won=True,
)
BETTER = Judgement(
    True,
    "better than the champion",
    ("held-out feedback of gold: log loss -0.514 (-0.702 to -0.318)",),
    (PART,),
)
WORSE = Judgement(
    False,
    "refused: it would be worse",
    (
        "held-out feedback of gold: of 15 known-wrong answers it would accept 93.3%, "
        "the champion 0.0%",
    ),
    (PART,),
)


@dataclass
class JudgedShop:
    """The tenant "t": shared and gold adapters are live, `guest` falls back, macros answer."""

    database: Database
    tenant: str

    def adapter(self, version: str, *, marked: str | None = None) -> str:
        """Store an adapter; returns its id."""
        with self.database.write() as session:
            row = models.Adapter(
                tenant_id=self.tenant,
                segment=version.partition("@")[0],
                version=version,
                manifest={},
                marked_at=utc_now() if marked else None,
                marked_because=marked,
            )
            session.add(row)
            session.flush()
            return row.id

    def live(self, version: str) -> None:
        """Make a stored adapter its segment's champion, as if it had always been."""
        with self.database.write() as session:
            row = promotion.find(session, self.tenant, version)
            session.add(
                models.LiveAdapter(tenant_id=self.tenant, segment=row.segment, adapter_id=row.id)
            )

    def judge(
        self,
        version: str,
        judgement: Judgement = BETTER,
        *,
        against: str | None = GOLD_1,
        under: Policy = BEFORE,
        to: Policy | None = AFTER,
        certificate: Sequence[dict[str, Any]] = (),
    ) -> str:
        """Store how an adapter was judged; returns the evaluation's id."""
        thresholds: dict[str, Any] = {
            "from": under.version,
            "to": to and to.to_json(),
            "made_from": {},
        }
        report = {
            **asdict(judgement),
            "thresholds": thresholds,
            "certificate": list(certificate),
            "rows": {"feedback": 52, "regression": 0, "imported": 380},
        }
        with self.database.write() as session:
            row = models.Evaluation(
                tenant_id=self.tenant,
                adapter_id=promotion.find(session, self.tenant, version).id,
                against=against,
                promote=judgement.promote,
                report=report,
            )
            session.add(row)
            session.flush()
            return row.id

    def candidate(self, version: str, judgement: Judgement = BETTER, **told: Any) -> str:
        """Store an adapter with its judgement; returns its version."""
        self.adapter(version)
        self.judge(version, judgement, **told)
        return version

    def run(
        self,
        segment: str,
        status: str,
        *,
        version: str | None = None,
        ago_s: float = 60,
        **told: Any,
    ) -> str:
        """Store a training run as a worker would have left it; returns its id."""
        began = utc_now() - timedelta(seconds=ago_s)
        with self.database.write() as session:
            adapter = promotion.find(session, self.tenant, version) if version else None
            over = status in ("done", "failed", "cancelled")
            row = models.TrainingRun(
                tenant_id=self.tenant,
                segment=segment,
                status=status,
                adapter_id=adapter and adapter.id,
                created_at=began,
                started_at=None if status == "queued" else began,
                finished_at=began + timedelta(seconds=41) if over else None,
                heartbeat_at=utc_now() if status == "running" else None,
                **{
                    "started_by": ADMIN,
                    "reason": "started by an admin",
                    "stage": "waiting for a worker" if status == "queued" else status,
                    **told,
                },
            )
            session.add(row)
            session.flush()
            return row.id

    def tell(self, run_id: str, **told: Any) -> None:
        """Change a run as its worker would."""
        with self.database.write() as session:
            run = session.get_one(models.TrainingRun, run_id)
            for name, value in told.items():
                setattr(run, name, value)

    def suggest(
        self, customer: str, *, answer: str = "Yes.", score: float = 0.9, adapter: str = GOLD_1
    ) -> str:
        """Store an answered ticket of one step; returns the suggestion's id."""
        with self.database.write() as session:
            asker = customers.find(session, self.tenant, customer)
            ticket = suggestions.put_ticket(
                session, asker, external_id=None, subject="Return", body="May I return it?"
            )
            row = models.Suggestion(
                tenant_id=self.tenant,
                ticket_id=ticket.id,
                customer_id=asker.id,
                question="May I return it?",
                shown=customers.shown(session, asker),
                segment=asker.segment,
                policy=BEFORE.version,
                status="suggested" if score >= 0.6 else "escalated",
                answer=answer,
                score=score,
                threshold=0.6,
                tier=0,
                adapter=adapter,
                deadline_at=utc_now(),
            )
            session.add(row)
            session.flush()
            session.add(
                models.SuggestionStep(
                    tenant_id=self.tenant,
                    suggestion_id=row.id,
                    position=0,
                    tier=0,
                    model="macros",
                    source="macro",
                    answer=answer,
                    candidates=1,
                    score=score,
                    threshold=0.6,
                    adapter=adapter,
                    accepted=score >= 0.6,
                    cost=Decimal(0),
                    cost_estimated=False,
                    latency_ms=4,
                )
            )
            return row.id

    def say(self, suggestion_id: str, action: str, text: str | None = None) -> None:
        """Store a verdict."""
        with self.database.write() as session:
            session.add(
                models.Feedback(
                    tenant_id=self.tenant,
                    suggestion_id=suggestion_id,
                    actor="user:agent@t.example",
                    action=action,
                    final_text=text,
                    observed=1.0,
                )
            )

    def shadow(self, suggestion_id: str, version: str, score: float) -> None:
        """Store what a challenger said of a suggestion's only step."""
        with self.database.write() as session:
            session.add(
                models.ShadowScore(
                    tenant_id=self.tenant,
                    suggestion_id=suggestion_id,
                    position=0,
                    adapter=version,
                    score=score,
                )
            )

    def promote(self, version: str) -> None:
        """Promote it as the admin would."""
        with self.database.write() as session:
            promotion.promote(session, self.tenant, version, actor=ADMIN)

    def roll_back(self, segment: str) -> str | None:
        """Roll a segment back as the admin would; returns what is live for it then."""
        with self.database.write() as session:
            return promotion.roll_back(session, self.tenant, segment, actor=ADMIN)

    def challenge(self, version: str) -> None:
        """Let it challenge the champion."""
        with self.database.write() as session:
            promotion.challenge(session, self.tenant, version, actor=ADMIN)

    @property
    def champions(self) -> dict[str, str]:
        """What is live, by segment."""
        with self.database.read() as session:
            return adapters.champions(session, self.tenant)

    @property
    def challengers(self) -> dict[str, str]:
        """What challenges, by segment."""
        with self.database.read() as session:
            return promotion.challengers(session, self.tenant)

    @property
    def policy(self) -> str | None:
        """The version of the live policy."""
        with self.database.read() as session:
            return policies.live_version(session, self.tenant)

    def standing(self, segment: str) -> promotion.Standing:
        """How a segment is scored."""
        with self.database.read() as session:
            found = promotion.standings(session, self.tenant)
        return next(each for each in found if each.segment == segment)

    def entries(self, *actions: str) -> list[models.AuditEntry]:
        """The audit log's entries of these kinds, in order."""
        with self.database.read() as session:
            wanted = select(models.AuditEntry).where(models.AuditEntry.action.in_(actions))
            return list(session.scalars(wanted.order_by(models.AuditEntry.created_at)))


def open_judged_shop(database: Database) -> JudgedShop:
    """Add the tenant with the adapters that are live, its policy, and four customers."""
    with database.write() as session:
        tenant = add_people(session)
        policies.keep_built_in(session, [tenant], BEFORE)
        for name in ("gold-1", "gold-2", "guest-1"):
            segment = name.partition("-")[0]
            customers.put(session, tenant, name, segment=segment, features={"membership": segment})
        customers.put(session, tenant, "nobody-1", segment=None, features={})
    shop = JudgedShop(database, tenant)
    for version in (SHARED_1, GOLD_1):
        shop.adapter(version)
        shop.live(version)
    return shop
