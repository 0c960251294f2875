"""Settings: read from the environment once, here and nowhere else."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from webapp.errors import BadSettings

LLM_PROTOCOLS = ("openai", "anthropic")
RESERVED_MODELS = ("cache", "macros")
"""Policies know the answers given before and the knowledge base by these names."""
LONGEST_DEADLINE_S = 600
FLAGS = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True}
DATABASE_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
DATABASE_URLS = "sqlite:///path or postgresql://user:password@host/name"


@dataclass(frozen=True)
class LlmSettings:
    """One model behind HTTP: which protocol, where, under what name, with which key."""

    protocol: str
    base_url: str
    model: str
    api_key: str | None
    connect_timeout_s: float
    read_timeout_s: float
    max_output_tokens: int


@dataclass(frozen=True)
class Settings:
    """Everything the service may be told from outside; see docs/settings.md for each variable."""

    var: Path
    database_url: str
    secret_key: str
    adapters: Path
    scorer_base: str | None
    llms: tuple[LlmSettings, ...]
    prices: Path | None
    threshold: float
    deadline_s: float
    budget_per_ticket: Decimal | None
    budget_per_segment_day: Mapping[str, Decimal]
    host: str
    port: int
    threads: int
    workers: int
    cookie_secure: bool
    cache: bool
    cache_lifetime: timedelta
    cache_entries: int
    audit_share: float
    auto_promote: bool
    retrain_after: int
    ray_address: str | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the environment, or raise `BadSettings` naming the variable and what it takes."""
        env = _Environment(os.environ if environ is None else environ)
        var = Path(env.text("FRUGALDESK_VAR", "var")).absolute()
        return cls(
            var=var,
            database_url=env.database("FRUGALDESK_DATABASE_URL", f"sqlite:///{var}/frugaldesk.db"),
            secret_key=env.text("FRUGALDESK_SECRET_KEY", "") or _kept_secret(var),
            adapters=Path(env.text("FRUGALDESK_ADAPTERS", str(var / "adapters"))).absolute(),
            scorer_base=scorer_base(environ),
            llms=env.llms(),
            prices=Path(prices) if (prices := env.text("FRUGALDESK_PRICES", "")) else None,
            threshold=env.number("FRUGALDESK_THRESHOLD", 0.8, low=0, high=1),
            deadline_s=env.number("FRUGALDESK_DEADLINE_S", 60, low=1, high=LONGEST_DEADLINE_S),
            budget_per_ticket=env.money("FRUGALDESK_BUDGET_PER_TICKET"),
            budget_per_segment_day=env.budgets("FRUGALDESK_BUDGET_PER_SEGMENT_DAY"),
            host=env.text("HOST", "127.0.0.1"),
            port=env.whole("PORT", 8000, low=0, high=65535),
            threads=env.whole("FRUGALDESK_THREADS", 32, low=2, high=256),
            workers=env.whole("FRUGALDESK_WORKERS", 1, low=1, high=64),
            cookie_secure=env.flag("FRUGALDESK_COOKIE_SECURE", "0"),
            cache=env.flag("FRUGALDESK_CACHE", "1"),
            cache_lifetime=timedelta(
                days=env.number("FRUGALDESK_CACHE_DAYS", 30, low=0.01, high=3650)
            ),
            cache_entries=env.whole("FRUGALDESK_CACHE_ENTRIES", 20_000, low=1, high=10_000_000),
            audit_share=env.number("FRUGALDESK_AUDIT_SHARE", 0.05, low=0, high=1),
            auto_promote=env.flag("FRUGALDESK_AUTO_PROMOTE", "0"),
            retrain_after=env.whole("FRUGALDESK_RETRAIN_AFTER", 0, low=0, high=1_000_000),
            ray_address=env.text("RAY_ADDRESS", "") or None,
        )


def scorer_base(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the DistilBERT folder or hub name to score with, None for the bundled weights."""
    return _Environment(os.environ if environ is None else environ).text("SCORER_BASE", "") or None


def use_threads(count: int) -> None:
    """Let torch use so many threads here and in processes begun from here, unless that is set."""
    os.environ.setdefault("OMP_NUM_THREADS", str(count))


class _Environment:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, default: str) -> str:
        return self._values.get(name, "").strip() or default

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        given = self.text(name, str(default))
        try:
            value = float(given)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise BadSettings(f"{name} is {given!r}; expected a number from {low} to {high}")
        return value

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        value = self.number(name, default, low=low, high=high)
        if not value.is_integer():
            raise BadSettings(f"{name} is {value}; expected a whole number from {low} to {high}")
        return int(value)

    def flag(self, name: str, default: str) -> bool:
        given = self.text(name, default)
        if given.lower() not in FLAGS:
            raise BadSettings(f"{name} is {given!r}; expected one of {', '.join(FLAGS)}")
        return FLAGS[given.lower()]

    def database(self, name: str, default: str) -> str:
        """Read a database's URL; what is said of a bad one leaves its password out."""
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        given = self.text(name, default)
        try:
            scheme = make_url(given).drivername
        except (ArgumentError, ValueError):
            raise BadSettings(f"{name} is no URL; expected {DATABASE_URLS}") from None
        if scheme not in DATABASE_SCHEMES:
            raise BadSettings(f"{name} begins with {scheme!r}; expected {DATABASE_URLS}")
        return given

    def money(self, name: str) -> Decimal | None:
        given = self.text(name, "")
        return _dollars(name, given) if given else None

    def budgets(self, name: str) -> dict[str, Decimal]:
        """Read `gold=5.00,silver=1` into dollars a day by segment."""
        given = self.text(name, "")
        parts = [part.partition("=") for part in given.split(",") if part.strip()]
        if any(not equals for _, equals, _ in parts):
            raise BadSettings(f"{name} is {given!r}; expected segment=dollars,segment=dollars")
        return {segment.strip(): _dollars(name, dollars) for segment, _, dollars in parts}

    def llms(self) -> tuple[LlmSettings, ...]:
        """Read FRUGALDESK_LLM_…, then FRUGALDESK_LLM_2_… and so on; each needs its own name."""
        prefixes = ["FRUGALDESK_LLM_", *(f"FRUGALDESK_LLM_{n}_" for n in range(2, 10))]
        named: dict[str, LlmSettings] = {}
        for prefix in prefixes:
            model = self.text(prefix + "MODEL", "")
            if model in (*named, *RESERVED_MODELS):
                raise BadSettings(
                    f"{prefix}MODEL is {model!r}, which is taken; "
                    "expected a name that no other model and no source of answers has"
                )
            if model:
                named[model] = self._llm(prefix)
        return tuple(named.values())

    def _llm(self, prefix: str) -> LlmSettings:
        protocol = self.text(prefix + "PROTOCOL", "openai")
        if protocol not in LLM_PROTOCOLS:
            raise BadSettings(
                f"{prefix}PROTOCOL is {protocol!r}; expected {' or '.join(LLM_PROTOCOLS)}"
            )
        base_url = self.text(prefix + "BASE_URL", "")
        if not base_url.startswith(("http://", "https://")):
            raise BadSettings(
                f"{prefix}BASE_URL is {base_url!r}; expected the server's address, such as "
                f"http://127.0.0.1:11434/v1, because {prefix}MODEL is set"
            )
        return LlmSettings(
            protocol=protocol,
            base_url=base_url,
            model=self.text(prefix + "MODEL", ""),
            api_key=self.text(prefix + "API_KEY", "") or None,
            connect_timeout_s=self.number(prefix + "CONNECT_TIMEOUT_S", 5, low=0.1, high=60),
            read_timeout_s=self.number(prefix + "READ_TIMEOUT_S", 30, low=0.1, high=600),
            max_output_tokens=self.whole(prefix + "MAX_OUTPUT_TOKENS", 400, low=1, high=100_000),
        )


def _dollars(name: str, given: str) -> Decimal:
    try:
        value = Decimal(given.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise BadSettings(f"{name} holds {given!r}; expected US dollars such as 0.05")
    return value


def _kept_secret(var: Path) -> str:
    """Return the secret kept in `var`, made on first use, readable by its owner alone."""
    path = var / "secret_key"
    var.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f"secret_key.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()
