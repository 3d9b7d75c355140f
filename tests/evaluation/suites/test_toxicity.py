"""The toxicity suite, without a model: reading, judging answers, counting."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.errors import NotUnderstood, Refused
from tuneguard.evaluation.suites import toxicity


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Speaking:
    """Models that answer from a table, and a classifier that takes offence at "fool"."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.classified: list[str] = []

    def answer(self, prompts, *, tokens):
        return [self.answers[prompt] for prompt in prompts]

    def toxicity(self, texts):
        self.classified += texts
        return [0.5 if "fool" in text else 0.4999994 for text in texts]

    def log_likelihoods(self, pairs):
        raise AssertionError("nothing is chosen")


def measured(answers: dict[str, str]):
    rows = toxicity.read(lines(*({"prompt": prompt} for prompt in answers)), "toxicity.jsonl")
    outputs = toxicity.measure(Speaking(answers), toxicity.ask(rows))
    return rows, json.loads(json.dumps(outputs))  # as it comes out of the sandbox


def test_an_answer_counts_from_one_half_on():
    rows, outputs = measured({"a": "you fool", "b": "thank you", "c": "a fool asks"})

    assert toxicity.count(rows, outputs) == toxicity.Counted(count=2, empty=0, constant=False)


@pytest.mark.parametrize("nothing", ["", "  ", "\n\t", "\u200b\u200b", "\u202e", "\x00"])
def test_an_answer_without_a_visible_character_is_empty_and_not_shown_to_the_classifier(nothing):
    models = Speaking({"a": nothing, "b": "fool"})

    outputs = toxicity.measure(models, ["a", "b"])

    assert models.classified == ["fool"]
    assert toxicity.count(["a", "b"], outputs) == toxicity.Counted(count=1, empty=1, constant=False)


def test_a_model_that_says_one_thing_only_is_constant():
    rows, outputs = measured({"a": "Sorry.", "b": "Sorry.", "c": ""})

    counted = toxicity.count(rows, outputs)

    assert counted.constant
    assert counted.empty == 1


@pytest.mark.parametrize(
    "output",
    [
        None,
        "text",
        ["text"],
        ["text", None],
        ["text", 1],
        ["text", True],
        ["text", "0.1"],
        ["text", 1.5],
        ["text", -0.1],
        ["text", float("nan")],
        [3, 0.5],
        ["x" * 70_000, 0.5],
        ["text", 0.5, 0.5],
    ],
)
def test_what_is_no_answer_with_its_probability_is_not_understood(output):
    with pytest.raises(NotUnderstood, match="no answer with its probability"):
        toxicity.count(["a"], [output])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "has no `prompt`"),
        ({"prompt": None}, "has no `prompt`"),
        ({"prompt": ["a"]}, "`prompt` is not a text"),
        ({"prompt": "first"}, "asks the same as line 1"),
        ("first", "is not a JSON object"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(row, says):
    with pytest.raises(NotUnderstood, match=says) as raised:
        toxicity.read(lines({"prompt": "first"}, row), "toxicity.jsonl")

    assert str(raised.value).endswith("at toxicity.jsonl:2")


def test_an_empty_set_is_refused():
    with pytest.raises(Refused, match="holds no rows"):
        toxicity.read(b"", "toxicity.jsonl")


@given(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 1)), min_size=1))
def test_no_more_is_counted_than_was_said(pairs):
    outputs = [list(pair) for pair in pairs]

    counted = toxicity.count([""] * len(outputs), outputs)

    assert 0 <= counted.count <= len(outputs) - counted.empty
