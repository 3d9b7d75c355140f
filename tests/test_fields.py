"""A file held against a dataclass: every fault at once, each with its place and its mend."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (decode reads these annotations)
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import pytest

from tuneguard.errors import ConfigurationError
from tuneguard.fields import Count, Digest, Duration, Instant, Name, Or, Size, decode
from tuneguard.nodes import Node  # noqa: TC001 (likewise)
from tuneguard.records import read_yaml


@dataclass(frozen=True, slots=True)
class Inner:
    """A nested record."""

    first_name: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Outer:
    """Every kind of field."""

    count: int
    flag: bool = False
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    words: frozenset[Literal["red", "green"]] = frozenset()
    by_name: Mapping[Name, int] = field(default_factory=dict)
    which: Annotated[tuple[Digest, ...] | None, Or("any")] = None
    raw: Node | None = None
    since: Instant | None = field(default=None, metadata={"key": "from"})


@dataclass(frozen=True, slots=True)
class Values:
    """One of each value that is more than a scalar."""

    a: Duration | None = None
    b: Size | None = None
    c: Digest | None = None
    d: Instant | None = None
    e: Name | None = None
    f: Count | None = None


def faults(text: str, type: type = Outer) -> list[tuple[str, str, str | None]]:
    with pytest.raises(ConfigurationError) as caught:
        decode(read_yaml(text.encode(), "f"), type)
    return [(problem.where, problem.what, problem.help) for problem in caught.value.problems]


def value(text: str) -> Values:
    return decode(read_yaml(text.encode(), "f"), Values)


def test_keys_are_camel_case_and_values_are_immutable():
    text = "{count: 3, inner: {firstName: Ada}, byName: {x: 1}, words: [red], from: 2026-01-02T03:04:05Z}"

    outer = decode(read_yaml(text.encode(), "f"), Outer)

    assert outer.inner == Inner("Ada", 1.0)
    assert outer.by_name == {"x": 1}
    assert outer.words == {"red"}
    assert outer.since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pytest.raises(TypeError):
        outer.by_name["y"] = 2


def test_every_fault_is_reported_in_the_order_of_the_file():
    text = """\
coumt: 1
flag: 1
inner: {firstname: 7}
words: [red, gren, red]
many: [{firstName: a, share: x}, 3]
which: all
"""

    assert faults(text) == [
        ("f:1:1", "unknown key `coumt`", "did you mean `count`?"),
        ("f:1:1", "missing key `count`", None),
        ("f:2:7", "`flag` must be true or false, found the number 1", None),
        ("f:3:8", "missing key `firstName` in `inner`", None),
        ("f:3:9", "unknown key `firstname`", "did you mean `firstName`?"),
        ("f:4:14", "an item of `words` must be `red` or `green`, found `gren`", "did you mean `green`?"),
        ("f:5:30", "`share` must be a number, found text", None),
        ("f:5:34", "an item of `many` must be a mapping, found the number 3", None),
        ("f:6:8", "`which` must be a list, found text", "write it as [a, b]"),
    ]


def test_the_same_item_twice_is_a_fault_at_the_second():
    assert faults("{count: 1, words: [red, red]}") == [("f:1:25", "`words` holds `red` twice", "keep one")]


def test_a_number_in_place_of_text_says_how_it_was_written():
    assert faults("{count: 1, inner: {firstName: 042}}") == [
        ("f:1:31", "`firstName` must be text, found the number 34 (written 042)", 'write "042"')
    ]


def test_a_word_that_yaml_takes_for_a_truth_says_so():
    assert faults("{count: 1, inner: {firstName: no}}") == [
        ("f:1:31", "`firstName` must be text, found `no`, which means false", 'write "no"')
    ]


@pytest.mark.parametrize("text", ["true", "1.0", "'1'", "~", "[]"])
def test_a_whole_number_is_nothing_else(text):
    assert faults(f"count: {text}")[0][1].startswith("`count` must be a whole number, found")


def test_an_emptied_list_never_becomes_any():
    assert faults("{count: 1, which: }") == [
        ("f:1:19", "`which` must be a list, found nothing", "write it as [a, b]")
    ]
    assert decode(read_yaml(b"{count: 1, which: []}", "f"), Outer).which == ()
    assert decode(read_yaml(b"{count: 1, which: any}", "f"), Outer).which is None


def test_nothing_given_is_not_the_default():
    assert faults("{count: 1, flag: }")[0][1] == "`flag` must be true or false, found nothing"


def test_a_raw_node_keeps_its_place():
    raw = decode(read_yaml(b"count: 1\nraw: {a: [1]}", "f"), Outer).raw

    assert raw.get("a").where == "f:2:10"


def test_a_document_that_is_not_a_mapping_says_what_it_is():
    assert faults("[1]") == [("f:1:1", "the document must be a mapping, found a list", None)]


def test_an_unknown_key_with_an_escape_sequence_is_printed_escaped():
    assert faults('{count: 1, "\\e[2J\\u202e": 2}')[0][1] == r"unknown key `\x1b[2J\u202e`"


def test_an_unknown_key_of_a_thousand_characters_is_cut():
    (_, what, help), *_ = faults('{count: 1, "' + "x" * 1_000 + '": 2}')

    assert len(what) < 120
    assert help.startswith("known here: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("16h", timedelta(hours=16)),
        ("90d", timedelta(days=90)),
        ("2w", timedelta(days=14)),
    ],
)
def test_durations(text, expected):
    assert value(f"a: {text}").a == expected


@pytest.mark.parametrize(
    "text", ["90", "0d", "-1d", "1.5h", "1h30m", "90 d", "٩d", "9999999999d", "~x", "1y"]
)
def test_what_is_no_duration(text):
    (_, what, help), *_ = faults(f"a: {text}", Values)

    assert what.startswith("`a` must be a duration, found")
    assert help.endswith("such as 90d")


def test_sizes_are_those_of_kubernetes():
    sizes = {
        "1": 1,
        "1k": 1000,
        "1Ki": 1024,
        "50Gi": 50 * 2**30,
        "2T": 2 * 10**12,
        "1Ti": 2**40,
        "3M": 3 * 10**6,
    }

    assert {text: value(f"b: {text}").b for text in sizes} == sizes


@pytest.mark.parametrize("text", ["0", "-1", "1.5Gi", "1gi", "1 Gi", "1GB", "true", "[]", "1" * 16])
def test_what_is_no_size(text):
    assert faults(f"b: {text}", Values)[0][1].startswith("`b` must be a size, found")


@pytest.mark.parametrize("digest", ["AB" * 32, "ab" * 31, "ab" * 33, "sha256:" + "ab" * 32, "xy" * 32])
def test_a_digest_has_one_spelling(digest):
    assert value(f"c: {'ab' * 32}").c == "ab" * 32
    assert faults(f"c: {digest}", Values)[0][1].startswith("`c` must be 64 hex digits in lower case")


def test_a_digest_of_digits_alone_is_a_number_unless_it_is_quoted():
    with pytest.raises(ConfigurationError, match="64 bits") as caught:
        value(f"c: {'1' * 64}")

    assert caught.value.help == "quote it if it is text"
    assert value(f'c: "{"1" * 64}"').c == "1" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-06-01T00:00:00Z", datetime(2027, 6, 1, tzinfo=UTC)),
        ("2027-06-01t00:00:00z", datetime(2027, 6, 1, tzinfo=UTC)),
        ("2027-06-01T02:30:00.5+02:30", datetime(2027, 6, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("'2027-06-01 00:00:00Z'", datetime(2027, 6, 1, tzinfo=UTC)),
    ],
)
def test_times_are_moments(text, expected):
    assert value(f"d: {text}").d == expected


@pytest.mark.parametrize(
    "text",
    [
        "2027-06-01",
        "2027-06-01T00:00:00",
        "2027-06-01T00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-06-01T24:00:00Z",
        "2027-06-01T00:00:60Z",
        "2027-W22-2T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1780272000",
        "tomorrow",
    ],
)
def test_what_is_no_moment(text):
    assert faults(f"d: {text}", Values)[0][1].startswith("`d` must be a time with its offset, found")


@pytest.mark.parametrize("name", ["../x", ".hidden", "a b", "", "x" * 129, "аlice", "a/b", "a\\n"])
def test_a_name_is_plain_ascii_so_that_no_two_look_alike(name):
    assert value("e: alice@example.com").e == "alice@example.com"
    assert faults(f'e: "{name}"', Values)[0][1].startswith("`e` must be a name, found")


def test_a_count_is_at_least_one():
    assert faults("f: 0", Values)[0][1] == "`f` must be at least 1, found the number 0"
