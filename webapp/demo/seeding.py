"""Puts the synthetic shop into the database and its examples into files, once."""

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session
from tqdm import tqdm

from scoring.customer import Customer
from scoring.examples import Example, Pair, as_row, write_rows
from webapp import access, customers, knowledge, models
from webapp.db import Database
from webapp.demo.records import DemoCustomer, DemoExample, DemoTicket, Shop
from webapp.settings import Settings

T = TypeVar("T")

SLUG = "demo"
ADMIN_EMAIL = "admin@fernweh.example"
AGENT_EMAIL = "agent@fernweh.example"


@dataclass(frozen=True)
class DemoAccess:
    """How to get into the demo; kept in `var/demo.json`, which only its owner may read."""

    url: str
    api_key: str
    admin_email: str
    admin_password: str
    agent_email: str
    agent_password: str


def seed(database: Database, shop: Shop) -> str:
    """Add the shop as a tenant with all its rows unless it is there; returns the tenant's id."""
    with database.write() as session:
        tenant = _tenant(session)
        if tenant is not None:
            return tenant.id
        tenant = models.Tenant(slug=SLUG, name=shop.name, synthetic=True)
        session.add(tenant)
        session.flush()
        rows = _add_customers(session, tenant.id, shop)
        for ticket in _progress(shop.tickets, "adding tickets"):
            session.add(_ticket_row(tenant.id, rows[ticket.customer_id], ticket))
        for macro in shop.macros:
            knowledge.put_macro(
                session,
                tenant.id,
                macro.external_id,
                title=macro.title,
                questions=list(macro.questions),
                body=macro.body,
            )
        for passage in shop.passages:
            knowledge.put_passage(
                session, tenant.id, passage.external_id, title=passage.title, body=passage.body
            )
        return tenant.id


def write_examples(shop: Shop, folder: Path) -> tuple[Path, Path]:
    """Write the labelled examples as JSONL; returns the files to train on and to evaluate on.

    The file to evaluate on holds new customers, questions and answers, balanced given question and
    answer. The other holds unrelated and macro answers too, so that the scorer learns those.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train, heldout = folder / "examples.train.jsonl", folder / "examples.heldout.jsonl"
    known = {customer.external_id: customer for customer in shop.customers}
    everything = [*shop.examples, *shop.macro_examples]
    write_rows(train, (_row(each, known) for each in everything if each.split == "train"))
    write_rows(
        heldout,
        (_row(e, known) for e in everything if e.split == "heldout" and e.kind == "policy"),
    )
    return train, heldout


def give_access(database: Database, settings: Settings, tenant_id: str) -> DemoAccess:
    """Return the demo's key and passwords, made afresh where `var/demo.json` doesn't hold them."""
    path = settings.var / "demo.json"
    url = f"http://{settings.host}:{settings.port}"
    kept = _kept(path)
    with database.write() as session:
        if kept is None or access.find_api_key(session, kept.api_key) is None:
            kept = _fresh_access(session, tenant_id)
    found = DemoAccess(**{**asdict(kept), "url": url})
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
        json.dump(asdict(found), out, indent=2)
    partial.replace(path)
    return found


def as_scored(customer: DemoCustomer) -> Customer:
    """Return the customer as the scorer reads them."""
    return Customer(
        customer.external_id,
        customer.segment,
        customer.features,
        tuple(f"{day:%Y-%m-%d} {text}" for day, text in customer.history),
        customer.as_of,
    )


def _tenant(session: Session) -> models.Tenant | None:
    return session.scalar(select(models.Tenant).where(models.Tenant.slug == SLUG))


def _add_customers(session: Session, tenant_id: str, shop: Shop) -> dict[str, models.Customer]:
    rows = {}
    for customer in _progress(shop.customers, "adding customers"):
        row, _ = customers.put(
            session,
            tenant_id,
            customer.external_id,
            segment=customer.segment,
            features=customer.features,
            name=customer.name,
            email=customer.email,
        )
        for day, text in customer.history:
            customers.add_history(session, row, at=_noon(day), text=text)
        rows[customer.external_id] = row
    return rows


def _ticket_row(tenant_id: str, customer: models.Customer, ticket: DemoTicket) -> models.Ticket:
    return models.Ticket(
        tenant_id=tenant_id,
        customer_id=customer.id,
        external_id=ticket.external_id,
        subject=ticket.subject,
        body=ticket.body,
        status="open" if ticket.reply is None else "answered",
        reply=ticket.reply,
        replied_at=ticket.replied_at,
        created_at=ticket.created_at,
    )


def _fresh_access(session: Session, tenant_id: str) -> DemoAccess:
    passwords = {}
    for email, name, role in (
        (ADMIN_EMAIL, "Ada Admin", "admin"),
        (AGENT_EMAIL, "Gil Agent", "agent"),
    ):
        passwords[role] = secrets.token_urlsafe(12)
        access.put_user(
            session, tenant_id, email=email, name=name, role=role, password=passwords[role]
        )
    return DemoAccess(
        url="",
        api_key=access.create_api_key(session, tenant_id, "demo"),
        admin_email=ADMIN_EMAIL,
        admin_password=passwords["admin"],
        agent_email=AGENT_EMAIL,
        agent_password=passwords["agent"],
    )


def _kept(path: Path) -> DemoAccess | None:
    try:
        return DemoAccess(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _row(example: DemoExample, known: dict[str, DemoCustomer]) -> dict[str, Any]:
    customer = known[example.customer_id]
    pair = Pair(example.question, example.answer, as_scored(customer))
    at = datetime.combine(customer.as_of, time(12), UTC)
    return {
        **as_row(Example(pair, example.label, at)),
        "topic": example.topic,
        "stance": example.stance,
        "kind": example.kind,
    }


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), tzinfo=UTC)


def _progress(items: Iterable[T], what: str) -> Iterable[T]:
    shown: Iterable[T] = tqdm(items, desc=what, disable=None, leave=False)
    return shown
