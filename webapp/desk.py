"""The desk: everything a ticket is answered with, built once per process.

The encoder and the adapters take seconds to load, so the desk opens in the background while the
process already says that it lives.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import select

from cascade import (
    Accepted,
    AnthropicMessages,
    Budgets,
    DraftRequest,
    Escalated,
    OpenAIChat,
    Policy,
    PriceTable,
    Provider,
    Step,
    Tier,
    Timeouts,
    Usage,
    answer,
)
from cascade.cache import Cache, Entry
from cascade.errors import BadPrices
from cascade.flights import Flights, Once
from cascade.policy import Source
from cascade.providers import Drafts
from cascade.scopes import Scope
from scoring import ScoringError
from scoring.customer import Customer
from scoring.segments import SHARED
from webapp import adapters, policies, schema
from webapp.cache_stores import DatabaseStore
from webapp.db import Database
from webapp.errors import BadSettings, NotReady
from webapp.knowledge import Knowledge, Library
from webapp.models import Tenant, utc_now
from webapp.settings import LlmSettings, Settings

if TYPE_CHECKING:
    from scoring.scorer import Score, Scorer

log = logging.getLogger(__name__)

TYPICAL_USAGE = Usage(input_tokens=1500, output_tokens=150)
"""A ticket's usual size, by which the built-in policy orders models from cheap to dear."""

IDLE_SECONDS = 3600.0
"""For how long nobody asked for an adapter before it may be let go: longer than any ticket takes
from its setup to its last score."""


@dataclass(frozen=True)
class Setup:
    """What one tenant's ticket meets: the live policy, adapters and knowledge at that moment."""

    tenant: str
    policy: Policy
    champions: Mapping[str, str]
    knowledge: Knowledge


class Desk:
    """Answers tickets with the scorer, providers and prices of this process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._prices = read_prices(settings)
        self._llms = {llm.model: make_provider(llm) for llm in settings.llms}
        self._store = DatabaseStore(database) if settings.cache else None
        self._flights: Flights[Drafts] = Flights()
        self._opening = Lock()
        self._asking = Lock()
        self._asked: dict[str, float] = {}
        self._scorer: Scorer | None = None
        self._library: Library | None = None
        self._problem = "the scorer is still being loaded"

    @property
    def sources(self) -> Mapping[str, Source]:
        """What kind of source each model is that a policy can ask here, by its name."""
        sources: dict[str, Source] = {"cache": "cache"} if self._store else {}
        return {**sources, "macros": "macro", **dict.fromkeys(self._llms, "llm")}

    @property
    def problem(self) -> str | None:
        """Why tickets cannot be answered right now, None when they can."""
        return None if self._scorer is not None else self._problem

    def open(self) -> None:
        """Load encoder and adapters; what stands in the way is raised and kept as `problem`."""
        with self._opening:
            if self._scorer is not None:
                return
            try:
                self._open()
            except Exception as exc:
                self._problem = f"{type(exc).__name__}: {exc}"
                raise

    def _open(self) -> None:
        if not schema.is_current(self._database):
            raise NotReady("the database is not up to date; run `frugaldesk db upgrade`")
        # Imported here because they bring torch, which everything but scoring does without.
        from scoring.encoder import load_encoder
        from scoring.registry import Registry
        from scoring.scorer import Scorer

        encoder = load_encoder(self._settings.scorer_base)
        scorer = Scorer(encoder, Registry(self._settings.adapters))
        with self._database.write() as session:
            tenants = session.scalars(select(Tenant.id)).all()
            policies.keep_built_in(session, tenants, self.built_in_policy())
        with self._database.read() as session:
            served = {
                version
                for tenant in tenants
                for version in adapters.champions(session, tenant).values()
            }
        # Loading takes seconds, in which no transaction keeps other processes waiting.
        self._load(scorer, served)
        self._library = Library(encoder.embed, encoder.digest)
        with self._database.read() as session:
            for tenant in tenants:
                self._library.of(session, tenant)
        self._scorer = scorer
        log.info("ready: %d adapters loaded", len(scorer.loaded))

    def built_in_policy(self) -> Policy:
        """Return what costs nothing first, then every configured model, cheapest first."""
        cheapest_first = sorted(
            self._llms, key=lambda model: self._prices.cost(model, TYPICAL_USAGE, utc_now())
        )
        threshold = self._settings.threshold
        return Policy(
            tiers=(
                *((Tier("cache", "cache", threshold),) if self._store else ()),
                Tier("macros", "macro", threshold),
                *(Tier(model, "llm", threshold) for model in cheapest_first),
            ),
            budgets=Budgets(
                self._settings.budget_per_ticket, self._settings.budget_per_segment_day
            ),
            deadline_s=self._settings.deadline_s,
        )

    def setup(self, tenant_id: str) -> Setup:
        """Return what this tenant's next ticket is answered with; raises `NotReady`."""
        if self._scorer is None or self._library is None:
            raise NotReady(self._problem)
        with self._database.read() as session:
            setup = Setup(
                tenant=tenant_id,
                policy=policies.live(session, tenant_id),
                champions=adapters.champions(session, tenant_id),
                knowledge=self._library.of(session, tenant_id),
            )
        self._serve(set(setup.champions.values()))
        return setup

    def _ready(self) -> "Scorer":
        if self._scorer is None:
            raise NotReady(self._problem)
        return self._scorer

    def _serve(self, versions: Set[str]) -> None:
        """See to it that these versions can score; raises `NotReady`."""
        try:
            self._load(self._ready(), versions)
        except ScoringError as exc:
            log.error("an adapter cannot be loaded: %s", exc)
            raise NotReady("an adapter cannot be loaded; the log says which and why") from exc

    def _load(self, scorer: "Scorer", versions: Set[str]) -> None:
        """Load these versions where that is missing; raises `ScoringError`.

        Whenever one is loaded, those that nobody asked for lately are let go.
        """
        now = time.monotonic()
        with self._asking:
            self._asked |= dict.fromkeys(versions, now)
        missing = sorted(versions - scorer.loaded)
        for version in missing:
            scorer.load(version)
        if missing:
            with self._asking:
                for idle in [each for each, at in self._asked.items() if now - at > IDLE_SECONDS]:
                    scorer.unload(idle)
                    del self._asked[idle]

    def answer(
        self,
        question: str,
        customer: Customer,
        setup: Setup,
        *,
        ticket: str,
        spent_today: Callable[[], Decimal],
        on_step: Callable[[Step], None],
        now: Callable[[], datetime] = utc_now,
    ) -> Accepted | Escalated:
        """Run the cascade for one question of one customer; `ticket` is its external id.

        Of a policy that mixes two ways, a ticket goes the same one each time.
        """
        request = DraftRequest(question, customer, setup.knowledge.passages_for(question))
        return answer(
            request,
            policy=setup.policy.for_ticket(ticket),
            providers=self._providers(setup),
            score=lambda answers: self.score(request, answers, setup.champions),
            prices=self._prices,
            spent_today=spent_today,
            now=now,
            clock=time.monotonic,
            on_step=on_step,
        )

    def cache(self, setup: Setup) -> Cache | None:
        """Return the tenant's answers given before under this knowledge; None where it is off."""
        if self._store is None:
            return None
        knowledge = setup.knowledge
        return Cache(self._store, knowledge.embed, tenant=setup.tenant, knowledge=knowledge.version)

    def remember(
        self, cache: Cache, entry_id: str, request: DraftRequest, text: str, scope: Scope
    ) -> Entry:
        """Store an answer for as long, and beside as many others, as the settings say."""
        return cache.remember(
            entry_id,
            request.question,
            text,
            request.customer,
            scope,
            lifetime=self._settings.cache_lifetime,
            limit=self._settings.cache_entries,
        )

    def _providers(self, setup: Setup) -> dict[str, Provider]:
        providers: dict[str, Provider] = {"macros": setup.knowledge.macros}
        cache = self.cache(setup)
        if cache is not None:
            providers["cache"] = cache
        for model, llm in self._llms.items():
            providers[model] = Once(llm, self._flights, tenant=setup.tenant)
        return providers

    def score(
        self, request: DraftRequest, answers: Sequence[str], champions: Mapping[str, str]
    ) -> "list[Score]":
        """Return each answer's score for the request's question, customer and nearest passage."""
        return self._scores(request, [(text, request.customer) for text in answers], champions)

    def score_with(
        self, request: DraftRequest, answers: Sequence[str], version: str
    ) -> list[float]:
        """Return what one adapter says of these answers, whether or not it is anybody's champion.

        Raises `NotReady` where it cannot be loaded.
        """
        self._serve({version})
        alone = {request.customer.segment or SHARED: version}
        return [each.value for each in self.score(request, answers, alone)]

    def score_for(
        self,
        request: DraftRequest,
        text: str,
        customers: Sequence[Customer],
        champions: Mapping[str, str],
    ) -> "list[Score]":
        """Return one answer's score for each of these customers, had they asked the question."""
        return self._scores(request, [(text, customer) for customer in customers], champions)

    def _scores(
        self,
        request: DraftRequest,
        answers: Sequence[tuple[str, Customer]],
        champions: Mapping[str, str],
    ) -> "list[Score]":
        from scoring.examples import Pair

        passage = request.passages[0].body if request.passages else None
        pairs = [Pair(request.question, text, customer, passage) for text, customer in answers]
        return self._ready().score(pairs, champions)

    def describe(self, tenant_id: str, customer: Customer) -> str:
        """Return in words what the scorer reads of a customer; raises `NotReady`."""
        setup = self.setup(tenant_id)
        return self._ready().describe(customer, setup.champions)


def read_prices(settings: Settings) -> PriceTable:
    """Return the operator's price table, or the one that is shipped.

    Raises `BadSettings` for a file that cannot be used, `cascade.errors.MissingPrice` where a
    configured model has no price in it.
    """
    try:
        table = PriceTable.from_toml(settings.prices) if settings.prices else PriceTable.shipped()
    except BadPrices as exc:
        raise BadSettings(f"FRUGALDESK_PRICES is {settings.prices}: {exc}") from exc
    table.check([llm.model for llm in settings.llms], utc_now())
    return table


def make_provider(llm: LlmSettings) -> Provider:
    """Return the HTTP client for one configured model."""
    kind = AnthropicMessages if llm.protocol == "anthropic" else OpenAIChat
    return kind(
        llm.model,
        llm.base_url,
        llm.api_key,
        timeouts=Timeouts(llm.connect_timeout_s, llm.read_timeout_s),
        max_output_tokens=llm.max_output_tokens,
    )
