"""What a call costs: tokens to exact money, by a dated price table that the operator edits."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path

from cascade.errors import BadPrices, MissingPrice

MILLION = Decimal(1_000_000)
CACHE_WRITE_FACTOR = Decimal("1.25")
"""What a token written to a provider's prompt cache costs, in input prices, unless a row says."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call.

    `input_tokens` counts all input; `cached_input_tokens` were read from the provider's prompt
    cache and `cache_write_tokens` written to it, and both are part of `input_tokens`.

    Raises `ValueError` for negative counts and for parts larger than the whole.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0

    def __post_init__(self) -> None:
        parts = self.cached_input_tokens, self.cache_write_tokens
        if min(self.input_tokens, self.output_tokens, *parts) < 0:
            raise ValueError(f"token counts cannot be negative: {self}")
        if sum(parts) > self.input_tokens:
            raise ValueError(f"more cached tokens than input tokens: {self}")


@dataclass(frozen=True)
class Price:
    """A model's prices in US dollars from one day on: per million tokens, and per call."""

    model: str
    effective: date
    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal
    cache_write_per_million: Decimal
    per_call: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """The price of one call, exact, in US dollars."""
        fresh = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
        tokens = (
            fresh * self.input_per_million
            + usage.cached_input_tokens * self.cached_input_per_million
            + usage.cache_write_tokens * self.cache_write_per_million
            + usage.output_tokens * self.output_per_million
        )
        return tokens / MILLION + self.per_call


@dataclass(frozen=True)
class PriceTable:
    """Dated prices; the newest row that is not after the day of a call is the one that counts.

    >>> PriceTable.shipped().cost("gpt-4o-mini", Usage(1_000, 100), date(2026, 1, 1))
    Decimal('0.00021')

    Raises `BadPrices` where two rows speak of the same model and day.
    """

    rows: tuple[Price, ...]

    def __post_init__(self) -> None:
        seen: set[tuple[str, date]] = set()
        for row in self.rows:
            if (row.model, row.effective) in seen:
                raise BadPrices(f"two prices for {row.model!r} from {row.effective}; keep one")
            seen.add((row.model, row.effective))

    @classmethod
    def from_toml(cls, source: str | Path) -> "PriceTable":
        """Read `[[price]]` rows from TOML text, or from the file that a `Path` names."""
        name = str(source) if isinstance(source, Path) else "the price table"
        try:
            text = source.read_text("utf-8") if isinstance(source, Path) else source
            rows = tomllib.loads(text, parse_float=Decimal).get("price", [])
        except (OSError, ValueError) as exc:
            raise BadPrices(f"{name} cannot be read as TOML: {exc}") from exc
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadPrices(f"{name} holds no [[price]] rows; every row begins with [[price]]")
        return cls(tuple(_price(row) for row in rows))

    @classmethod
    def shipped(cls) -> "PriceTable":
        """The table that comes with the package, `cascade/prices.toml`."""
        return cls.from_toml(resources.files("cascade").joinpath("prices.toml").read_text("utf-8"))

    def price(self, model: str, at: datetime | date) -> Price:
        """The row that counts for `model` at `at` (UTC); `MissingPrice` if there is none."""
        day = _day(at)
        rows = [row for row in self.rows if row.model == model and row.effective <= day]
        if not rows:
            raise MissingPrice(_missing([model], day))
        return max(rows, key=lambda row: row.effective)

    def cost(self, model: str, usage: Usage, at: datetime | date) -> Decimal:
        """What a call of `model` at `at` cost, exact, in US dollars."""
        return self.price(model, at).cost(usage)

    def check(self, models: Iterable[str], at: datetime | date) -> None:
        """Raise `MissingPrice`, with the lines to add, unless every model has a price."""
        day = _day(at)
        priced = {row.model for row in self.rows if row.effective <= day}
        missing = [model for model in dict.fromkeys(models) if model not in priced]
        if missing:
            raise MissingPrice(_missing(missing, day))


def dollars(amount: Decimal) -> str:
    """An amount of US dollars, exact, without exponent or trailing zeros: "0.000043"."""
    # Not `normalize()`, which rounds to the context's 28 digits.
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _day(at: datetime | date) -> date:
    if not isinstance(at, datetime):
        return at
    return at.astimezone(UTC).date() if at.tzinfo else at.date()


def _missing(models: list[str], day: date) -> str:
    lines = "\n\n".join(
        f'[[price]]\nmodel = "{model}"\neffective = "{day}"\n'
        'input_per_million = "…"\noutput_per_million = "…"'
        for model in models
    )
    return (
        f"no price for {', '.join(models)} on {day}. Add these lines to the price table, in US "
        f'dollars, with "0" where a model costs nothing:\n\n{lines}'
    )


AMOUNTS = ("input_per_million", "output_per_million")
OPTIONAL = ("cached_input_per_million", "cache_write_per_million", "per_call")


def _price(row: Mapping[str, object]) -> Price:
    model = row.get("model")
    if not isinstance(model, str) or not model:
        raise BadPrices(f"a [[price]] row has model = {model!r}; expected a model's name")
    unknown = sorted(row.keys() - {"model", "effective", *AMOUNTS, *OPTIONAL})
    if unknown:
        # A misspelt price would otherwise be taken for one that was left out.
        raise BadPrices(f"the price of {model!r} has an unknown field {unknown[0]!r}")
    amounts = {name: _amount(model, name, row.get(name)) for name in AMOUNTS}
    fresh = amounts["input_per_million"]
    defaults = (fresh, fresh * CACHE_WRITE_FACTOR, Decimal(0))
    for name, default in zip(OPTIONAL, defaults, strict=True):
        amounts[name] = _amount(model, name, row[name]) if name in row else default
    return Price(model=model, effective=_effective(model, row.get("effective")), **amounts)


def _amount(model: str, name: str, value: object) -> Decimal:
    expected = f'the price of {model!r} has {name} = {value!r}; expected dollars such as "0.15"'
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise BadPrices(expected)
    try:
        amount = Decimal(value)
    except InvalidOperation as exc:
        raise BadPrices(expected) from exc
    if not amount.is_finite() or amount < 0:
        raise BadPrices(expected)
    return amount


def _effective(model: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError as exc:
        raise BadPrices(
            f"the price of {model!r} has effective = {value!r}; expected a day such as 2026-01-01"
        ) from exc
