"""The HTTP interface helpdesks call: suggestions, customers, feedback."""

from functools import partial
from typing import Any

from apiflask import APIBlueprint, APIFlask, HTTPError, HTTPTokenAuth
from flask import g, request
from pydantic import ValidationError
from sqlalchemy import select

from webapp import (
    audit,
    contracts,
    customer_export,
    customers,
    erasure,
    feedback,
    followup,
    paging,
    policies,
    policy_contracts,
    reviews,
    suggestions,
)
from webapp.access import caller_of_key, csrf
from webapp.audit import Caller
from webapp.context import audits, database, desk, runs, secret
from webapp.drift import drift
from webapp.errors import Unknown
from webapp.idempotency import idempotent
from webapp.models import Customer, Policy, Review, Suggestion
from webapp.problems import problem

blueprint = APIBlueprint("api", __name__, url_prefix="/api/v1", tag="API")
keys = HTTPTokenAuth(description="An API key, made with `frugaldesk keys create`.")


def install(app: APIFlask, *others: APIBlueprint) -> None:
    """Register the API; it is called with keys, so forms' CSRF tokens don't apply to it."""
    for each in (blueprint, *others):
        csrf.exempt(each)
        app.register_blueprint(each)
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
    runs().submit(followup.of_run, database(), desk(), begun)
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
    with database().read() as session:
        return paging.newest_first(session, query, Suggestion, asked, shown=suggestions.as_json)


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
            audits=audits(),
        )
    runs().submit(followup.of_verdict, database(), desk(), stored.id)
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
        (last_id,) = paging.place_in(asked.cursor, contracts.CustomersCursor)
        query = query.where(Customer.external_id > last_id)
    with database().read() as session:
        return paging.page(
            session,
            query.order_by(Customer.external_id),
            asked.limit,
            shown=_customer,
            place=lambda row: [row.external_id],
        )


@blueprint.put("/customers/<external_id>")
@blueprint.auth_required(keys)
@blueprint.input(contracts.CustomerGiven, arg_name="given")
@blueprint.output(contracts.CustomerShown)
def put_customer(external_id: str, given: contracts.CustomerGiven) -> Any:
    """Add a customer (201) or replace their profile (200)."""
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


@blueprint.delete("/customers/<external_id>")
@blueprint.auth_required(keys)
@blueprint.output(contracts.ErasedShown)
def erase_customer(external_id: str) -> Any:
    """Erase a customer with all that is held on them, and say how much that was."""
    with database().write() as session:
        erased = erasure.erase(
            session, g.caller.tenant_id, external_id, actor=g.caller.actor, secret=secret()
        )
    return erased.as_json()


@blueprint.get("/customers/<external_id>/export")
@blueprint.auth_required(keys)
@blueprint.output(contracts.CustomerExport)
def export_customer(external_id: str) -> Any:
    """Give everything that is held on a customer."""
    with database().read() as session:
        return customer_export.export(session, g.caller.tenant_id, external_id)


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


@blueprint.get("/policies")
@blueprint.auth_required(keys)
@blueprint.input(contracts.PoliciesAsked, location="query", arg_name="asked")
@blueprint.output(policy_contracts.PoliciesPage)
def list_policies(asked: contracts.PoliciesAsked) -> Any:
    """List the stored policies, those stored last first; admins say which one is live."""
    query = select(Policy).where(Policy.tenant_id == g.caller.tenant_id)
    with database().read() as session:
        live = policies.live_version(session, g.caller.tenant_id)
        shown = partial(policies.as_json, live=live)
        return paging.newest_first(session, query, Policy, asked, shown=shown)


@blueprint.get("/policies/live")
@blueprint.auth_required(keys)
@blueprint.output(policy_contracts.LivePolicyShown)
def get_live_policy() -> Any:
    """Give the policy that tickets meet now, and whether it keeps to its certificate."""
    with database().read() as session:
        row = policies.live_row(session, g.caller.tenant_id).policy
        found = drift(session, g.caller.tenant_id, row)
        return policies.as_json(row, live=row.version) | {"drift": found}


@blueprint.get("/reviews")
@blueprint.auth_required(keys)
@blueprint.input(contracts.ReviewsAsked, location="query", arg_name="asked")
@blueprint.output(contracts.ReviewsPage)
def list_reviews(asked: contracts.ReviewsAsked) -> Any:
    """List the review queue, the most urgent first, of one status or of all."""
    query = select(Review).where(Review.tenant_id == g.caller.tenant_id)
    if asked.status:
        query = query.where(Review.status == asked.status)
    if asked.cursor:
        query = query.where(reviews.after(*paging.place_in(asked.cursor, contracts.ReviewsCursor)))
    with database().read() as session:
        return paging.page(
            session,
            query.order_by(*reviews.IN_ORDER),
            asked.limit,
            shown=reviews.as_json,
            place=lambda row: [row.priority, row.created_at.isoformat(), row.id],
        )


@blueprint.before_request
def check_path() -> None:
    """Answer 422 for an id in the path that we would not take in a body."""
    for name, value in (request.view_args or {}).items():
        try:
            contracts.PathId.validate_python(value)
        except ValidationError as exc:
            message = exc.errors()[0]["msg"]
            raise HTTPError(422, "bad id", detail={"path": {name: [message]}}) from exc


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
