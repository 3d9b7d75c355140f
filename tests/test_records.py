"""Strict YAML and JSON: what is read, what is refused, and that nothing but our errors gets out."""

from __future__ import annotations

import contextlib
import io
import json
import math
import tracemalloc
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.errors import ConfigurationError, NotUnderstood
from tuneguard.records import Node, read_json, read_yaml, to_json, to_json_pretty, written

INTEGERS = st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]))
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | UNICODE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(UNICODE, inner, max_size=4),
    max_leaves=20,
)


def problems(data: bytes) -> list[tuple[str | None, str]]:
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(data, "f.yaml")
    return [(problem.where, problem.what) for problem in caught.value.problems]


# --- YAML: what is read ----------------------------------------------------------------------------


def test_every_value_knows_its_line_and_column():
    node = read_yaml(b"a: 1\nb:\n  - x\n  - {c: true}\n", "f.yaml")

    assert node.value["b"].value[1].value["c"] == Node(True, 4, 9, "f.yaml", "true")
    assert node.key("b").where == "f.yaml:2:1"
    assert node.get("b").items[0].where == "f.yaml:3:5"


def test_columns_count_characters_and_not_bytes():
    assert read_yaml("é: ü".encode(), "f.yaml").value["é"].column == 4


def test_dates_stay_text_because_yaml_would_lose_their_offset():
    assert read_yaml(b"[2027-06-01T00:00:00+02:00, 2027-06-01]", "f").plain() == [
        "2027-06-01T00:00:00+02:00",
        "2027-06-01",
    ]


def test_a_leading_zero_makes_an_octal_number_and_the_node_remembers_what_was_written():
    node = read_yaml(b"042", "f")

    assert (node.value, node.source) == (34, "042")
    assert node.kind == "the number 34 (written 042)"


@given(VALUES)
def test_yaml_agrees_with_pyyaml_on_whatever_pyyaml_writes(value):
    text = yaml.safe_dump(value)

    assert read_yaml(text.encode(), "f").plain() == value


@given(st.lists(INTEGERS | PRINTABLE | st.booleans() | st.dictionaries(PRINTABLE, PRINTABLE)))
def test_yaml_reads_json_as_json(value):
    assert read_yaml(to_json(value), "f").plain() == value


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_yaml_or_our_error(data):
    with contextlib.suppress(ConfigurationError):
        read_yaml(data, "f")


@given(st.text("ab:-[]{}&*!|>'\"%@#?,\n 01.~<=\\\t", max_size=60))
def test_whatever_we_read_pyyaml_reads_alike(text):
    try:
        ours = read_yaml(text.encode(), "f").plain()
    except ConfigurationError:
        return

    try:
        theirs = yaml.load(io.BytesIO(text.encode()), Loader=yaml.CSafeLoader)
    except yaml.constructor.ConstructorError:
        theirs = ours if ("=" in text or "<<" in text) else None  # which it resolves and cannot construct
    assert ours == theirs


@given(UNICODE)
def test_a_text_that_we_write_is_read_as_that_text(text):
    assert read_yaml(f"[{written(text)}]".encode(), "f").plain() == [text]
    assert yaml.safe_load(f"{{a: {written(text)}}}") == {"a": text}


# --- YAML: attacks ---------------------------------------------------------------------------------


def test_billion_laughs_are_refused_before_anything_is_expanded():
    lines = [b"a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for before, after in pairwise(b"abcdefghi"):
        name, old = bytes([after]), bytes([before])
        lines.append(name + b": &" + name + b" [" + b", ".join([b"*" + old] * 9) + b"]")
    tracemalloc.start()

    found = problems(b"\n".join(lines))

    assert tracemalloc.get_traced_memory()[1] < 20 * limits.MIB
    tracemalloc.stop()
    assert found[0] == ("f.yaml:1:4", "anchor `&a` is not allowed")
    assert ("f.yaml:2:8", "alias `*a` is not allowed") in found


def test_an_anchor_is_refused_even_where_nothing_refers_to_it():
    assert problems(b"a: &x 1") == [("f.yaml:1:4", "anchor `&x` is not allowed")]


def test_a_document_that_holds_itself_is_refused():
    assert ("f.yaml:1:8", "alias `*x` is not allowed") in problems(b"&x [1, *x]")


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("!!python/object/apply:os.system", "tag:yaml.org,2002:python/object/apply:os.system"),
        ("!!python/name:os.system", "tag:yaml.org,2002:python/name:os.system"),
        ("!!str", "tag:yaml.org,2002:str"),
        ("!!binary", "tag:yaml.org,2002:binary"),
        ("!mine", "!mine"),
        ("!", "!"),
        ("!<x>", "x"),
    ],
)
def test_tags_are_refused_whatever_they_name(tag, shown):
    assert problems(f"a: {tag} [x]".encode()) == [("f.yaml:1:4", f"tag `{shown}` is not allowed")]


def test_duplicate_keys_are_refused_at_the_second_one():
    assert problems(b"a: 1\nb: {c: 1, 'c': 2}\na: 2\n") == [
        ("f.yaml:2:11", "duplicate key `c`"),
        ("f.yaml:3:1", "duplicate key `a`"),
    ]


def test_merge_keys_are_refused_and_a_quoted_one_is_text():
    assert problems(b"<<: {a: 1}") == [("f.yaml:1:1", "merge key `<<` is not allowed")]
    assert read_yaml(b"'<<': 1", "f").plain() == {"<<": 1}


@pytest.mark.parametrize("key", ["1", "no", "~", "[a]", "{a: 1}", "? [x]\n", "1.5", "? \n"])
def test_a_key_that_is_not_text_is_refused(key):
    assert "a key must be text" in problems(f"{key}: v".encode())[0][1]


@pytest.mark.parametrize(
    "data", [b"[" * 10_000, b"- " * 10_000, b"{a: " * 10_000, b"? " * 10_000, b"[" * 10_000 + b"]" * 10_000]
)
def test_a_depth_of_ten_thousand_ends_in_a_refusal(data):
    assert problems(data)[0][1] == "is nested deeper than 64 levels"


def test_a_depth_of_64_is_read():
    assert read_yaml(b"[" * 64 + b"]" * 64, "f").plain()


@pytest.mark.parametrize(
    "number",
    ["1" * 10_000, "-" + "9" * 20, "18446744073709551616", "0x" + "f" * 17, "0b" + "1" * 65, "0" + "7" * 30],
)
def test_integers_beyond_64_bits_are_refused(number):
    (where, what), *more = problems(f"a: {number}".encode())

    assert where == "f.yaml:1:4"
    assert what.endswith("does not fit into 64 bits")
    assert not more


@pytest.mark.parametrize("number", [".inf", "-.Inf", ".nan", ".NaN", "1.0e+400", "9" * 400 + ".0"])
def test_numbers_that_are_not_finite_are_refused(number):
    assert problems(number.encode())[0][1].endswith("is not a finite number")


@pytest.mark.parametrize("number", ["22:30", "1:30:00", "1:30.5"])
def test_a_number_of_base_60_is_refused_because_a_time_of_day_was_meant(number):
    assert problems(number.encode()) == [("f.yaml:1:1", f"{number} is a number of base 60 in YAML")]


def test_several_documents_are_refused_because_the_second_would_not_be_read():
    assert problems(b"a: 1\n---\na: 2\n") == [("f.yaml:2:1", "holds several documents")]


@pytest.mark.parametrize("data", [b"%YAML 1.2\n---\na: 1\n", b"%TAG ! tag:x,2000:\n---\na: 1\n"])
def test_directives_are_refused(data):
    assert problems(data) == [("f.yaml:1:1", "a `%` directive is not allowed")]


@pytest.mark.parametrize("data", [b"", b"# only a comment\n", b"\n\n"])
def test_an_empty_file_says_so(data):
    assert problems(data) == [("f.yaml:1:1", "is empty")]


def test_an_empty_document_is_nothing():
    assert read_yaml(b"---", "f").kind == "nothing"


def test_a_byte_order_mark_is_refused():
    assert problems(b"\xef\xbb\xbfa: 1") == [("f.yaml:1:1", "begins with a byte order mark")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_other_encodings_are_refused(encoding):
    with pytest.raises(ConfigurationError):
        read_yaml("ü: 1".encode(encoding), "f")


def test_bytes_that_are_not_utf8_are_named_with_their_place():
    assert problems(b"a: 1\nb: \xff") == [("f.yaml:2:4", "byte 0xff is not UTF-8")]


def test_a_hundred_megabytes_are_refused_without_a_look():
    assert problems(b"a" * (100 * 1000 * 1000)) == [("f.yaml", "is larger than 16,777,216 bytes")]


def test_a_million_values_and_one_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "RECORD_NODES", 1000)

    assert problems(b"- 1\n" * 1000) == [("f.yaml:1000:3", "holds more than 1,000 values")]


def test_a_key_with_escapes_is_printed_so_that_no_terminal_acts_on_it():
    found = problems(b'"\\0\\e[31m\\u202e": 1\n"\\0\\e[31m\\u202e": 2\n')

    assert found == [("f.yaml:2:1", r"duplicate key `\x00\x1b[31m\u202e`")]


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u2028", "\x85", "\rb"])
def test_a_raw_character_that_hides_what_the_parser_reads_is_refused(character):
    data = f"a: 1 # fine {character}evil: 2\n".encode()

    assert problems(data)[0][0] == "f.yaml:1:13"


def test_a_control_character_is_refused_with_its_place():
    assert problems(b"a: 1\nb: \x00") == [("f.yaml:2:4", "is not YAML: control characters are not allowed")]


def test_a_syntax_error_has_its_place():
    assert problems(b"a: 1\nb: c: d") == [
        ("f.yaml:2:5", "is not YAML: mapping values are not allowed in this context")
    ]


def test_all_faults_are_reported_together_in_the_order_of_their_places():
    found = problems(b"a: &x 1\nb: !!int 2\na: .nan\n<<: 3\n1: 4\n")

    assert [where for where, _ in found] == [
        "f.yaml:" + at for at in ("1:4", "2:4", "3:1", "3:4", "4:1", "5:1")
    ]


def test_a_thousand_faults_are_counted_and_fifty_listed():
    found = problems(b"- &x 1\n" * 1000)

    assert len(found) == 51
    assert found[-1][1].endswith("more problems are not listed")


def test_a_file_name_with_an_escape_sequence_is_printed_escaped():
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(b"[", "\x1b[31m.yaml")

    assert caught.value.problems[0].where.startswith("\\x1b[31m.yaml:")


# --- JSON ------------------------------------------------------------------------------------------


@given(VALUES, st.booleans())
def test_json_agrees_with_the_standard_library(value, ascii_only):
    data = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert read_json(data, "f") == json.loads(data)


@given(st.binary(max_size=200) | st.text('[]{}:,"\\ue1.-+tfn \n', max_size=60).map(str.encode))
def test_arbitrary_bytes_are_json_or_our_error(data):
    try:
        value = read_json(data, "f")
    except NotUnderstood:
        return
    assert value == json.loads(data)


@given(VALUES)
def test_what_we_write_as_json_is_read_as_the_same_value_and_written_as_the_same_bytes(value):
    data = to_json(value)

    assert read_json(data, "f") == value
    assert to_json(read_json(data, "f")) == data
    assert read_json(to_json_pretty(value), "f") == value


def test_keys_are_sorted_so_that_order_of_making_does_not_matter():
    assert to_json({"b": 1, "a": {"d": 1, "c": 2}}) == b'{"a":{"c":2,"d":1},"b":1}'


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": -math.inf}, "\ud800"])
def test_what_json_cannot_carry_is_never_written(value):
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        to_json(value)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'{"a": 1, "a": 2}', "duplicate key `a`"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "duplicate key `a`"),
        (b"[NaN]", "NaN is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"1e999", "the number 1e999 is beyond what a float holds"),
        (b"18446744073709551616", "the number 18446744073709551616 does not fit into 64 bits"),
        (b"[" * 10_000 + b"]" * 10_000, "is nested deeper than 64 levels"),
        (b'{"a":' * 10_000, "is nested deeper than 64 levels"),
        (b'"\\ud800"', "holds half of a surrogate pair, which is no character"),
        (b'{"\\udc00": 1}', "holds half of a surrogate pair, which is no character"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "is not JSON: Expecting value"),
        (b'"a\nb"', "is not JSON: Invalid control character"),
        (b"", "is not JSON: Expecting value"),
        (b"{} {}", "is not JSON: Extra data"),
        (b'{"a": 1,}', None),
        (b"'a'", None),
        (b"[1] // x", None),
        ('{"a": 1}'.encode("utf-16"), None),
    ],
)
def test_json_that_parsers_read_differently_is_not_understood(data, what):
    with pytest.raises(NotUnderstood) as caught:
        read_json(data, "f.json")

    assert caught.value.exit_code == 3
    assert what is None or caught.value.what == what


def test_a_pair_of_surrogates_is_one_character():
    assert read_json(b'"\\ud83d\\ude00"', "f") == "😀"


def test_brackets_within_strings_do_not_count_as_depth():
    assert read_json(json.dumps(['\\"[{' * 100]).encode(), "f") == ['\\"[{' * 100]


def test_an_integer_of_ten_thousand_digits_is_refused_without_being_computed():
    with pytest.raises(NotUnderstood, match="64 bits"):
        read_json(b"1" * 10_000, "f")


def test_a_json_document_over_its_limit_is_refused():
    with pytest.raises(NotUnderstood, match="larger than 10 bytes"):
        read_json(b'"0123456789"', "f", limit=10)


def test_too_many_json_values_are_refused_before_they_are_built(monkeypatch):
    monkeypatch.setattr(limits, "JSON_VALUES", 1000)

    with pytest.raises(NotUnderstood, match="more than 1,000 values"):
        read_json(b"[" + b"[]," * 1000 + b"[]]", "f")


@pytest.mark.parametrize("data", [b'"' + b'\\"' * 2_000_000, b'"\\' * 2_000_000, b'"' * 4_000_001])
def test_quotes_and_backslashes_take_linear_time(data):
    with pytest.raises(NotUnderstood):
        read_json(data, "f")


def test_a_duplicate_key_with_an_escape_sequence_is_printed_escaped():
    with pytest.raises(NotUnderstood, match=r"duplicate key `\\x1b\[31m`"):
        read_json(b'{"\\u001b[31m": 1, "\\u001b[31m": 2}', "f")
