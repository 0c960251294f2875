"""A tenant's written knowledge: macros to answer with, policy passages to answer from."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cascade import Macro, Macros, Passage
from webapp import models
from webapp.errors import BadKnowledge

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
PASSAGES_SHOWN = 3
Stamp = tuple[int, datetime | None, int, datetime | None]


@dataclass(frozen=True)
class Knowledge:
    """What one tenant's tickets can be answered from, embedded once."""

    stamp: Stamp
    macros: Macros
    passages: tuple[Passage, ...]
    vectors: NDArray[np.float32]
    embed: Embed

    def passages_for(self, question: str) -> tuple[Passage, ...]:
        """Return the passages nearest to the question, nearest first."""
        if not self.passages:
            return ()
        similarity = self.vectors @ self.embed([question])[0]
        nearest = np.argsort(-similarity, kind="stable")[:PASSAGES_SHOWN]
        return tuple(self.passages[int(i)] for i in nearest)


class Library:
    """Every tenant's knowledge, read from the database again when a row of it has changed."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._known: dict[str, Knowledge] = {}
        self._lock = Lock()

    def of(self, session: Session, tenant_id: str) -> Knowledge:
        """Return the tenant's knowledge as the database holds it now."""
        stamp = _stamp(session, tenant_id)
        with self._lock:
            known = self._known.get(tenant_id)
            if known is None or known.stamp != stamp:
                known = self._known[tenant_id] = self._read(session, tenant_id, stamp)
            return known

    def _read(self, session: Session, tenant_id: str, stamp: Stamp) -> Knowledge:
        macros = session.scalars(
            select(models.Macro)
            .where(models.Macro.tenant_id == tenant_id)
            .order_by(models.Macro.external_id)
        )
        passages = tuple(
            Passage(row.external_id, row.title, row.body)
            for row in session.scalars(
                select(models.Passage)
                .where(models.Passage.tenant_id == tenant_id)
                .order_by(models.Passage.external_id)
            )
        )
        return Knowledge(
            stamp=stamp,
            macros=Macros(
                [
                    Macro(row.external_id, row.title, tuple(row.questions), row.body)
                    for row in macros
                ],
                self._embed,
            ),
            passages=passages,
            vectors=self._embed([f"{each.title}. {each.body}" for each in passages]),
            embed=self._embed,
        )


def put_macro(
    session: Session,
    tenant_id: str,
    external_id: str,
    *,
    title: str,
    questions: list[str],
    body: str,
) -> None:
    """Add or replace one macro."""
    row = session.scalar(
        select(models.Macro).where(
            models.Macro.tenant_id == tenant_id, models.Macro.external_id == external_id
        )
    ) or models.Macro(tenant_id=tenant_id, external_id=external_id)
    row.title, row.questions, row.body = title, questions, body
    session.add(row)


def put_passage(
    session: Session, tenant_id: str, external_id: str, *, title: str, body: str
) -> None:
    """Add or replace one policy passage."""
    row = session.scalar(
        select(models.Passage).where(
            models.Passage.tenant_id == tenant_id, models.Passage.external_id == external_id
        )
    ) or models.Passage(tenant_id=tenant_id, external_id=external_id)
    row.title, row.body = title, body
    session.add(row)


def import_lines(
    session: Session, tenant_id: str, *, macros: TextIO | None, passages: TextIO | None
) -> int:
    """Add or replace what the JSONL files hold; returns how many.

    Raises `BadKnowledge` naming file, line and expectation, with nothing kept if the caller's
    transaction is rolled back.
    """
    count = 0
    for row in _lines(macros, {"id": str, "title": str, "questions": list, "body": str}):
        put_macro(
            session,
            tenant_id,
            row["id"],
            title=row["title"],
            questions=[str(question) for question in row["questions"]],
            body=row["body"],
        )
        count += 1
    for row in _lines(passages, {"id": str, "title": str, "body": str}):
        put_passage(session, tenant_id, row["id"], title=row["title"], body=row["body"])
        count += 1
    return count


def _lines(source: TextIO | None, expected: dict[str, type]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(source or (), start=1):
        if not line.strip():
            continue
        where = f"{getattr(source, 'name', 'input')}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise BadKnowledge(f"{where}: {exc}; expected one JSON object") from exc
        for field, kind in expected.items():
            if not isinstance(row, dict) or not isinstance(row.get(field), kind):
                raise BadKnowledge(f"{where}: expected {field} as {kind.__name__}")
        yield row


def _stamp(session: Session, tenant_id: str) -> Stamp:
    """Return what changes whenever a macro or passage is added, replaced or removed."""
    counts: list[tuple[int, datetime | None]] = []
    for table in (models.Macro, models.Passage):
        count, newest = session.execute(
            select(func.count(), func.max(table.updated_at)).where(table.tenant_id == tenant_id)
        ).one()
        counts.append((count, newest))
    return (*counts[0], *counts[1])
