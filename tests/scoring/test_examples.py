"""Examples files: every good line is read, every bad one is named with file and line."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from scoring.customer import HISTORY_SHOWN, Customer
from scoring.errors import BadCustomer, BadExamples, NoAdapter
from scoring.examples import Example, as_row, numbered, read_examples, write_rows
from scoring.segments import adapter_for

ROW: dict[str, Any] = {
    "customer": {"id": "c-17", "segment": "gold", "features": {"days_since_purchase": 45}},
    "history": ["2026-03-02 asked about a late parcel"],
    "question": "Can I still return my jacket?",
    "answer": "Yes 🎒 نعم",
    "label": 1,
    "at": "2026-04-01T09:00:00Z",
    "weight": 2.0,
}


def read(*lines: str, labelled: bool = True) -> list[Example]:
    """Read these lines as the file `f.jsonl`."""
    return read_examples(io.StringIO("\n".join(lines)), name="f.jsonl", labelled=labelled)


def line(**changes: Any) -> str:
    """Return the good line with some fields changed."""
    return json.dumps({**ROW, **changes})


def test_reads_what_the_formats_say() -> None:
    (example,) = read(line(unknown_field=1))
    assert example.pair.customer.recent_history == ("2026-03-02 asked about a late parcel",)
    assert example.pair.customer.features["days_since_purchase"] == 45
    assert (example.label, example.weight) == (1, 2.0)
    assert example.at is not None


def test_optional_fields_may_be_missing() -> None:
    row = {key: ROW[key] for key in ("customer", "question", "answer", "label")}
    (example,) = read(json.dumps(row), "", "   ")
    assert example.pair.customer.history == ()
    assert example.weight == 1.0


def test_a_written_file_is_read_again(tmp_path: Path) -> None:
    examples = read(line(), line(label=0, customer={"id": "x", "segment": None}, passage="No."))
    write_rows(tmp_path / "g.jsonl", map(as_row, examples))
    with (tmp_path / "g.jsonl").open(encoding="utf-8") as source:
        assert read_examples(source, name="g.jsonl") == examples
    assert [path.name for path in tmp_path.iterdir()] == ["g.jsonl"]


def test_half_a_character_is_written_and_read_again(tmp_path: Path) -> None:
    examples = read('{"customer": {"id": "c"}, "question": "\\ud83c", "answer": "🎒", "label": 1}')
    write_rows(tmp_path / "g.jsonl", map(as_row, examples))
    with (tmp_path / "g.jsonl").open(encoding="utf-8") as source:
        assert read_examples(source, name="g.jsonl") == examples


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("{", "at column 2; expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ("[" * 100_000, "recursion"),
        ("NaN", "expected a JSON object"),
        (line(customer=None), "customer is None"),
        (line(customer={"segment": "gold"}), "customer.id"),
        (line(customer={"id": "x", "segment": 3}), "customer.segment"),
        (line(customer={"id": "x", "features": []}), "customer.features"),
        (line(customer={"id": "x", "features": {"a": {"b": 1}}}), "feature 'a' is a dict"),
        (line(customer={"id": "x", "features": {"a": float("nan")}}), "no finite number"),
        (line(customer={"id": "x", "features": {"a": float("inf")}}), "no finite number"),
        (line(customer={"id": "x", "features": {"a": 10**400}}), "no finite number"),
        (line(question=3), "question is 3"),
        (line(answer=None), "answer is None"),
        (line(passage=["no"]), "passage is ['no']; expected a string"),
        (line(label=2), "label is 2"),
        (line(label=None), "label is None"),
        (line(label="1"), "label is '1'"),
        (line(weight=0), "weight is 0"),
        (line(weight=-1), "weight is -1"),
        (line(weight=1001), "weight is 1001; expected a number above 0, at most 1000"),
        (line(weight=True), "weight is True"),
        (line(weight=10**400), "weight is 1000"),
        (line(at="yesterday"), "at is 'yesterday'"),
        (line(history="none"), "history"),
        (line(history=[1]), "history"),
    ],
)
def test_a_bad_line_is_named(bad: str, expected: str) -> None:
    with pytest.raises(BadExamples) as caught:
        read(line(), bad, line())
    assert str(caught.value).startswith("f.jsonl, line 2: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n", "  \n\n"])
def test_an_empty_file_is_an_error(content: str) -> None:
    with pytest.raises(BadExamples, match=r"f\.jsonl: no examples"):
        read(content)


def test_scoring_needs_no_label() -> None:
    row = {key: value for key, value in ROW.items() if key != "label"}
    (example,) = read(json.dumps(row), labelled=False)
    assert example.pair.question == ROW["question"]
    with pytest.raises(BadExamples, match="label"):
        read(json.dumps(row))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, None, [1]])
def test_a_customer_with_a_feature_that_is_no_value_cannot_be_made(value: Any) -> None:
    with pytest.raises(BadCustomer, match="feature 'x'"):
        Customer("c", None, {"x": value})


def test_only_the_newest_history_is_shown() -> None:
    shown = Customer("c", None, {}, tuple(f"line {n}" for n in range(50))).recent_history
    assert shown[-1] == "line 49"
    assert "line 0" not in shown
    assert len(shown) == HISTORY_SHOWN


def test_the_segment_decides_the_adapter_and_the_shared_one_covers_the_rest() -> None:
    champions = {"gold": "gold@1", "shared": "shared@1"}
    assert adapter_for("gold", champions) == "gold@1"
    assert adapter_for("new", champions) == "shared@1"
    assert adapter_for(None, champions) == "shared@1"
    with pytest.raises(NoAdapter, match="'new'"):
        adapter_for("new", {"gold": "gold@1"})


def test_names_are_numbered_in_order_whatever_their_length() -> None:
    long = "z" * 1_000_000
    assert numbered(["b", long, "a", "b", "a\0", *["c"] * 5]).tolist() == [2, 4, 0, 2, 1, *[3] * 5]
