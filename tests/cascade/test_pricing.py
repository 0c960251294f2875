"""Tokens become exact money by the row of the day."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from cascade.errors import BadPrices, MissingPrice
from cascade.pricing import PriceTable, Usage, dollars

TABLE = """
[[price]]
model = "small"
effective = "2026-01-01"
input_per_million = "0.15"
output_per_million = 0.60
cached_input_per_million = "0.075"

[[price]]
model = "small"
effective = 2026-06-01
input_per_million = "0.10"
output_per_million = "0.40"

[[price]]
model = "local"
effective = "2026-01-01"
input_per_million = 0
output_per_million = 0
per_call = "0.0001"
"""
MAY, JUNE = date(2026, 5, 31), date(2026, 6, 1)


def row(**changes: str) -> str:
    fields = {
        "model": '"m"',
        "effective": '"2026-01-01"',
        "input_per_million": '"1"',
        "output_per_million": '"2"',
    }
    lines = [f"{name} = {value}" for name, value in (fields | changes).items() if value]
    return "\n".join(["[[price]]", *lines])


def test_the_cost_is_exact() -> None:
    prices = PriceTable.from_toml(TABLE)
    assert prices.cost("small", Usage(1, 1), MAY) == Decimal("0.00000075")
    assert prices.cost("small", Usage(1000, 100, cached_input_tokens=800), MAY) == Decimal(
        "0.00015"
    )
    assert prices.cost("local", Usage(1000, 100), MAY) == Decimal("0.0001")


def test_written_cache_tokens_cost_a_quarter_more_unless_said() -> None:
    usage = Usage(1_000_000, 0, cache_write_tokens=1_000_000)
    assert PriceTable.from_toml(row()).cost("m", usage, MAY) == Decimal("1.25")
    said = PriceTable.from_toml(row(cache_write_per_million='"3"'))
    assert said.cost("m", usage, MAY) == Decimal("3")


def test_cached_tokens_cost_as_much_as_input_unless_said() -> None:
    usage = Usage(1_000_000, 0, cached_input_tokens=1_000_000)
    assert PriceTable.from_toml(row()).cost("m", usage, MAY) == Decimal("1")


def test_the_newest_row_not_after_the_day_counts() -> None:
    prices, usage = PriceTable.from_toml(TABLE), Usage(1_000_000, 0)
    assert prices.cost("small", usage, MAY) == Decimal("0.15")
    assert prices.cost("small", usage, JUNE) == Decimal("0.10")


def test_the_day_is_counted_in_utc() -> None:
    prices, usage = PriceTable.from_toml(TABLE), Usage(1_000_000, 0)
    east = timezone(timedelta(hours=9))
    assert prices.cost("small", usage, datetime(2026, 6, 1, 8, tzinfo=east)) == Decimal("0.15")
    assert prices.cost("small", usage, datetime(2026, 6, 1, 0, tzinfo=UTC)) == Decimal("0.10")


def test_a_missing_price_names_the_lines_to_add() -> None:
    prices = PriceTable.from_toml(TABLE)
    prices.check(["small", "local"], MAY)
    with pytest.raises(MissingPrice) as missing:
        prices.check(["small", "big", "huge"], MAY)
    assert '[[price]]\nmodel = "big"\neffective = "2026-05-31"' in str(missing.value)
    assert 'model = "huge"' in str(missing.value)
    assert 'model = "small"' not in str(missing.value)


def test_a_price_that_begins_later_is_missing_today() -> None:
    prices = PriceTable.from_toml(TABLE)
    with pytest.raises(MissingPrice):
        prices.cost("small", Usage(1, 1), date(2025, 12, 31))
    with pytest.raises(MissingPrice):
        prices.check(["small"], date(2025, 12, 31))


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "price = 3",
        "price = [3]",
        row(model="3"),
        row(model='""'),
        row(model=""),
        row(effective='"yesterday"'),
        row(effective=""),
        row(input_per_million=""),
        row(input_per_million='"-1"'),
        row(input_per_million='"NaN"'),
        row(input_per_million="inf"),
        row(input_per_million="true"),
        row(output_per_million='"cheap"'),
        row(cached_imput_per_million='"0.1"'),
        row() + "\n" + row(input_per_million='"3"'),
    ],
)
def test_a_bad_table_is_refused(text: str) -> None:
    with pytest.raises(BadPrices):
        PriceTable.from_toml(text)


def test_a_table_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(TABLE)
    assert PriceTable.from_toml(file) == PriceTable.from_toml(TABLE)
    with pytest.raises(BadPrices, match="nowhere"):
        PriceTable.from_toml(tmp_path / "nowhere.toml")


def test_the_shipped_table_prices_known_and_local_models() -> None:
    prices, day = PriceTable.shipped(), date(2026, 1, 1)
    prices.check(["gpt-4o-mini", "gpt-4o", "claude-3-5-haiku-latest", "llama3.2"], day)
    assert prices.cost("gpt-4o-mini", Usage(1000, 100), day) == Decimal("0.00021")
    assert prices.cost("llama3.2", Usage(1000, 100), day) == 0


@pytest.mark.parametrize("counts", [(-1, 0), (0, -1), (5, 0, 6), (5, 0, 3, 3), (5, 0, -1)])
def test_impossible_usage_is_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="token"):
        Usage(*counts)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0", "0"), ("0.000043", "0.000043"), ("1.20", "1.2"), ("10", "10"), ("1E-9", "0.000000001")],
)
def test_dollars_are_written_plainly(amount: str, shown: str) -> None:
    assert dollars(Decimal(amount)) == shown
