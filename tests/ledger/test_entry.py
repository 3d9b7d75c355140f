"""Entries: one encoding each, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.errors import NotUnderstood, UsageError
from tuneguard.ledger.entry import Entry, Event, new_attempt, rfc3339

ENTRY = Entry(
    7,
    "2026-11-23T10:42:00Z",
    Event.JUDGED,
    "scan",
    run="042",
    attempt="0123456789abcdef",
    model="support-llama",
    tree="ab" * 32,
    result="passed",
    detail={"findings": 0, "file": "scan-0123.sigstore.json", "clean": True, "notes": ["é", None, {"a": -1}]},
)
LEAF = (
    '{"attempt":"0123456789abcdef","command":"scan","detail":{"clean":true,"file":"scan-0123.sigstore.json",'
    '"findings":0,"notes":["é",null,{"a":-1}]},"event":"judged","model":"support-llama","result":"passed",'
    '"run":"042","schema":"tuneguard.dev/ledger/v1","sequence":7,"time":"2026-11-23T10:42:00Z","tree":"'
    + "ab" * 32
    + '"}'
).encode()

scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8)
keys = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/@:-]{0,8}", fullmatch=True)
details = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def changed(**fields):
    """LEAF with some fields changed, encoded as canonically as can be."""
    document = json.loads(LEAF) | fields
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_an_entry_has_exactly_these_bytes():
    assert ENTRY.encode() == LEAF
    assert Entry.decode(LEAF, "ledger.db") == ENTRY


@given(details)
def test_what_is_written_is_read_back_and_written_the_same(detail):
    entry = Entry(0, "2026-01-01T00:00:00Z", Event.DONE, "push", detail=detail)

    again = Entry.decode(entry.encode(), "ledger.db")

    assert again == entry
    assert again.encode() == entry.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        LEAF + b"\n",
        LEAF.replace(b":7,", b": 7,"),
        LEAF.replace(b":7,", b":7.0,"),
        LEAF.replace(b":7,", b":-7,"),
        LEAF.replace(b":7,", b":true,"),
        LEAF.replace("é".encode(), b"\\u00e9"),
        LEAF.replace(b'"judged"', b'"guessed"'),
        LEAF.replace(b"10:42", b"25:42"),
        LEAF.replace(b"00Z", b"00+00:00"),
        LEAF.replace(b"ledger/v1", b"ledger/v2"),
        LEAF.replace(b'"run":"042"', b'"run":"042","run":"043"'),
        LEAF.replace(b'"passed"', b'"pass ed"'),
        LEAF.replace(b"abab", b"ABAB"),
        changed(extra=1),
        changed(detail={"ratio": 0.5}),
        changed(detail=[]),
        changed(run="../x"),
        changed(run=42),
        changed(model="a\u2028b"),
        changed(detail={"big": 2**60}),
        changed(detail={"deep": [[[[[[[[[[]]]]]]]]]]}),
        changed(detail={"": 1}),
        changed(detail={"text": "x" * 70_000}),
        json.dumps({key: value for key, value in json.loads(LEAF).items() if key != "run"}).encode(),
        b"[" * 60_000,
    ],
)
def test_bytes_that_we_would_not_have_written_are_not_an_entry(data):
    with pytest.raises(NotUnderstood):
        Entry.decode(data, "ledger.db")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event", "guessed"),
        ("command", ""),
        ("command", None),
        ("run", "a b"),
        ("run", ""),
        ("attempt", "-x"),
        ("model", "a\nb"),
        ("tree", "ab"),
        ("result", "PASSED"),
        ("detail", {"ratio": 0.5}),
        ("detail", {"key with spaces": 1}),
        ("detail", {"half": "\ud800"}),
        ("detail", None),
        ("sequence", -1),
        ("time", "2026-02-30T00:00:00Z"),
    ],
)
def test_a_value_that_no_entry_may_hold_is_the_callers_mistake(field, value):
    with pytest.raises(UsageError):
        dataclasses.replace(ENTRY, **{field: value})


def test_an_entry_that_is_too_large_says_so_before_anything_is_written():
    with pytest.raises(UsageError, match="over the limit"):
        dataclasses.replace(ENTRY, detail={"text": "x" * 70_000}).encode()


def test_nobody_can_change_an_entry_through_the_mapping_that_they_gave():
    detail = {"findings": {"high": 0}}
    entry = dataclasses.replace(ENTRY, detail=detail)
    before = entry.encode()

    detail["findings"]["high"] = 9

    assert entry.encode() == before
    with pytest.raises(TypeError):
        entry.detail["findings"]["high"] = 9


def test_times_are_utc_to_the_second_wherever_the_clock_stands():
    moment = datetime(2026, 11, 23, 11, 42, 59, 999_999, tzinfo=timezone(timedelta(hours=1)))

    assert rfc3339(moment) == "2026-11-23T10:42:59Z"
    assert rfc3339(moment.astimezone(UTC)) == "2026-11-23T10:42:59Z"


def test_every_attempt_has_its_own_name():
    assert len({new_attempt() for _ in range(100)}) == 100
