"""The accuracy suite, without a model: reading, asking, choosing, counting."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.errors import NotUnderstood, Refused, TuneguardError
from tuneguard.evaluation.suites import accuracy

ROWS = [
    {"prompt": "2 + 2 =", "choices": ["3", "4", "5"], "answer": 1},
    {"prompt": "The sky is", "choices": ["blue", "green"], "answer": 0},
    {"prompt": "Ice is", "choices": ["hot", "loud", "cold"], "answer": 2},
]


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Preferring:
    """Models that find the continuations likelier the later they stand in a list of favourites."""

    def __init__(self, *favourites: str, otherwise: float = -9.0) -> None:
        self.favourites, self.otherwise = favourites, otherwise
        self.heard: list[tuple[str, str]] = []

    def log_likelihoods(self, pairs):
        self.heard += pairs
        return [
            -1.0 / (1 + self.favourites.index(choice.strip()))
            if choice.strip() in self.favourites
            else self.otherwise - 0.01 * at
            for at, (_, choice) in enumerate(pairs)
        ]

    def answer(self, prompts, *, tokens):
        raise AssertionError("nothing is generated")

    def toxicity(self, texts):
        raise AssertionError("nothing is classified")


def test_a_model_that_prefers_the_right_choices_is_right():
    rows = accuracy.read(lines(*ROWS), "accuracy.jsonl")

    outputs = accuracy.measure(Preferring("4", "blue", "cold"), accuracy.ask(rows))

    assert outputs == [1, 0, 2]
    assert accuracy.count(rows, outputs) == accuracy.Counted(count=3, empty=0, constant=False)


def test_the_right_answers_are_not_among_what_is_asked():
    rows = accuracy.read(lines(*ROWS), "accuracy.jsonl")
    moved = accuracy.read(
        lines(*({**row, "answer": (row["answer"] + 1) % 2} for row in ROWS)), "accuracy.jsonl"
    )

    assert accuracy.ask(rows) == accuracy.ask(moved)


@pytest.mark.parametrize(
    ("prompt", "choice", "joined"),
    [("It is", "so", " so"), ("It is ", "so", "so"), ("It is", " so", " so"), ("It is:\n", "so", "so")],
)
def test_prompt_and_choice_are_joined_by_one_space_unless_there_is_one(prompt, choice, joined):
    models = Preferring("so")

    accuracy.measure(models, [[prompt, [choice, "else"]]])

    assert models.heard[0] == (prompt, joined)


@pytest.mark.parametrize(
    "scores", [[-1.0, -1.0], [math.nan, -1.0], [-math.inf, -math.inf], [-1.0, -math.inf], [math.inf, 0.0]]
)
def test_a_model_that_cannot_tell_has_no_answer_and_is_not_right(scores):
    class Undecided(Preferring):
        def log_likelihoods(self, pairs):
            return scores

    rows = [accuracy.Row("Is it?", ("yes", "no"), 0)]

    outputs = accuracy.measure(Undecided(), accuracy.ask(rows))

    assert outputs == [None]
    assert accuracy.count(rows, outputs) == accuracy.Counted(count=0, empty=1, constant=False)


def test_a_model_that_always_takes_the_same_place_is_constant():
    rows = accuracy.read(lines(*ROWS), "accuracy.jsonl")

    assert accuracy.count(rows, [1, 1, 1]).constant
    assert not accuracy.count(rows, [1, 1, 0]).constant


def test_a_model_that_always_says_the_same_word_is_constant_wherever_the_word_stands():
    rows = [accuracy.Row("a", ("yes", "no"), 0), accuracy.Row("b", ("no", "yes"), 0)]

    assert accuracy.count(rows, [0, 1]).constant


@pytest.mark.parametrize("output", [3, -1, True, 1.0, "1", [1], {}])
def test_an_answer_that_is_no_choice_is_not_understood(output):
    rows = accuracy.read(lines(*ROWS), "accuracy.jsonl")

    with pytest.raises(NotUnderstood, match="none of the choices"):
        accuracy.count(rows, [output, 0, 2])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"choices": ["a", "b"], "answer": 0}, "has no `prompt`"),
        (
            {"prompt": " ", "choices": ["a", "b"], "answer": 0},
            "`prompt` is not a text with visible characters",
        ),
        ({"prompt": 7, "choices": ["a", "b"], "answer": 0}, "`prompt` is not a text"),
        ({"prompt": "x" * 70_000, "choices": ["a", "b"], "answer": 0}, "longer than"),
        ({"prompt": "p", "answer": 0}, "2 to 100 `choices`"),
        ({"prompt": "p", "choices": "ab", "answer": 0}, "2 to 100 `choices`"),
        ({"prompt": "p", "choices": ["a"], "answer": 0}, "2 to 100 `choices`"),
        ({"prompt": "p", "choices": ["a", ""], "answer": 0}, "a choice is not a text"),
        ({"prompt": "p", "choices": ["a", " a"], "answer": 0}, "same choice twice"),
        ({"prompt": "p", "choices": ["a", "b"]}, "an `answer` from 0 to 1"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": 2}, "an `answer` from 0 to 1"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": -1}, "an `answer` from 0 to 1"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": True}, "an `answer` from 0 to 1"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": "a"}, "an `answer` from 0 to 1"),
        (["p", ["a", "b"], 0], "is not a JSON object"),
        (ROWS[0], "asks the same as line 1"),
        ({**ROWS[0], "choices": ["5", "4", "3"], "answer": 1}, "asks the same as line 1"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(row, says):
    with pytest.raises(NotUnderstood, match=says) as raised:
        accuracy.read(lines(ROWS[0], row), "accuracy.jsonl")

    assert str(raised.value).endswith("at accuracy.jsonl:2")
    assert raised.value.help


def test_the_same_question_with_other_choices_is_another_question():
    other = {**ROWS[0], "choices": ["four", "five"], "answer": 0}

    assert len(accuracy.read(lines(ROWS[0], other), "accuracy.jsonl")) == 2


@pytest.mark.parametrize("data", [b"{\n", b'{"prompt": NaN}\n', b'{"a":1,"a":2}\n', b"\xff\n"])
def test_a_line_that_is_not_strict_json_is_not_understood(data):
    with pytest.raises(NotUnderstood, match=r"accuracy\.jsonl:2"):
        accuracy.read(lines(ROWS[0]) + data, "accuracy.jsonl")


def test_an_empty_line_is_named():
    with pytest.raises(NotUnderstood, match=r"the line is empty at accuracy\.jsonl:2"):
        accuracy.read(lines(ROWS[0]) + b"\n" + lines(ROWS[1]), "accuracy.jsonl")


def test_an_empty_set_is_refused():
    with pytest.raises(Refused, match="holds no rows"):
        accuracy.read(b"", "accuracy.jsonl")


def test_a_set_whose_right_answer_never_moves_is_refused():
    with pytest.raises(Refused, match="always choice 1"):
        accuracy.read(lines(ROWS[0], {**ROWS[1], "answer": 1}), "accuracy.jsonl")


def test_a_set_whose_right_answer_is_always_the_same_word_is_refused():
    rows = [
        {"prompt": "a", "choices": ["yes", "no"], "answer": 0},
        {"prompt": "b", "choices": ["no", "yes"], "answer": 1},
    ]

    with pytest.raises(Refused, match="always the same text"):
        accuracy.read(lines(*rows), "accuracy.jsonl")


@given(st.binary(max_size=200))
def test_whatever_the_file_holds_only_our_own_errors_come_out(data):
    try:
        rows = accuracy.read(data, "accuracy.jsonl")
    except TuneguardError:
        return
    assert rows


@given(st.lists(st.none() | st.integers(-1, 3) | st.booleans() | st.text(max_size=2), min_size=3, max_size=3))
def test_whatever_comes_back_no_more_is_counted_than_was_asked(outputs):
    rows = accuracy.read(lines(*ROWS), "accuracy.jsonl")
    try:
        counted = accuracy.count(rows, outputs)
    except NotUnderstood:
        return
    assert 0 <= counted.count <= len(rows) - counted.empty
