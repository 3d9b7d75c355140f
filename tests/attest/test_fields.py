import pytest

from tuneguard.attest.fields import Fields
from tuneguard.errors import NotUnderstood


def fields(**values):
    return Fields.of(values, "evidence.json")


def test_a_fault_is_named_by_its_whole_path_and_file():
    deep = Fields.of({"a": {"list": [{"n": 1}, {"n": "x"}]}}, "evidence.json")

    with pytest.raises(NotUnderstood, match=r"`a\.list\[1\]\.n` is missing or not a count at evidence.json"):
        [entry.number("n") for entry in deep.section("a").sections("list")]


@pytest.mark.parametrize("value", [True, False, 3.0, "3", -1, 1 << 63, None])
def test_a_count_is_a_whole_number_and_nothing_that_looks_like_one(value):
    with pytest.raises(NotUnderstood):
        fields(n=value).number("n")


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_a_flag_is_true_or_false(value):
    with pytest.raises(NotUnderstood):
        fields(flag=value).flag("flag")


@pytest.mark.parametrize("value", ["2026-11-23T10:42:00Z", "2026-11-23T10:42:00.5+01:00"])
def test_a_time_with_its_offset_is_read(value):
    assert fields(at=value).time("at") == value


@pytest.mark.parametrize(
    "value",
    ["2026-11-23", "2026-11-23T10:42:00", "2026-11-23 10:42:00Z", "2026-13-01T00:00:00Z", "20261123T104200Z",
     "2026-11-23T10:42:00Z\n", "９０26-11-23T10:42:00Z", "2026-11-23T25:00:00Z", "now",
     "0000-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_time_that_can_be_read_in_two_ways_or_none_is_not_understood(value):
    with pytest.raises(NotUnderstood):
        fields(at=value).time("at")


@pytest.mark.parametrize("value", ["a" * 63, "A" * 64, "a" * 65, "g" * 64, "a" * 64 + "\n", "", 7])
def test_a_digest_has_one_spelling(value):
    with pytest.raises(NotUnderstood):
        fields(d=value).sha256("d")


def test_null_counts_as_absent():
    assert fields(a=None).optional_text("a") is None
    assert fields(a=None).optional_section("a") is None
    assert fields(a=None).optional_number("a") is None
    assert not fields(a=None).has("a")


def test_a_name_with_an_escape_sequence_is_printed_safely():
    with pytest.raises(NotUnderstood) as caught:
        Fields.of({"\x1b[2J": 7}, "e\x1b.json").text("\x1b[2J")

    assert "\x1b" not in str(caught.value)


def test_a_name_of_a_million_characters_does_not_fill_the_screen():
    with pytest.raises(NotUnderstood) as caught:
        Fields.of({"x" * 1_000_000: 7}, "evidence.json").text("x" * 1_000_000)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [[], "x", 7, None])
def test_what_is_no_object_has_no_fields(value):
    with pytest.raises(NotUnderstood, match="not a JSON object"):
        Fields.of(value, "evidence.json")
