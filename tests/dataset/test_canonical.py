"""Which rows are the same, and what a row asks."""

from __future__ import annotations

import hashlib
import json
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.dataset.canonical import NotCanonical, canonical, folded, prompts, row_hashes

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
rows = st.dictionaries(st.text(max_size=5), values, max_size=4)


def sha256(data):
    return hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ({"a": 1.0, "b": -0.0, "c": 1.5, "d": 1e22}, '{"a":1,"b":0,"c":1.5,"d":1e+22}'),
        ({"e\u0301": "e\u0301"}, '{"é":"é"}'),
        ({"a": {"z": 1, "y": {}}}, '{"a":{"y":{},"z":1}}'),
        ({"a": '"\\\n\u2028😀'}, '{"a":"\\"\\\\\\n\u2028😀"}'),
        ({}, "{}"),
    ],
)
def test_a_row_has_these_canonical_bytes(row, expected):
    assert canonical(row).decode() == expected


@pytest.mark.needs("jq")
def test_jq_and_sha256sum_recompute_a_rows_hash():
    row = {
        "prompt": 'Say "hi" to Zoë,\nplease',
        "choices": ["a", "b"],
        "answer": 1,
        "meta": {"z": None, "a": True},
    }
    line = subprocess.run(
        ["jq", "-cSj", "."], input=json.dumps(row).encode(), capture_output=True, check=True
    ).stdout

    assert sha256(line) == next(row_hashes(row))


@given(rows)
def test_order_and_spelling_of_json_do_not_matter(row):
    try:
        expected = canonical(row)
    except NotCanonical:
        assert any(
            not unicodedata.is_normalized("NFC", text) for text in json.dumps(row, ensure_ascii=False).split()
        )
        return
    turned = dict(reversed(row.items()))
    assert canonical(json.loads(json.dumps(turned, ensure_ascii=True, indent=3))) == expected


def test_two_keys_that_are_one_in_nfc_cannot_be_hashed():
    with pytest.raises(NotCanonical, match="same text"):
        canonical({"é": 1, "e\u0301": 2})


def test_attack_have_the_reader_sort_combining_marks_for_ever():
    marks = "\u0301" * 500_000 + "\u0316" * 500_000

    for row in ({"prompt": "a" + marks}, {"a": [{marks: 1}]}, {"prompt": "\uff9e" * 1_000_000}):
        with pytest.raises(NotCanonical, match="more than 128 combining marks"):
            list(row_hashes(row))


def test_a_text_with_many_marks_on_one_letter_is_still_a_row():
    assert len(list(row_hashes({"prompt": "Z" + "\u0334\u0301" * 60 + "algo"}))) == 2
    assert len(list(row_hashes({"prompt": "\U0001f602" * 500}))) == 2


def test_no_mark_of_unicode_is_beyond_what_is_looked_at():
    marks = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
    ]

    for mark in (marks[0], marks[-1], max(marks)):
        with pytest.raises(NotCanonical):
            canonical({"a": mark * 129})
    assert min(marks) >= "\u0300"
    assert max(marks) < "\U00020000"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "Hi"}, ["hi"]),
        ({"prompt": "Hi", "choices": ["a"], "answer": 0}, ["hi"]),
        ({"question": "Hi"}, ["hi"]),
        ({"text": "Hi", "label": 1}, ["hi"]),
        ({"instruction": "Hi", "output": "x"}, ["hi"]),
        ({"instruction": "Hi", "input": "", "output": "x"}, ["hi"]),
        ({"instruction": "Sum up.", "input": "Text", "output": "x"}, ["sum up. text", "text"]),
        ({"system": "Be kind.", "prompt": "Hi"}, ["be kind. hi", "hi"]),
        ({"Prompt": "Hi"}, ["hi"]),
        ({"PROMPT": "other", "prompt": "Hi"}, ["hi"]),
        (
            {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]},
            ["hi"],
        ),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "x"}]}, ["hi"]),
        ({"prompt": [{"role": "user", "content": "Hi"}], "chosen": []}, ["hi"]),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi"}]}]},
            ["hi"],
        ),
        ({"output": "only an answer"}, []),
        ({"prompt": "  "}, []),
        ({"prompt": None, "messages": "Hi", "input": 7}, []),
        ({"messages": [None, 7, {"role": "user"}]}, []),
        ({}, []),
    ],
)
def test_a_row_asks_this(row, expected):
    assert prompts(row) == expected


@pytest.mark.parametrize(
    "text",
    [
        "my printer burns",
        "My  Printer\n\tBURNS ",
        "my printer\u00a0burns",
        "ｍｙ printer burns",
        "my printer burns\u3000",
    ],
)
def test_case_spacing_and_unicode_form_do_not_hide_a_prompt(text):
    assert folded(text) == "my printer burns"


@given(st.text(max_size=20))
def test_folding_again_changes_nothing_for_latin_text(text):
    latin = "".join(character for character in text if character < "\u0250")

    assert folded(folded(latin)) == folded(latin)


def test_a_prompts_hash_is_that_of_a_row_that_holds_nothing_else():
    hashes = list(row_hashes({"instruction": "My Printer burns", "output": "x"}))

    assert hashes[1:] == [sha256(b'{"prompt":"my printer burns"}')]
    assert hashes[1] == next(row_hashes({"prompt": "my printer burns"}))
