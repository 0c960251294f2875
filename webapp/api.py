"""The HTTP interface helpdesks call: suggestions, customers, feedback."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from apiflask import APIBlueprint, APIFlask, HTTPError, HTTPTokenAuth
from flask import g
from pydantic import ValidationError
from sqlalchemy import and_, or_, select

from webapp import audit, contracts, customers, feedback, suggestions
from webapp.access import caller_of_key, csrf
from webapp.audit import Caller
from webapp.context import database, desk
from webapp.errors import Unknown
from webapp.idempotency import idempotent
from webapp.models import Customer, Suggestion
from webapp.problems import problem

blueprint = APIBlueprint("api", __name__, url_prefix="/api/v1", tag="API")
keys = HTTPTokenAuth(description="An API key, made with `frugaldesk keys create`.")


def install(app: APIFlask) -> None:
    """Register the API; it is called with keys, so forms' CSRF tokens don't apply to it."""
    csrf.exempt(blueprint)
    app.register_blueprint(blueprint)
    app.config["HTTP_ERROR_SCHEMA"] = contracts.PROBLEM
    app.config["VALIDATION_ERROR_SCHEMA"] = contracts.PROBLEM
    app.spec_processor(_describe_problems)


def _describe_problems(document: dict[Any, Any] | str) -> dict[Any, Any] | str:
    """Give every error response in the OpenAPI document the media type it is sent with."""
    if isinstance(document, str):
        return document
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation.get("responses", {}).items():
                content = response.get("content", {})
                if status >= "400" and "application/json" in content:
                    content["application/problem+json"] = content.pop("application/json")
    return document


def _caller(token: str) -> Caller | None:
    found: Caller | None = caller_of_key(token)
    g.caller = found
    return found


def _unauthorised(error: HTTPError) -> Any:
    response = problem(401, "expected `Authorization: Bearer <api key>` with a live key")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


keys.verify_token(_caller)
keys.error_processor(_unauthorised)


@blueprint.post("/suggestions")
@blueprint.auth_required(keys)
@idempotent
@blueprint.input(contracts.SuggestionAsked, arg_name="asked")
@blueprint.output(contracts.SuggestionShown, status_code=201)
def suggest(asked: contracts.SuggestionAsked) -> Any:
    """Answer a ticket for one customer: the cheapest good enough answer, or an escalation."""
    setup = desk().setup(g.caller.tenant_id)
    with database().write() as session:
        customer = _customer_named(session, asked.customer.external_id)
        ticket = suggestions.put_ticket(
            session,
            customer,
            external_id=asked.ticket.external_id,
            subject=asked.ticket.subject,
            body=asked.ticket.body,
        )
        begun = suggestions.begin(session, g.caller, ticket, setup)
    suggestions.run(database(), desk(), begun)
    with database().read() as session:
        return suggestions.as_json(
            suggestions.find(session, g.caller.tenant_id, begun.suggestion_id)
        )


@blueprint.get("/suggestions")
@blueprint.auth_required(keys)
@blueprint.input(contracts.SuggestionsAsked, location="query", arg_name="asked")
@blueprint.output(contracts.SuggestionsPage)
def list_suggestions(asked: contracts.SuggestionsAsked) -> Any:
    """List suggestions, newest first."""
    query = select(Suggestion).where(Suggestion.tenant_id == g.caller.tenant_id)
    if asked.status:
        query = query.where(Suggestion.status == asked.status)
    if asked.cursor:
        created_at, last_id = _cursor(asked.cursor, datetime.fromisoformat, str)
        query = query.where(
            or_(
                Suggestion.created_at < created_at,
                and_(Suggestion.created_at == created_at, Suggestion.id < last_id),
            )
        )
    query = query.order_by(Suggestion.created_at.desc(), Suggestion.id.desc())
    with database().read() as session:
        rows = session.scalars(query.limit(asked.limit + 1)).all()
        shown = [suggestions.as_json(row) for row in rows[: asked.limit]]
    last = rows[asked.limit - 1] if len(rows) > asked.limit else None
    return _page(shown, [last.created_at.isoformat(), last.id] if last else None)


@blueprint.get("/suggestions/<suggestion_id>")
@blueprint.auth_required(keys)
@blueprint.output(contracts.SuggestionShown)
def get_suggestion(suggestion_id: str) -> Any:
    """Give a suggestion again."""
    with database().read() as session:
        return suggestions.as_json(suggestions.find(session, g.caller.tenant_id, suggestion_id))


@blueprint.post("/suggestions/<suggestion_id>/feedback")
@blueprint.auth_required(keys)
@idempotent
@blueprint.input(contracts.FeedbackGiven, arg_name="given")
@blueprint.output(contracts.Stored, status_code=201)
def give_feedback(suggestion_id: str, given: contracts.FeedbackGiven) -> Any:
    """Tell what the agent did with a suggestion."""
    with database().write() as session:
        suggestion = suggestions.find(session, g.caller.tenant_id, suggestion_id)
        stored = feedback.give(
            session,
            g.caller,
            suggestion,
            action=given.action,
            final_text=given.final_text,
            reason=given.reason,
            rating=given.rating,
        )
        return {"id": stored.id}


@blueprint.get("/customers")
@blueprint.auth_required(keys)
@blueprint.input(contracts.CustomersAsked, location="query", arg_name="asked")
@blueprint.output(contracts.CustomersPage)
def list_customers(asked: contracts.CustomersAsked) -> Any:
    """List customers by external id, of one segment or of all."""
    query = select(Customer).where(Customer.tenant_id == g.caller.tenant_id)
    if asked.segment is not None:
        query = query.where(Customer.segment == asked.segment)
    if asked.cursor:
        query = query.where(Customer.external_id > _cursor(asked.cursor, str)[0])
    with database().read() as session:
        rows = session.scalars(query.order_by(Customer.external_id).limit(asked.limit + 1)).all()
    shown = [_customer(row) for row in rows[: asked.limit]]
    more = len(rows) > asked.limit
    return _page(shown, [rows[asked.limit - 1].external_id] if more else None)


@blueprint.put("/customers/<external_id>")
@blueprint.auth_required(keys)
@blueprint.input(contracts.CustomerGiven, arg_name="given")
@blueprint.output(contracts.CustomerShown)
def put_customer(external_id: str, given: contracts.CustomerGiven) -> Any:
    """Add a customer (201) or replace their profile (200)."""
    external_id = _checked(external_id)
    with database().write() as session:
        row, fresh = customers.put(
            session,
            g.caller.tenant_id,
            external_id,
            segment=given.segment,
            features=given.features,
            name=given.name,
            email=given.email,
        )
        action = "customer.added" if fresh else "customer.replaced"
        audit.record(session, g.caller.tenant_id, g.caller.actor, action, row.id)
        return _customer(row), 201 if fresh else 200


@blueprint.get("/customers/<external_id>")
@blueprint.auth_required(keys)
@blueprint.output(contracts.CustomerShown)
def get_customer(external_id: str) -> Any:
    """Give one customer."""
    with database().read() as session:
        return _customer(customers.find(session, g.caller.tenant_id, external_id))


@blueprint.get("/customers/<external_id>/features")
@blueprint.auth_required(keys)
@blueprint.output(contracts.FeaturesShown)
def get_features(external_id: str) -> Any:
    """Give what the scorer is shown of a customer."""
    with database().read() as session:
        shown = customers.shown(session, customers.find(session, g.caller.tenant_id, external_id))
    return {
        "external_id": shown["id"],
        "segment": shown["segment"],
        "features": shown["features"],
        "history": shown["history"],
        "text": desk().describe(g.caller.tenant_id, customers.as_scored(shown)),
    }


@blueprint.post("/customers/<external_id>/history")
@blueprint.auth_required(keys)
@idempotent
@blueprint.input(contracts.HistoryGiven, arg_name="given")
@blueprint.output(contracts.Stored, status_code=201)
def add_history(external_id: str, given: contracts.HistoryGiven) -> Any:
    """Add one line to a customer's history."""
    with database().write() as session:
        row = customers.find(session, g.caller.tenant_id, external_id)
        entry = customers.add_history(session, row, at=given.at, text=given.text)
        return {"id": entry.id}


def _checked(external_id: str) -> str:
    """Return an external id from a path if it is one we would take in a body, or answer 422."""
    try:
        return contracts.CustomerNamed(external_id=external_id).external_id
    except ValidationError as exc:
        message = exc.errors()[0]["msg"]
        raise HTTPError(
            422, "bad external id", detail={"path": {"external_id": [message]}}
        ) from exc


def _customer_named(session: Any, external_id: str) -> Customer:
    """Return the customer a body names; an unknown one is a bad field, not a missing page."""
    try:
        return customers.find(session, g.caller.tenant_id, external_id)
    except Unknown as exc:
        raise HTTPError(
            422, "unknown customer", detail={"json": {"customer.external_id": [str(exc)]}}
        ) from exc


def _customer(row: Customer) -> dict[str, Any]:
    return {
        "external_id": row.external_id,
        "segment": row.segment,
        "features": row.features,
        "name": row.name,
        "email": row.email,
    }


def _page(data: list[dict[str, Any]], next_after: list[str] | None) -> dict[str, Any]:
    cursor = base64.urlsafe_b64encode(json.dumps(next_after).encode()).decode()
    return {
        "data": data,
        "next_cursor": cursor if next_after else None,
        "has_more": next_after is not None,
    }


def _cursor(cursor: str, *parsers: Callable[[str], Any]) -> list[Any]:
    """Return what `_page` put into a cursor, each part through its parser, or answer 422."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return [parse(part) for parse, part in zip(parsers, parts, strict=True)]
    except (ValueError, TypeError) as exc:
        message = "expected the next_cursor of the part before"
        raise HTTPError(422, "bad cursor", detail={"query": {"cursor": [message]}}) from exc
