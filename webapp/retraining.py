"""From feedback to a judged candidate: one run, readable top to bottom.

    claim ─► examples ─► train ─► score what was kept ─► judge ─► one commit

Nothing is half there: weights appear as a whole folder, rows in one transaction, and a run whose
worker dies begins again from what the database holds, with the same examples and seed.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from cascade import Policy
from cascade.recalibration import Recheck, Rescored, accepts, recalibrated, recheck
from cascade.verdicts import RULE
from scoring import ScoringError
from scoring.gate import Judgement, Part, judge
from scoring.registry import Manifest, Registry
from scoring.segments import SHARED
from webapp import adapters, labels, policies, promotion, runs
from webapp.db import Database
from webapp.errors import Refused, WebappError, places
from webapp.labels import Row
from webapp.models import Evaluation
from webapp.runs import HEARTBEAT_EVERY, Cancelled, Claim, Lost
from webapp.settings import Settings
from webapp.trainers import Stored, Task, Trainer, encoder_of, trainer_for

log = logging.getLogger(__name__)

Scores = NDArray[np.float64]

TOLD_EVERY_S = 0.5
NO_SEGMENT = "no segment"
WHAT = {"feedback": "held-out feedback", "regression": "regression set", "imported": "imported"}


@dataclass(frozen=True)
class Material:
    """What a run starts from: rows, and what is live at its beginning."""

    rows: labels.Split
    champions: Mapping[str, str]
    policy: Policy
    made_from: Mapping[str, Any]


def carry_out(
    database: Database, settings: Settings, run_id: str, *, trainer: Trainer | None = None
) -> None:
    """Carry out a queued run to its end, whatever that is; one that another worker has is left."""
    with database.write() as session:
        mine = runs.claim(session, run_id)
    if mine is None:
        return
    try:
        with _kept_alive(database, mine):
            _carry_out(database, settings, mine, trainer or trainer_for(settings.ray_address))
    except Lost:
        log.warning("run %s was taken for dead and is another worker's now", run_id)
    except Cancelled:
        _give_up(database, mine, "cancelled", "cancelled")
    except (ScoringError, WebappError) as exc:
        _give_up(database, mine, "failed", str(exc))
    except Exception as exc:
        log.error("run %s failed\n%s", run_id, places(exc))
        _give_up(database, mine, "failed", f"an internal error ({type(exc).__name__}); see the log")


def _carry_out(database: Database, settings: Settings, mine: Claim, trainer: Trainer) -> None:
    told = Reporter(database, mine)
    told.set_description("collecting examples")
    material = _material(database, mine)
    told.note(_counted(material.rows))
    registry = Registry(settings.adapters)
    stored = trainer(_task(settings, mine, material, registry), told)
    version = registry.add(*stored)
    told.set_description("judging the candidate")
    report = _judged(settings, mine, material, registry, stored)
    told.note(f"{version}: {report['verdict']}")
    _store(database, settings, mine, material, stored[0], report)


def _material(database: Database, mine: Claim) -> Material:
    with database.read() as session:
        live = policies.live_row(session, mine.tenant_id)
        return Material(
            rows=labels.split(labels.collect(session, mine.tenant_id, before=mine.created_at)),
            champions=adapters.champions(session, mine.tenant_id),
            policy=Policy.from_json(live.policy.document),
            made_from=live.policy.made_from or {},
        )


def _counted(rows: labels.Split) -> str:
    def count(which: Sequence[Row]) -> str:
        counts = {name: sum(row.origin == name for row in which) for name in WHAT}
        return ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "none"

    return f"learnt from: {count(rows.learnt)}; kept to judge by: {count(rows.kept)}; rule {RULE}"


def _task(settings: Settings, mine: Claim, material: Material, registry: Registry) -> Task:
    """Return what to train on: every segment's rows, because texts assert the same in each."""
    shared = material.champions.get(SHARED)
    encoder = encoder_of(settings.scorer_base)
    alone = mine.segment != SHARED and shared is not None
    return Task(
        examples=tuple(labels.capped(material.rows.learnt)),
        segment=mine.segment,
        shared=registry.read(shared, encoder.digest) if alone and shared else None,
        base=settings.scorer_base,
        seed=mine.seed,
        created=mine.created_at,
    )


def _judged(
    settings: Settings, mine: Claim, material: Material, registry: Registry, stored: Stored
) -> dict[str, Any]:
    """Return the evaluation's report: the judgement, the new thresholds, the certificate."""
    served = _served(mine.segment, material)
    rows = [row for row in material.rows.kept if (row.segment or NO_SEGMENT) in served]
    manifest = stored[0]
    before, after = _scores(settings, registry, material.champions, manifest, rows)
    judgement = judge(
        _parts(rows, before, after, material.policy),
        more_data=_has_more(registry, material, mine.segment, served),
        seed=mine.seed,
    )
    rescored = {name: _rescored(rows, before, after, name) for name in served if name != NO_SEGMENT}
    policy = recalibrated(material.policy, rescored)
    rechecks = _rechecked(policy, rescored, material.made_from)
    return _report(judgement, material, policy, rechecks)


def _served(segment: str, material: Material) -> list[str]:
    """Return the segments that an adapter of this name would score."""
    if segment != SHARED:
        return [segment]
    seen = {row.segment or NO_SEGMENT for row in material.rows.kept}
    return sorted(name for name in seen if name not in material.champions)


def _scores(
    settings: Settings,
    registry: Registry,
    champions: Mapping[str, str],
    manifest: Manifest,
    rows: Sequence[Row],
) -> tuple[Scores, Scores]:
    """Return what champion and candidate say of these rows, each (n,)."""
    from scoring.scorer import Scorer

    scorer = Scorer(encoder_of(settings.scorer_base), registry)
    for version in {*champions.values(), manifest.version}:
        scorer.load(version)
    pairs = [row.example.pair for row in rows]
    said = [
        np.array([each.value for each in scorer.score(pairs, live)], dtype=np.float64)
        for live in (champions, {**champions, manifest.segment: manifest.version})
    ]
    return said[0], said[1]


def _parts(
    rows: Sequence[Row],
    before: Scores,
    after: Scores,
    policy: Policy,
) -> list[Part]:
    """Return the rows by kind and segment, for the gate."""
    kinds = np.array([row.origin for row in rows])
    segments = np.array([row.segment or NO_SEGMENT for row in rows])
    parts = []
    for segment in np.unique(segments):
        known = None if segment == NO_SEGMENT else str(segment)
        for kind, name in WHAT.items():
            mine = np.flatnonzero((kinds == kind) & (segments == segment)).tolist()
            examples = [rows[index].example for index in mine]
            parts.append(
                Part(
                    name=name,
                    segment=str(segment),
                    labels=np.array([float(each.label) for each in examples]),
                    weights=np.array([each.weight for each in examples]),
                    customers=np.array([each.pair.customer.id for each in examples]),
                    champion=before[mine],
                    candidate=after[mine],
                    taken_champion=accepts(policy, known, before[mine]),
                    taken_candidate=accepts(policy, known, after[mine]),
                    strict=kind != "imported",
                )
            )
    return parts


def _rescored(
    rows: Sequence[Row],
    before: Scores,
    after: Scores,
    segment: str,
) -> Rescored:
    mine = np.flatnonzero([row.segment == segment for row in rows]).tolist()
    known = np.array([float(rows[index].example.label) for index in mine])
    return Rescored(known, before[mine], after[mine])


def _has_more(registry: Registry, material: Material, segment: str, served: Sequence[str]) -> bool:
    """Return whether the candidate learnt from verdicts that its segment's champion never saw."""
    own = material.champions.get(segment)
    if own is None:
        return True
    made = datetime.fromisoformat(registry.manifest(own).created)
    return any(
        row.origin == "feedback"
        and (row.segment or NO_SEGMENT) in served
        and row.example.at is not None
        and row.example.at > made
        for row in material.rows.learnt
    )


def _rechecked(
    policy: Policy, rescored: Mapping[str, Rescored], made_from: Mapping[str, Any]
) -> list[Recheck]:
    """Return whether the live policy's certificate is kept up, for each segment that changes."""
    certificate = made_from.get("certificate")
    if certificate is None:
        return []
    most, confidence = float(certificate["max_error"]), float(certificate["confidence"])
    return [
        recheck(policy, segment, rows, max_error=most, confidence=confidence)
        for segment, rows in rescored.items()
    ]


def _report(
    judgement: Judgement, material: Material, policy: Policy, rechecks: Sequence[Recheck]
) -> dict[str, Any]:
    broken = [each for each in rechecks if not each.holds]
    report = judgement.as_json()
    if broken:
        report["promote"] = False
        report["verdict"] = "refused: the policy's certificate could not be kept"
        report["reasons"] = [_lost(each) for each in broken] + list(report["reasons"])
    moved = policy.version != material.policy.version
    made_from = {**material.made_from, "recalibrated_from": material.policy.version}
    if "certificate" in made_from:
        made_from["certificate"] = {
            **made_from["certificate"],
            "tiers": policy.tiers_version,
            "rechecked": [asdict(each) for each in rechecks],
        }
    report["thresholds"] = {
        "from": material.policy.version,
        "to": policy.to_json() if moved else None,
        "made_from": made_from if moved else None,
    }
    report["certificate"] = [asdict(each) for each in rechecks]
    report["rows"] = {name: sum(r.origin == name for r in material.rows.learnt) for name in WHAT}
    return report


def _lost(each: Recheck) -> str:
    bound = 1.0 if each.bound is None else each.bound
    return (
        f"certificate of {each.segment}: of {each.accepted} held-out answers it would accept "
        f"{each.wrong} are wrong, so the share may be up to {bound:.1%}"
    )


def _store(
    database: Database,
    settings: Settings,
    mine: Claim,
    material: Material,
    manifest: Manifest,
    report: dict[str, Any],
) -> None:
    """Store adapter, evaluation and the run's end in one transaction, and promote if that is on."""
    against = material.champions.get(mine.segment) or material.champions.get(SHARED)
    with database.write() as session:
        run = runs.held(session, mine)
        adapter = adapters.stored(session, mine.tenant_id, manifest)
        adapters.record_customers(
            session,
            mine.tenant_id,
            [manifest.version],
            [row.example for row in material.rows.learnt],
            secret=settings.secret_key,
        )
        evaluation = Evaluation(
            tenant_id=mine.tenant_id,
            adapter_id=adapter.id,
            against=against,
            promote=report["promote"],
            report=report,
        )
        session.add(evaluation)
        runs.finish(run, adapter.id, report["verdict"])
        session.flush()
        if settings.auto_promote and evaluation.promote:
            runs.note(run, _promoted(session, mine.tenant_id, manifest.version))


def _promoted(session: Session, tenant_id: str, version: str) -> str:
    """Promote, and return what came of it: somebody may have moved a pointer meanwhile."""
    try:
        with session.begin_nested():
            promotion.promote(session, tenant_id, version, actor="service")
    except Refused as exc:
        return f"not promoted: {exc}"
    return "promoted, because FRUGALDESK_AUTO_PROMOTE is on"


def _give_up(database: Database, mine: Claim, status: str, why: str) -> None:
    with database.write() as session:
        runs.give_up(session, mine, status, why)


class Reporter:
    """Writes how a training goes into its run, and stops it where it is to stop.

    Each method raises `Cancelled` or `Lost`.
    """

    def __init__(self, database: Database, mine: Claim) -> None:
        self._database = database
        self._mine = mine
        self._done = 0.0
        self._told = 0.0
        self.total: float | None = None

    def set_description(self, desc: str) -> None:
        """Begin a stage."""
        with self._database.write() as session:
            run = runs.held(session, self._mine)
            run.stage = desc
            runs.note(run, desc)

    def note(self, line: str) -> None:
        """Add a line to the log."""
        with self._database.write() as session:
            runs.note(runs.held(session, self._mine), line)

    def update(self, n: float) -> None:
        """Count steps; they are written down twice a second at most."""
        self._done += n
        if time.monotonic() - self._told < TOLD_EVERY_S:
            return
        with self._database.write() as session:
            run = runs.held(session, self._mine)
            run.done = round(self._done)
            run.total = None if self.total is None else round(self.total)
        self._told = time.monotonic()


@contextmanager
def _kept_alive(database: Database, mine: Claim) -> Iterator[None]:
    """Beat for the run in a thread of its own, until the block ends or the run is lost."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_EVERY.total_seconds()):
            try:
                with database.write() as session:
                    if not runs.beat(session, mine):
                        return
            except Exception as exc:
                log.warning("run %s could not say that it lives\n%s", mine.run_id, places(exc))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
