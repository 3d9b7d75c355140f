"""Rows out of bytes: strictly, and with the line where something is wrong."""

from __future__ import annotations

import contextlib
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.dataset.formats import read_csv, read_jsonl, reader_of
from tuneguard.errors import NotUnderstood


def jsonl(data):
    return list(read_jsonl(io.BytesIO(data), "rows.jsonl"))


def table(data):
    return list(read_csv(io.BytesIO(data), "rows.csv"))


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("rows.jsonl", read_jsonl),
        ("a/b.c/rows.NDJSON", read_jsonl),
        ("rows.csv", read_csv),
        ("rows.json", None),
        ("rows.jsonl.gz", None),
        ("rows.tsv", None),
        ("jsonl", None),
    ],
)
def test_a_files_name_says_how_its_rows_are_read(name, reader):
    assert reader_of(name) is reader


# --- JSON Lines ------------------------------------------------------------------------------------


def test_each_line_is_a_row_with_its_place():
    assert jsonl(b'{"a":1}\n{"a":"x\\ny"}\r\n{}') == [
        ("rows.jsonl:1", {"a": 1}),
        ("rows.jsonl:2", {"a": "x\ny"}),
        ("rows.jsonl:3", {}),
    ]
    assert jsonl(b"") == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "an empty line"),
        (b"   ", "an empty line"),
        (b"[1]", "is not an object"),
        (b'"text"', "is not an object"),
        (b"{'a':1}", "is not JSON"),
        (b'{"a":1', "is not JSON"),
        (b'{"a":1}{"b":2}', "is not JSON"),
        (b'{"a":1,"a":2}', "duplicate key `a`"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":1e999}', "float"),
        (b'{"a":\xff}', "not UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", "nested deeper"),
        (b'{"a":123456789012345678901234567890}', "64 bits"),
    ],
)
def test_a_malformed_row_names_its_line(line, why):
    with pytest.raises(NotUnderstood, match=why) as caught:
        jsonl(b'{"a":1}\n{"a":2}\n' + line + b"\n{}")
    assert str(caught.value).endswith("rows.jsonl:3")


def test_a_byte_order_mark_is_told():
    with pytest.raises(NotUnderstood, match="byte order mark"):
        jsonl(b'\xef\xbb\xbf{"a":1}\n')
    with pytest.raises(NotUnderstood, match="byte order mark"):
        table(b"\xef\xbb\xbfa,b\n1,2\n")


def test_a_line_without_end_is_given_up_at_the_limit(monkeypatch):
    monkeypatch.setattr(limits, "ROW_BYTES", 1000)

    class Endless(io.RawIOBase):
        given = 0

        def readline(self, size=-1):
            self.given += size
            assert self.given < 10_000
            return b'"' * size

    for read in (read_jsonl, read_csv):
        with pytest.raises(NotUnderstood, match="longer than 1,000 bytes"):
            list(read(Endless(), "rows"))
    assert jsonl(b'{"a":"' + b"x" * 992 + b'"}\r\n')
    with pytest.raises(NotUnderstood, match="longer"):
        jsonl(b'{"a":"' + b"x" * 993 + b'"}\r\n')


def test_a_hostile_file_name_is_printed_escaped():
    with pytest.raises(NotUnderstood) as caught:
        list(read_jsonl(io.BytesIO(b"x"), "\x1b[2J.jsonl"))
    assert "\x1b" not in str(caught.value)


# --- CSV -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_each_record_is_an_object_of_strings(end):
    lines = [b"id,text", b'1,"a, ""b"""', b"2,", b'3,"two', b'lines"', b' 4 ," x "', b'"5",""']

    assert table(end.join(lines) + end) == [
        ("rows.csv:2", {"id": "1", "text": 'a, "b"'}),
        ("rows.csv:3", {"id": "2", "text": ""}),
        ("rows.csv:4", {"id": "3", "text": "two" + end.decode() + "lines"}),
        ("rows.csv:6", {"id": " 4 ", "text": " x "}),
        ("rows.csv:7", {"id": "5", "text": ""}),
    ]


def test_a_last_line_needs_no_end_and_a_header_alone_has_no_rows():
    assert table(b"a\n1") == [("rows.csv:2", {"a": "1"})]
    assert table(b"a,b\n") == []
    assert table(b"") == []


@pytest.mark.parametrize(
    ("lines", "why", "line"),
    [
        (b"1", "has 1 fields, and the header 2", 3),
        (b"1,2,3", "has 3 fields", 3),
        (b"", "an empty line", 3),
        (b'1,a"b"', "middle of a field", 3),
        (b'1,"a"b', "text follows a closing quote", 3),
        (b'1,"a" ', "text follows a closing quote", 3),
        (b'1,"a\n2,b\n3,c', "never closed", 3),
        (b"1,a\rb", "carriage return", 3),
        (b"1,a\0b", "NUL", 3),
        (b"1,\xff", "not UTF-8", 3),
    ],
)
def test_a_malformed_record_names_its_first_line(lines, why, line):
    with pytest.raises(NotUnderstood, match=why) as caught:
        table(b'id,text\n0,"ok"\n' + lines + b"\n")
    assert str(caught.value).endswith(f"rows.csv:{line}")


@pytest.mark.parametrize(
    ("header", "why"),
    [(b"a,a", "the column a twice"), (b"a,", "without a name"), (b'a," "', "without a name")],
)
def test_a_header_that_names_no_columns_refuses(header, why):
    with pytest.raises(NotUnderstood, match=why):
        table(header + b"\n1,2\n")


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6), min_size=2, max_size=2
        ),
        max_size=5,
    )
)
def test_what_pythons_writer_writes_is_read_as_it_was(records):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *records])

    assert [list(row.values()) for _, row in table(text.getvalue().encode())] == records


@given(st.binary(max_size=60))
def test_any_bytes_are_rows_or_not_understood(data):
    for read in (jsonl, table):
        with contextlib.suppress(NotUnderstood):
            read(data)


@given(st.text('a,"\r\n', max_size=30))
def test_what_we_accept_pythons_strict_reader_reads_the_same(text):
    try:
        found = [
            list(row.values())
            for _, row in table(b"h1\n" + text.encode() if "," not in text else b"h1,h2\n" + text.encode())
        ]
    except NotUnderstood:
        return
    theirs = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert found == theirs
