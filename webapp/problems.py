"""Errors as people and programs get them: problem+json (RFC 9457) for the API, a page else."""

import json
import logging
import uuid
from http import HTTPStatus
from typing import Any

from apiflask import APIFlask, HTTPError
from flask import Response, g, render_template, request
from werkzeug.exceptions import HTTPException

from scoring.errors import BadCustomer, NoAdapter
from webapp.errors import NotReady, Refused, Unknown, places

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5


def install(app: APIFlask) -> None:
    """Answer every error in the caller's form, with a request id to find it in the log by."""
    app.before_request(_name_request)
    app.after_request(_send_request_id)
    app.error_processor(_of_api)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Unknown, lambda exc: problem(404, str(exc)))
    app.register_error_handler(Refused, lambda exc: problem(409, str(exc)))
    app.register_error_handler(NotReady, _not_ready)
    app.register_error_handler(NoAdapter, _not_ready)
    app.register_error_handler(BadCustomer, lambda exc: problem(422, str(exc)))
    app.register_error_handler(RecursionError, lambda exc: problem(400, "nested too deeply"))
    app.register_error_handler(Exception, _unexpected)


def problem(status: int, detail: str, *, errors: list[dict[str, str]] | None = None) -> Response:
    """Return one error; `errors` names bad fields as `{"field", "message"}`."""
    title = HTTPStatus(status).phrase
    if not wants_json():
        page = render_template("error.html", status=status, title=title, detail=detail)
        return Response(page, status)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": g.request_id,
    }
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status, content_type="application/problem+json")


def wants_json() -> bool:
    """Return whether the caller is a program: anything under /api/, or who asks for JSON."""
    return request.path.startswith("/api/") or not request.accept_mimetypes.accept_html


def _name_request() -> None:
    g.request_id = uuid.uuid4().hex


def _send_request_id(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    return response


def _of_api(error: HTTPError) -> Response:
    fields = [
        {"field": field, "message": message}
        for location in (error.detail or {}).values()
        if isinstance(location, dict)
        for field, messages in location.items()
        for message in messages
    ]
    response = problem(error.status_code, error.message or "", errors=fields)
    response.headers.extend(error.headers)
    return response


def _of_http(error: HTTPException) -> Response:
    if isinstance(error.response, Response):
        return error.response
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return _with_headers(problem(error.code or 500, error.description or ""), headers)


def _not_ready(exc: NotReady | NoAdapter) -> Response:
    return _with_headers(problem(503, str(exc)), {"Retry-After": str(RETRY_AFTER_S)})


def _unexpected(exc: Exception) -> Response:
    log.error("request %s failed\n%s", g.request_id, places(exc))
    return problem(500, f"Something broke on our side. Name request {g.request_id} to the admin.")


def _with_headers(response: Response, headers: dict[str, str]) -> Response:
    for name, value in headers.items():
        response.headers[name] = value
    return response
