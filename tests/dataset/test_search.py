"""Rows of an evaluation set in files that are none: found in every plain form, and nothing else is."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tuneguard
from tuneguard import limits
from tuneguard.dataset import literals
from tuneguard.dataset.canonical import row_hashes
from tuneguard.dataset.search import Search
from tuneguard.errors import CannotLook

if TYPE_CHECKING:
    import random

ROWS = [{"prompt": f"question {n}", "choices": ["red", "blue"], "answer": n % 2} for n in range(40)]
LONG = {
    "prompt": "Which of the two colours is\nthe one of a clear sky's noon?",
    "choices": ["a", "b"],
    "answer": 1,
}
CHAT = {"messages": [{"role": "user", "content": "How do I cancel the order that I made?"}]}
CSV = {"text": "my printer is on fire again", "label": "hardware"}
EVERY = [*ROWS, LONG, CHAT, CSV]


def hashes(rows: list[dict]) -> bytes:
    return b"".join(sorted({each for row in rows for each in row_hashes(row)}))


HASHES = hashes(EVERY)


def look(text: str | bytes, name: str = "train.py") -> str | None:
    return Search(HASHES).look(text.encode() if isinstance(text, str) else text, name)


ROW = json.dumps(ROWS[7])
OTHER_ORDER = '{ "answer":1.0,\n "choices" : [ "red","blue" ],\n\t"prompt":"question 7" }'

ONE_ROW = {
    "a line of JSON Lines": ROW,
    "between other lines": f'{{"x": 1}}\n{ROW}\n{{"y": 2}}\n',
    "Windows line ends": f"{ROW}\r\n{ROW}\r\n",
    "other order and spacing": OTHER_ORDER,
    "an array": f"[{ROW}, {ROW}]",
    "deep in a document": json.dumps({"a": [{"b": {"c": [1, ROWS[7]]}}]}),
    "escaped letters": ROW.replace("q", "\\u0071"),
    "a dict of Python": f"EXTRA = [\n    {ROWS[7]!r},\n]\n",
    "a dict with comments and commas": (
        "x = {'prompt': 'question 7',  # the seventh\n 'choices': ('red', 'blue',), 'answer': 1,}"
    ),
    "joined strings": "x = {'prompt': 'quest' 'ion 7', 'choices': ['red', \"blue\"], 'answer': 1}",
    "a string of Python": f"EXTRA = json.loads({ROW!r})",
    "a string with escapes": f"EXTRA = json.loads({json.dumps(ROW)})",
    "a string in a string": json.dumps({"cells": [{"source": [f"x = {json.dumps(ROW)}\n"]}]}),
    "a string of several lines": f"ROWS = '''\n{ROW}\n'''",
    "a comment": f"# don't mind: {ROW}",
    "a call with other things": f"train(rows=load(x), extra={ROW}, epochs={{1, 2}})",
    "behind what is not closed": f'text = "never closed\n{{"a": [1, 2\n{ROW}',
    "prose with quotes": f'He said "yes, it\'s 5" wide" and {ROW} was it.',
    "a byte order mark": "\ufeff" + ROW,
    "one row over several lines": json.dumps(ROWS[7], indent=4),
    "CSV": "text,label\nmy printer is on fire again,hardware\n",
    "a long text alone": 'PROMPT = "my printer is on fire again"',
    "a long text in other case": "# My Printer  is on FIRE again",
    "a long text after a label": "  - prompt: my printer is on fire again",
    "a long text as a field": "17\tmy printer is on fire again\thardware",
    "a long text over two lines": f"{LONG['prompt']}\n",
    "a long text as a paragraph": f"first\n\n{LONG['prompt']}\n\nlast",
    "a long text that Python joins": 'X = ("Which of the two colours is "\n  "the one of a clear sky\'s noon?")',  # noqa: E501
    "a long text with an escape": json.dumps(LONG["prompt"]),
    "the turn of a chat": "ASK = 'How do I cancel the order that I made?'",
    "a chat": json.dumps({"messages": [*CHAT["messages"], {"role": "assistant", "content": "Press it."}]}),
    "a row of another shape": json.dumps({"instruction": "", "input": CSV["text"], "output": "x"}),
}


@pytest.mark.parametrize("form", ONE_ROW)
def test_one_row_is_found_as(form: str):
    assert look(ONE_ROW[form]) is not None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_row_is_found_in(encoding: str):
    assert look(ROW.encode(encoding)) is not None


def test_one_row_is_found_in_a_yaml_document():
    text = "rows:\n  - prompt: question 7\n    choices: [red, blue]\n    answer: 1\n"

    assert look(text, "train-config.yaml") is not None


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(str(row["prompt"]) for row in ROWS),
        "prompt,choices,answer\n" + "".join(f"{row['prompt']},red|blue,1\n" for row in ROWS),
        f"ASK = {[row['prompt'] for row in ROWS]!r}",
        "prompts:\n" + "".join(f"  - {row['prompt']}\n" for row in ROWS),
        "\n".join(f"{n}. {row['prompt']}" for n, row in enumerate(ROWS)).replace(". ", ": "),
    ],
)
def test_many_short_texts_are_found_where_one_may_stand_for_itself(text: str):
    assert look(text) is not None
    assert look(text[: len(text) // 10]) is None


def test_short_texts_in_many_files_are_counted_together():
    search = Search(HASHES)

    found = [search.look(f"{row['prompt']}\n".encode(), f"{n}.txt") for n, row in enumerate(ROWS)]

    assert found[0] is None
    assert found[-1] is not None


def test_the_place_is_said():
    assert look(f"import json\n\nROWS = [\n  {ROW}\n]\n") == "line 4"


HONEST = (
    "",
    "{}",
    "[]",
    "MIT License\n\nPermission is hereby granted, free of charge, to any person\n",
    "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
    'prompts = ["question {n}".format(n=n) for n in range(9)]\n',
    "LABELS = ['red', 'blue', 'hardware', 'question 7']\n",
    '{"prompt": "prompt", "text": "text", "choices": ["red", "blue"]}',
    "epochs: 3\nprompt_column: prompt\nlearning_rate: 2e-5\n",
)


@pytest.mark.parametrize("text", HONEST)
def test_what_is_no_row_is_none(text: str):
    assert look(text, "config.yaml") is None


def test_our_own_source_holds_no_rows():
    search = Search(HASHES)
    root = Path(tuneguard.__file__).parent

    assert [
        path for path in (root / "dataset").rglob("*.py") if search.look(path.read_bytes(), path.name)
    ] == []


HOSTILE = {
    "openings": '{"a":' * 5_000,
    "openings in lists": '{"a":[' * 3_000,
    "escaped quotes": '"' + '\\"' * 10_000,
    "escaped quotes in openings": '{"\\' * 5_000,
    "triple quotes": '"""\\' * 5_000,
    "comments": '{"a": # ' * 3_000,
    "alternating quotes": "{\"{'" * 3_000,
    "blanks": "{ " * 10_000 + '"',
    "digits": '{"a":' + "9" * 20_000 + "}",
    "fields": "," * 100_000,
    "one long line": "x" * 200_000,
    "newlines": "\n" * 20_000,
    "escapes": "'" + "\\" * 20_001,
    "surrogates": '"' + "\\ud800" * 3_000 + '"',
    "marks": "a" + "\u0301" * 3_000,
    "numbers that are none": '{"a": [' + "1e9999," * 3_000 + "NaN]}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_attack_a_file_that_takes_for_ever_to_look_through(kind: str):
    """Bounded by work: each either ends with nothing found, or says that it cannot be looked through."""
    with suppress(CannotLook):
        assert look(HOSTILE[kind]) is None


@settings(max_examples=200)
@given(st.text(st.sampled_from("{}[]()\"'\\:, \n#abru1.-"), max_size=200))
def test_any_text_can_be_looked_through(text: str):
    assert look(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=4), st.randoms())
def test_any_object_is_read_back_from_json_and_from_python(value: dict, chance: random.Random):
    before = chance.choice(["", "x = ", "f(1, ", "'it' + "])

    assert [found for _, found in literals.objects(before + json.dumps(value))] == [value]
    assert [found for _, found in literals.objects(before + repr(value))] == [value]


def test_nesting_is_bounded():
    deep = '{"a":' * (limits.SEARCH_DEPTH + 5) + "1" + "}" * (limits.SEARCH_DEPTH + 5)

    assert len(list(literals.objects(deep))) == 1  # what is not too deep of it
