"""The history as columns: kinds of lines and their ages, counted from the day of asking."""

from datetime import date

import numpy as np

from scoring.customer import Customer
from scoring.encoder import Encoder
from scoring.history import HistorySpace, Line, words_of

VOUCHER = "goodwill voucher granted"
OTHER = ("asked how to wash a jacket", "changed the newsletter settings", "returned some gloves")


def customer(*lines: str, day: date | None = date(2026, 11, 1)) -> Customer:
    """Return a customer with this history."""
    return Customer("c", None, {}, lines, day)


def space_of(
    encoder: Encoder, people: list[Customer]
) -> tuple[HistorySpace, dict[str, np.ndarray]]:
    """Return the space of these customers and the vectors of their words."""
    words = words_of(people)
    vectors = dict(zip(words, encoder.embed(words), strict=True))
    return HistorySpace.fit(people, vectors, encoder.dim, np.random.default_rng(0)), vectors


def test_a_date_at_the_start_is_read_and_the_rest_are_words() -> None:
    assert Line.of("2026-03-02 asked about a parcel") == Line(
        date(2026, 3, 2), "asked about a parcel"
    )
    assert Line.of("2026-03-02T10:00:00Z called") == Line(date(2026, 3, 2), "called")
    assert Line.of("no date here") == Line(None, "no date here")
    assert Line.of("2026-13-99 no such day") == Line(None, "2026-13-99 no such day")


def test_the_same_line_is_another_one_a_year_later(encoder: Encoder) -> None:
    people = [
        customer(f"202{year}-{month:02}-03 {text}")
        for year in (4, 5, 6)
        for month in range(1, 11)
        for text in (VOUCHER, *OTHER)
    ]
    space, vectors = space_of(encoder, people)
    line = f"2026-02-03 {VOUCHER}"
    soon, late = customer(line, day=date(2026, 4, 1)), customer(line, day=date(2027, 9, 1))
    assert space.encode(soon, vectors).sum() > space.encode(late, vectors).sum() > 0
    assert not space.encode(customer(), vectors).any()
    other = space.encode(customer(f"2026-02-03 {OTHER[0]}"), vectors)
    assert (other != space.encode(customer(line), vectors)).any()


def test_without_a_day_ages_count_from_the_newest_line_in_training(encoder: Encoder) -> None:
    people = [customer(f"2026-0{month}-01 {VOUCHER}", day=None) for month in range(1, 10)]
    space, vectors = space_of(encoder, people)
    assert space.today == "2026-09-01"
    line = f"2026-05-01 {VOUCHER}"
    told = customer(line, day=date(2026, 9, 1))
    assert (space.encode(customer(line, day=None), vectors) == space.encode(told, vectors)).all()


def test_no_history_at_all_is_a_space_without_columns(encoder: Encoder) -> None:
    space, vectors = space_of(encoder, [customer(), customer()])
    assert space.width == 0
    assert space.encode(customer(), vectors).shape == (0,)
