import pytest

from tuneguard.attest.predicates.seal import Seal
from tuneguard.errors import NotUnderstood
from tuneguard.typed import Count, JsonStruct, Sha256, Text, Time, check_times, read, written


class Inner(JsonStruct, frozen=True):
    n: Count


class Outer(JsonStruct, frozen=True, kw_only=True):
    inner: tuple[Inner, ...] = ()
    flag: bool | None = None
    digest: Sha256 | None = None
    at: Time | None = None
    text: Text | None = None
    long_name: Text | None = None
    digests: dict[str, Sha256] | None = None

    def __post_init__(self):
        if self.at is not None:
            check_times(at=self.at)


def reading(**values):
    return read(values, Outer, "evidence.json")


def test_a_fault_is_named_by_its_whole_path_and_file():
    with pytest.raises(NotUnderstood) as caught:
        reading(inner=[{"n": 1}, {"n": "x"}])

    assert str(caught.value) == "`inner[1].n`: expected `int`, got `str` at evidence.json"


def test_a_missing_field_is_named_by_its_whole_path():
    with pytest.raises(NotUnderstood) as caught:
        reading(inner=[{}])

    assert str(caught.value) == "`inner[0].n` is missing at evidence.json"


@pytest.mark.parametrize("value", [True, False, 3.0, "3", -1, 1 << 63, None])
def test_a_count_is_a_whole_number_and_nothing_that_looks_like_one(value):
    with pytest.raises(NotUnderstood):
        reading(inner=[{"n": value}])


@pytest.mark.parametrize("value", [0, 1, "true", 1.0])
def test_a_flag_is_true_or_false(value):
    with pytest.raises(NotUnderstood, match="`flag`"):
        reading(flag=value)


@pytest.mark.parametrize("value", ["2026-11-23T10:42:00Z", "2026-11-23T10:42:00.5+01:00"])
def test_a_time_with_its_offset_is_read(value):
    assert reading(at=value).at == value


@pytest.mark.parametrize(
    "value",
    ["2026-11-23", "2026-11-23T10:42:00", "2026-11-23 10:42:00Z", "2026-13-01T00:00:00Z", "20261123T104200Z",
     "2026-11-23T10:42:00Z\n", "９０26-11-23T10:42:00Z", "2026-11-23T25:00:00Z", "now",
     "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z"],
)  # fmt: skip
def test_a_time_that_can_be_read_in_two_ways_or_none_is_not_understood(value):
    with pytest.raises(NotUnderstood, match="`at` is not an RFC 3339 time"):
        reading(at=value)


@pytest.mark.parametrize("value", ["a" * 63, "A" * 64, "a" * 65, "g" * 64, "a" * 64 + "\n", "", 7])
def test_a_digest_has_one_spelling(value):
    with pytest.raises(NotUnderstood, match="`digest`"):
        reading(digest=value)


def test_null_counts_as_absent_and_what_is_absent_is_not_written():
    body = reading(flag=None, digest=None, at=None, text=None)

    assert body == Outer()
    assert written(body) == {}


def test_what_is_written_is_read_back_under_the_names_of_the_file():
    body = Outer(inner=(Inner(3),), long_name="x", at="2026-11-23T10:42:00Z")

    assert written(body) == {"inner": [{"n": 3}], "longName": "x", "at": "2026-11-23T10:42:00Z"}
    assert read(written(body), Outer, "evidence.json") == body


def test_a_name_with_an_escape_sequence_is_printed_safely():
    with pytest.raises(NotUnderstood) as caught:
        read({"digests": {"\x1b[2J": 7}}, Outer, "e\x1b.json")

    assert "\x1b" not in str(caught.value)


def test_a_value_of_a_million_characters_does_not_fill_the_screen():
    with pytest.raises(NotUnderstood) as caught:
        read({"kind": "\x1b" * 1_000_000}, Seal, "evidence.json")

    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("value", [[], "x", 7, None])
def test_what_is_no_object_has_no_fields(value):
    with pytest.raises(NotUnderstood, match="expected `object`"):
        read(value, Outer, "evidence.json")
