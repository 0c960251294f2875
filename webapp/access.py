"""Who may ask, see and decide: API keys, people's passwords and sessions, security headers."""

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    redirect,
    render_template,
    request,
    session,
)
from flask import url_for as address_of
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.audit import Caller
from webapp.context import database
from webapp.errors import Refused, Unknown
from webapp.models import ApiKey, Tenant, User, utc_now
from webapp.problems import problem

P = ParamSpec("P")
R = TypeVar("R")

FAILURES_ALLOWED = 8
"""Wrong passwords for one e-mail within `FAILURE_WINDOW` before sign-in is refused."""
FAILURE_WINDOW = timedelta(minutes=10)
LONGEST_EMAIL = 254
SHORTEST_PASSWORD = 10
ROLES = ("agent", "admin")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_LOCAL_TARGET = re.compile(r"/(?!/)[^\x00-\x20\x7f\\]*")
"""Browsers drop tabs and line breaks and read a backslash as a slash, so each could hide `//`."""

blueprint = Blueprint("access", __name__)
csrf = CSRFProtect()
_hasher = PasswordHasher()
_no_ones_hash = _hasher.hash(secrets.token_urlsafe())


# API keys


def create_api_key(session_: Session, tenant_id: str, name: str) -> str:
    """Store a new key's hash and return the key; it cannot be read again."""
    key = f"fd_{secrets.token_urlsafe(32)}"
    session_.add(ApiKey(tenant_id=tenant_id, name=name, prefix=key[:10], key_hash=_digest(key)))
    audit.record(session_, tenant_id, "cli", "api_key.created", name, prefix=key[:10])
    return key


def find_api_key(session_: Session, key: str) -> ApiKey | None:
    """Return the live row of this key, None where it is unknown or revoked."""
    return session_.scalar(
        select(ApiKey).where(ApiKey.key_hash == _digest(key), ApiKey.revoked_at.is_(None))
    )


def revoke_api_keys(session_: Session, tenant_id: str, name: str) -> int:
    """End every live key of that name; returns how many there were."""
    rows = session_.scalars(
        select(ApiKey).where(
            ApiKey.tenant_id == tenant_id, ApiKey.name == name, ApiKey.revoked_at.is_(None)
        )
    ).all()
    for row in rows:
        row.revoked_at = utc_now()
        audit.record(session_, tenant_id, "cli", "api_key.revoked", name, prefix=row.prefix)
    return len(rows)


def caller_of_key(key: str) -> Caller | None:
    """Return who holds this API key, None where it is unknown or revoked."""
    with database().read() as rows:
        found = find_api_key(rows, key)
        return Caller(found.tenant_id, f"key:{found.name}") if found else None


def _digest(key: str) -> str:
    # A key is 32 random bytes, so a plain digest cannot be guessed back.
    return hashlib.sha256(key.encode()).hexdigest()


# People


def put_user(
    session_: Session, tenant_id: str, *, email: str, name: str, role: str, password: str
) -> User:
    """Add a person who can sign in, or give them this name, role and password.

    Raises `Refused` for a short password and an unknown role.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise Refused(
            f"the password has {len(password)} characters; expected at least {SHORTEST_PASSWORD}"
        )
    if role not in ROLES:
        raise Refused(f"role is {role!r}; expected one of {', '.join(ROLES)}")
    email = email.strip().lower()
    user = session_.scalar(
        select(User).where(User.tenant_id == tenant_id, User.email == email)
    ) or User(tenant_id=tenant_id, email=email)
    user.name, user.role, user.password_hash = name, role, _hasher.hash(password)
    user.active = True
    session_.add(user)
    session_.flush()
    audit.record(session_, tenant_id, "cli", "user.put", user.id, role=role)
    return user


def end_user(session_: Session, tenant_id: str, email: str) -> None:
    """Let a person sign in no more, and end their sessions; raises `Unknown`."""
    user = session_.scalar(
        select(User).where(User.tenant_id == tenant_id, User.email == email.strip().lower())
    )
    if user is None:
        raise Unknown(f"nobody here has the e-mail {email!r}")
    user.active = False
    audit.record(session_, tenant_id, "cli", "user.ended", user.id)


class Attempts:
    """Counts wrong passwords by e-mail as typed, so that it tells nothing about who exists.

    An attempt counts from its start, or many at once would be checked before the first failed.
    Kept in memory: each process counts its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._started: dict[str, list[float]] = {}

    def begin(self, email: str) -> float:
        """Count an attempt and return its mark; raises `Refused` after too many."""
        with self._lock:
            now = self._clock()
            self._forget_before(now - FAILURE_WINDOW.total_seconds())
            started = self._started.setdefault(email, [])
            if len(started) >= FAILURES_ALLOWED:
                raise Refused("Too many wrong passwords. Try again in ten minutes.")
            started.append(now)
            return now

    def succeeded(self, email: str, mark: float) -> None:
        """Take back the attempt that `begin` gave this mark."""
        with self._lock:
            started = self._started.get(email, [])
            if mark in started:
                started.remove(mark)

    def _forget_before(self, moment: float) -> None:
        for email, started in list(self._started.items()):
            started[:] = [at for at in started if at > moment]
            if not started:
                del self._started[email]


def sign_in(*, email: str, password: str) -> User | None:
    """Return the person with this e-mail and password, None where there is none.

    Takes as long for an unknown e-mail as for a wrong password. Raises `Refused` after too many
    failures, whatever the password and whether or not there is such a person. Where people of two
    tenants share e-mail and password, the one added first is signed in.
    """
    email = email.strip().lower()[:LONGEST_EMAIL]
    attempts: Attempts = current_app.extensions["frugaldesk.attempts"]
    mark = attempts.begin(email)
    people = _people(email)
    # Hashing takes a while, so no transaction is open meanwhile.
    fitting = [person for person in people if _password_fits(person.password_hash, password)]
    if not people:
        _password_fits(_no_ones_hash, password)
    # Opened for nobody too, so that an unknown e-mail takes as long.
    with database().write() as rows:
        for person in fitting[:1] or people:
            action = "sign_in" if fitting else "sign_in.failed"
            audit.record(rows, person.tenant_id, f"user:{person.email}", action, person.id)
    if not fitting:
        return None
    attempts.succeeded(email, mark)
    return fitting[0]


def _people(email: str) -> Sequence[User]:
    # PostgreSQL takes no NUL, and nobody's e-mail holds one.
    if not email.isprintable():
        return ()
    with database().read() as rows:
        return rows.scalars(
            select(User).where(User.email == email, User.active).order_by(User.created_at, User.id)
        ).all()


def _password_fits(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


# Sessions and pages


@blueprint.get("/login")
def login_page() -> ResponseReturnValue:
    """Show the sign-in form."""
    return render_template("login.html", email="", problem=None)


@blueprint.post("/login")
def login() -> ResponseReturnValue:
    """Sign in, or show the form again with what was wrong."""
    email = request.form.get("email", "")
    try:
        user = sign_in(email=email, password=request.form.get("password", ""))
    except Refused as exc:
        return render_template("login.html", email=email, problem=str(exc)), 429
    if user is None:
        problem = "That e-mail and password don't match."
        return render_template("login.html", email=email, problem=problem), 401
    session.clear()
    session["user"] = user.id
    session["credential"] = _credential(user)
    return redirect(_local(request.args.get("next")) or address_of("panel.inbox"))


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    """Forget who was signed in."""
    session.clear()
    return redirect(address_of("access.login_page"))


def signed_in(*, admin: bool = False) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """Let a page be seen by signed-in people only, or by admins only."""

    def guard(view: Callable[P, R]) -> Callable[P, R | Response]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Response:
            if g.user is None:
                wanted = request.full_path if request.method == "GET" else None
                to_login = address_of("access.login_page", next=wanted)
                return redirect(to_login)  # type: ignore[return-value]
            if admin and g.user.role != "admin":
                abort(403, "This page is for admins. Sign in as one, or ask one.")
            return view(*args, **kwargs)

        return guarded

    return guard


def caller() -> Caller:
    """Return who is signed in; only behind `signed_in`."""
    return Caller(g.user.tenant_id, f"user:{g.user.email}")


def install(app: Flask) -> None:
    """Wire sessions, CSRF protection and security headers into the app."""
    # Before the CSRF check, whose handler asks who is signed in.
    app.before_request(_remember_user)
    csrf.init_app(app)
    app.extensions["frugaldesk.attempts"] = Attempts()
    app.register_error_handler(CSRFError, _stale_form)
    app.register_blueprint(blueprint, enable_openapi=False)
    app.after_request(_secure)


def _stale_form(error: CSRFError) -> ResponseReturnValue:
    """Send whose session has ended to sign in again; a form without its token goes no further."""
    if g.get("user") is None:
        return redirect(address_of("access.login_page"))
    return problem(400, f"{error.description} Load the page again and repeat what you did.")


def _remember_user() -> None:
    g.user = g.tenant = None
    if (user_id := session.get("user")) is None:
        return
    with database().read() as rows:
        user = rows.get(User, user_id)
        # The credential ties a session to one password, so that changing it ends the others.
        if user and user.active and session.get("credential") == _credential(user):
            g.user, g.tenant = user, rows.get(Tenant, user.tenant_id)
        else:
            session.clear()


def _credential(user: User) -> str:
    return _digest(user.password_hash)[:16]


def _local(target: str | None) -> str | None:
    """Return the target if it stays on this site, else None."""
    return target.rstrip("?") if target and _LOCAL_TARGET.fullmatch(target) else None


def _secure(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
