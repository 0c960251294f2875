"""How values read on a page, and how the API's document reads on its own."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from webapp import display
from webapp.models import Suggestion, SuggestionStep
from webapp.reference import operations_by_tag

NOW = datetime(2026, 4, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "threshold", "shown"),
    [
        (0.93, 0.8, "93 %"),
        (0.7999, 0.8, "79 %"),
        (0.8, 0.8, "80 %"),
        (0.8049, 0.805, "80.4 %"),
        (0.29, 0.8, "29 %"),
        (1.0, 1.0, "100 %"),
        (0.0, 0.8, "0 %"),
    ],
)
def test_a_score_never_reads_as_the_threshold_it_missed(
    value: float, threshold: float, shown: str
) -> None:
    assert display.score(value, threshold).replace("\N{NO-BREAK SPACE}", " ") == shown


def test_money_shows_every_digit_that_was_charged() -> None:
    assert display.money(Decimal("0.000043")) == "$0.000043"
    assert display.money(Decimal(0)) == "$0"


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=40), "40 d ago"),
    ],
)
def test_ages_are_told_in_the_largest_unit(passed: timedelta, shown: str) -> None:
    assert display.ago(NOW - passed, NOW).replace("\N{NO-BREAK SPACE}", " ") == shown


def test_features_read_as_words() -> None:
    assert display.feature_name("days_since_purchase") == "Days since purchase"
    assert [display.feature_value(value) for value in (True, 45, 80.0, "in_transit")] == [
        "Yes",
        "45",
        "80",
        "in transit",
    ]


def test_an_escalation_says_what_is_missing() -> None:
    failed = SuggestionStep(model="small", source="llm", error="no answer within 30 s")
    weak = SuggestionStep(model="macros", source="macro", error=None)
    both = Suggestion(score=0.61, threshold=0.8, steps=[weak, failed])
    told = [line.replace("\N{NO-BREAK SPACE}", " ") for line in display.missing(both)]
    assert told == [
        "An answer that scores 80 %; the best has 61 %",
        "An answer from small: no answer within 30 s",
    ]
    assert display.missing(Suggestion(score=None, threshold=None, steps=[weak])) == [
        "An answer: no tier offered one that could be scored",
        "A language model: only written answers were asked for",
    ]


def test_the_api_reference_resolves_references_and_quotes_its_commands() -> None:
    (operation,) = operations_by_tag(DOCUMENT, "http://desk.example")["Tickets"]
    assert [(field.name, field.type, field.required) for field in operation.parameters] == [
        ("limit", "in the query, whole number from 1 to 9, 5 if missing", False)
    ]
    (ticket, kind) = operation.body
    assert [(field.name, field.type) for field in ticket.inside] == [
        ("body", "text, at most 20 characters")
    ]
    assert (kind.type, kind.required) == ('"a" or "b" or null', False)
    assert operation.curl.splitlines()[-1] == """  -d '{"ticket": {"body": "It'"'"'s late"}}'"""
    assert [(answer.status, len(answer.fields)) for answer in operation.answers] == [("201", 1)]


DOCUMENT: dict[str, Any] = {
    "paths": {
        "/tickets": {
            "post": {
                "tags": ["Tickets"],
                "parameters": [
                    {
                        "name": "limit",
                        "in": "query",
                        "schema": {"type": "integer", "minimum": 1, "maximum": 9, "default": 5},
                    }
                ],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}
                    }
                },
                "responses": {
                    "201": {
                        "description": "made",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Ticket"}}
                        },
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Ticket": {
                "type": "object",
                "required": ["body"],
                "properties": {
                    "body": {"type": "string", "maxLength": 20, "examples": ["It's late"]}
                },
            },
            "Asked": {
                "type": "object",
                "required": ["ticket"],
                "properties": {
                    "ticket": {"$ref": "#/components/schemas/Ticket"},
                    "kind": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]},
                },
            },
        }
    },
}
