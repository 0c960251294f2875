"""Which answers the cache keeps: those a model gave and those people wrote, each where it is safe.

What a verdict takes away leaves in the verdict's own transaction. Storing comes after all that
people wait for: it asks the scorer about other customers, and where it fails it is logged and
costs no more than another call to a model.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
from sqlalchemy import or_
from sqlalchemy.orm import Session

import scoring
from cascade import DraftRequest, Policy, Tier
from cascade.cache import Cache, Entry
from cascade.lessons import WIDTH, Lesson, lesson, takes_place
from cascade.scopes import PEERS, Told, place
from cascade.verdicts import is_about_the_answer
from webapp import customers
from webapp.cache_stores import DatabaseStore, delete_entries
from webapp.db import Database
from webapp.desk import Desk, Setup
from webapp.drift import as_verdict
from webapp.errors import places
from webapp.models import CacheEntry, Feedback, Suggestion, TenantRow, utc_now
from webapp.suggestions import Begun

log = logging.getLogger(__name__)

MOST_OTHERS = 32
"""So many other customers are asked of the scorer at most before an answer is kept for them."""

_storing = Lock()
"""Held from the look for the same answer until it is stored: many may have got it at once."""


def after_run(database: Database, desk: Desk, begun: Begun) -> None:
    """Keep a model's accepted answer, or count the use of a kept one; a failure is logged."""
    change = partial(_after_run, database, desk, begun)
    _try(change, database, Suggestion, begun.suggestion_id)


def learn(database: Database, desk: Desk, feedback_id: str) -> None:
    """Keep the text that a person sent instead of a draft; a failure is logged."""
    _try(partial(_learn, database, desk, feedback_id), database, Feedback, feedback_id)


def take_back(session: Session, suggestion: Suggestion, verdict: Feedback) -> int:
    """Delete what a verdict says is wrong, wherever the same words are kept; how many there were.

    Of an answer that was not good enough for this customer only what was made for them leaves:
    that it does not suit them is what the scorer said, and others may well have it.
    """
    if suggestion.answer is None or not _lesson(suggestion, verdict).leaves:
        return 0
    meant = or_(CacheEntry.answer == suggestion.answer, CacheEntry.name == _origin(suggestion))
    if suggestion.status != "suggested":
        meant &= CacheEntry.customer == suggestion.customer.external_id
    return delete_entries(session, suggestion.tenant_id, meant)


@dataclass(frozen=True)
class Kept:
    """An answer to be kept: under which name, to what, for whom, and the tier that judges it."""

    name: str
    request: DraftRequest
    answer: str
    names: tuple[str, ...]
    tier: Tier
    instead_of: Entry | None = None

    @property
    def suggestion_id(self) -> str:
        """The suggestion that the answer stems from."""
        return self.name.partition(":")[0]


def _after_run(database: Database, desk: Desk, begun: Begun) -> None:
    with database.read() as session:
        row = session.get_one(Suggestion, begun.suggestion_id)
        origin, answer, tier = _origin(row), row.answer, row.tier
        kept = row.status == "suggested" and row.source == "llm" and _asks_cache(begun.setup.policy)
        ticket, customer, names = (
            row.ticket.external_id,
            customers.as_scored(row.shown),
            _names(row),
        )
        question = row.question
    if origin is not None:
        DatabaseStore(database).touch(begun.tenant_id, origin, utc_now())
    if not kept or answer is None or tier is None:
        return
    request = DraftRequest(question, customer, begun.setup.knowledge.passages_for(question))
    accepted_by = begun.setup.policy.for_ticket(ticket).tiers[tier]
    _keep(
        database,
        desk,
        begun.setup,
        Kept(begun.suggestion_id, request, answer, names, accepted_by),
    )
    # Who judged it while it was being stored found nothing to take back.
    with database.write() as session:
        row = session.get_one(Suggestion, begun.suggestion_id)
        for verdict in row.feedback:
            take_back(session, row, verdict)


def _learn(database: Database, desk: Desk, feedback_id: str) -> None:
    with database.read() as session:
        verdict = session.get_one(Feedback, feedback_id)
        row = session.get_one(Suggestion, verdict.suggestion_id)
        learnt, question, tenant = _lesson(row, verdict), row.question, row.tenant_id
        name = _origin(row) or row.id
        as_it_stood = row.status == "suggested" and learnt.stores == row.answer
        ticket, customer, names = (
            row.ticket.external_id,
            customers.as_scored(row.shown),
            _names(row),
        )
    # A model's accepted answer is kept already, and a macro or a kept answer needs no keeping.
    if learnt.stores is None or as_it_stood:
        return
    setup = desk.setup(tenant)
    tier = _cache_tier(setup.policy, ticket)
    if tier is None:
        return
    request = DraftRequest(question, customer, setup.knowledge.passages_for(question))
    old = None if learnt.leaves else DatabaseStore(database).get(tenant, name)
    _keep(
        database,
        desk,
        setup,
        Kept(f"{row.id}:{feedback_id[:8]}", request, learnt.stores, names, tier, old),
    )


def _keep(database: Database, desk: Desk, setup: Setup, kept: Kept) -> None:
    """Place the answer and store it, unless it is kept as widely already."""
    cache = desk.cache(setup)
    if cache is None:
        return
    request, customer = kept.request, kept.request.customer
    with database.read() as session:
        others = customers.sample(
            session, setup.tenant, beside=customer, of_each=PEERS, most=MOST_OTHERS
        )
    known = tuple(f"{each.title}\n{each.body}" for each in request.passages)
    placed = place(
        Told(request.question, kept.answer, kept.names, known),
        customer,
        others=others,
        holds_for=partial(_chances, desk, setup, kept),
        threshold_for=kept.tier.threshold_for,
    )
    with _storing:
        same = _same(cache, request, kept.answer)
        if same is not None and (same.pinned or WIDTH[same.scope] >= WIDTH[placed.scope]):
            return
        old = same or kept.instead_of
        replaces = old is not None and not old.pinned and takes_place(old.scope, placed.scope)
        name = old.id if old is not None and replaces else kept.name
        desk.remember(cache, name, request, kept.answer, placed.scope)
    _delete_of_erased(database, setup.tenant, kept, name)


def _delete_of_erased(database: Database, tenant: str, kept: Kept, name: str) -> None:
    """Delete the entry again where its customer was erased, and perhaps added anew, meanwhile.

    An erasure after this finds the entry itself.
    """
    with database.write() as session:
        if session.get(Suggestion, kept.suggestion_id) is None:
            delete_entries(session, tenant, CacheEntry.name == name)


def _same(cache: Cache, request: DraftRequest, answer: str) -> Entry | None:
    """Return the entry with this very answer to this very question that the customer may see."""
    hits = cache.look_up(request.question, request.customer).hits
    alike = (hit.entry for hit in hits if hit.entry.answer == answer)
    return next((each for each in alike if each.question == request.question), None)


def _chances(
    desk: Desk, setup: Setup, kept: Kept, others: Sequence[scoring.Customer]
) -> Sequence[float]:
    scores = desk.score_for(kept.request, kept.answer, others, setup.champions)
    chances: list[float] = np.asarray(kept.tier.chances([each.value for each in scores])).tolist()
    return chances


def _lesson(suggestion: Suggestion, verdict: Feedback) -> Lesson:
    said = as_verdict(verdict)
    if not is_about_the_answer(said):
        return Lesson(leaves=False, stores=None)
    return lesson(said, suggestion.answer or "")


def _origin(row: Suggestion) -> str | None:
    """Return the entry that a suggestion's accepted answer is, None where it is none."""
    return next((step.origin for step in row.steps if step.accepted), None)


def _names(row: Suggestion) -> tuple[str, ...]:
    return tuple(name for name in (row.customer.name, row.customer.email) if name)


def _asks_cache(policy: Policy) -> bool:
    every = (*policy.tiers, *(policy.instead.tiers if policy.instead else ()))
    return any(tier.source == "cache" for tier in every)


def _cache_tier(policy: Policy, ticket: str) -> Tier | None:
    """Return the tier at which a kept answer is judged, the ticket's own way first."""
    instead = policy.instead.tiers if policy.instead else ()
    every = (*policy.for_ticket(ticket).tiers, *policy.tiers, *instead)
    return next((tier for tier in every if tier.source == "cache"), None)


def _try(
    change: Callable[[], None], database: Database, table: type[TenantRow], row_id: str
) -> None:
    """Make the change that this row asks for; what fails because the row was erased is no error."""
    try:
        change()
    except Exception as exc:
        if _is_gone(database, table, row_id):
            log.info("%s was erased with its customer; nothing is remembered of it", row_id)
        else:
            log.error("nothing was remembered of %s\n%s", row_id, places(exc))


def _is_gone(database: Database, table: type[TenantRow], row_id: str) -> bool:
    with database.read() as session:
        return session.get(table, row_id) is None
