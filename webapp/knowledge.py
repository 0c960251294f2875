"""A tenant's written knowledge: macros to answer with, policy passages to answer from."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from threading import Lock
from typing import TextIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cascade import Macro, Macros, Passage
from webapp import contracts, models
from webapp.errors import BadKnowledge

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
G = TypeVar("G", bound=contracts.Given)
PASSAGES_SHOWN = 3
GOT_SHOWN = 80
"""Characters of a bad value that an error message quotes."""
Stamp = tuple[int, datetime | None, int, datetime | None]


@dataclass(frozen=True)
class Knowledge:
    """What one tenant's tickets can be answered from, embedded once.

    `version` names all that answers rest on: every macro, every passage, and the encoder. It is the
    same for the same ones, whenever and wherever they are read.
    """

    stamp: Stamp
    version: str
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

    def __init__(self, embed: Embed, encoder: str) -> None:
        """Embed with the encoder whose digest is `encoder`."""
        self._embed = embed
        self._encoder = encoder
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
        macros = [
            Macro(row.external_id, row.title, tuple(row.questions), row.body)
            for row in session.scalars(
                select(models.Macro)
                .where(models.Macro.tenant_id == tenant_id)
                .order_by(models.Macro.external_id)
            )
        ]
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
            version=version_of(self._encoder, macros, passages),
            macros=Macros(macros, self._embed),
            passages=passages,
            vectors=self._embed([f"{each.title}. {each.body}" for each in passages]),
            embed=self._embed,
        )


def version_of(encoder: str, macros: Sequence[Macro], passages: Sequence[Passage]) -> str:
    """Return a digest that another text, name or encoder changes, and the order of rows does not.

    Databases sort ids each in their own way.
    """
    texts = sorted(json.dumps(["macro", asdict(each)]) for each in macros)
    texts += sorted(json.dumps(["passage", asdict(each)]) for each in passages)
    return hashlib.sha256(json.dumps([encoder, texts]).encode()).hexdigest()[:32]


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
    for macro in _lines(macros, contracts.MacroGiven):
        put_macro(
            session,
            tenant_id,
            macro.id,
            title=macro.title,
            questions=macro.questions,
            body=macro.body,
        )
        count += 1
    for passage in _lines(passages, contracts.PassageGiven):
        put_passage(session, tenant_id, passage.id, title=passage.title, body=passage.body)
        count += 1
    return count


def _lines(source: TextIO | None, expected: type[G]) -> Iterator[G]:
    for number, line in enumerate(source or (), start=1):
        if not line.strip():
            continue
        try:
            yield expected.model_validate_json(line)
        except ValidationError as exc:
            where = f"{getattr(source, 'name', 'input')}, line {number}"
            raise BadKnowledge(f"{where}: {_told(exc)}") from None


def _told(exc: ValidationError) -> str:
    """Say of the first bad field what was got and what was expected."""
    error = exc.errors()[0]
    field = ".".join(map(str, error["loc"])) or "the line"
    if error["type"] == "missing":
        return f"{field} is missing; expected it beside {', '.join(error['input']) or 'the others'}"
    got = repr(error["input"])
    shown = got if len(got) <= GOT_SHOWN else f"{got[:GOT_SHOWN]}…"
    return f"{field} is {shown}: {error['msg'].removeprefix('Value error, ')}"


def _stamp(session: Session, tenant_id: str) -> Stamp:
    """Return what changes whenever a macro or passage is added, replaced or removed."""
    counts: list[tuple[int, datetime | None]] = []
    for table in (models.Macro, models.Passage):
        count, newest = session.execute(
            select(func.count(), func.max(table.updated_at)).where(table.tenant_id == tenant_id)
        ).one()
        counts.append((count, newest))
    return (*counts[0], *counts[1])
