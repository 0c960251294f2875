"""One caller's ticket in the cache: the question embedded and looked up, what is found scored.

The entries are the shop's training questions with their answers, and the questions of
`cache_questions.txt`; asked are the same in other words, each behind a greeting of its own, by
held-out customers. No question and no answer was read before. Timed are the tickets for which there
is something to score.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

import numpy as np

from benchmarks.cache_growth import new_database
from benchmarks.cache_pairs import Asked, written
from cascade import Cache, Deadline, DraftRequest
from cascade.cache import Embed
from scoring.customer import Customer
from scoring.encoder import load_encoder
from scoring.examples import Pair
from scoring.registry import Registry
from scoring.scorer import with_champions
from webapp import models
from webapp.cache_stores import DatabaseStore
from webapp.db import Database
from webapp.demo.records import Shop
from webapp.demo.seeding import as_scored

WARM_UP = ("Greetings!",)
ROUNDS = (("Hello,", "Hi there,"), ("Good morning!", "Dear team,"), ("Hey.", "Good evening!"))
"""Greetings of each round; told is the round that others on the machine disturb least."""

TENANT, KNOWLEDGE = "t-0", "v"


@dataclass(frozen=True)
class Once:
    """Milliseconds of the tickets that were timed, and how many answers were scored in each."""

    look_up: Sequence[float]
    score: Sequence[float]
    candidates: Sequence[int]
    entries: int

    @property
    def median_ms(self) -> float:
        """The median of looking up and scoring together."""
        return float(np.median(self._together))

    @property
    def p95_ms(self) -> float:
        """What 95 % of the tickets take at most."""
        return float(np.percentile(self._together, 95))

    @property
    def _together(self) -> Sequence[float]:
        return [sum(both) for both in zip(self.look_up, self.score, strict=True)]

    def __str__(self) -> str:
        return (
            f"{len(self.score)} tickets, {self.entries} entries, "
            f"{np.mean(self.candidates):.2f} answers scored; median {self.median_ms:.1f} ms, "
            f"of it look-up {np.median(self.look_up):.1f} and score {np.median(self.score):.1f}; "
            f"95 % {self.p95_ms:.1f} ms"
        )


def measured_once(kind: str, shop: Shop, registry: Registry) -> Once:
    """Fill a database of this kind, and time one ticket after the other."""
    with new_database(kind) as database:
        entries = list(_entries(shop))
        _fill(database, shop, entries)
        return _timed(database, shop, registry, len(entries))


def _cache(database: Database, embed: Embed) -> Cache:
    return Cache(DatabaseStore(database), embed, tenant=TENANT, knowledge=KNOWLEDGE)


def _entries(shop: Shop) -> Iterator[tuple[str, str]]:
    """Questions and answers; each answer says something that no other does."""
    known = dict.fromkeys(
        (each.question, each.answer)
        for each in shop.examples
        if each.split == "train" and each.label == 1
    )
    answers = [answer for _, answer in known]
    stored = dict.fromkeys(pair.before for pair in _asked())
    given = zip(stored, Random(7).sample(answers, len(stored)), strict=True)
    for number, (question, answer) in enumerate((*known, *given)):
        yield question, f"Regarding case {number}: {answer}"


def _asked() -> list[Asked]:
    return [each for each in written() if each.kind == "same"]


def _fill(database: Database, shop: Shop, entries: Sequence[tuple[str, str]]) -> None:
    maker, cache = as_scored(shop.customers[0]), _cache(database, load_encoder().embed)
    with database.write() as session:
        session.add(models.Tenant(id=TENANT, slug=TENANT, name=TENANT))
        session.flush()
        session.add(models.Customer(tenant_id=TENANT, external_id=maker.id, features={}))
    for number, (question, answer) in enumerate(entries):
        cache.remember(f"e-{number}", question, answer, maker, "public")


def _timed(database: Database, shop: Shop, registry: Registry, entries: int) -> Once:
    """Ask, with an encoder that has read nothing yet."""
    encoder = load_encoder()
    scorer, champions = with_champions(encoder, registry)
    cache = _cache(database, encoder.embed)
    customers = [as_scored(each) for each in shop.customers if each.held_out]
    random = Random(7)

    def asked(greetings: Sequence[str]) -> Once:
        look_up, score, candidates = [], [], []
        for greeting, pair in product(greetings, _asked()):
            request = DraftRequest(f"{greeting} {pair.now}", random.choice(customers), ())
            started = time.perf_counter()
            texts = cache.draft(request, deadline=Deadline.after(60)).texts
            found = time.perf_counter()
            if not texts:
                continue
            scorer.score(_pairs(request.question, texts, request.customer), champions)
            look_up.append(1000 * (found - started))
            score.append(1000 * (time.perf_counter() - found))
            candidates.append(len(texts))
        return Once(look_up, score, candidates, entries)

    asked(WARM_UP)
    return min((asked(greetings) for greetings in ROUNDS), key=lambda each: each.median_ms)


def _pairs(question: str, texts: Sequence[str], customer: Customer) -> list[Pair]:
    return [Pair(question, text, customer) for text in texts]
