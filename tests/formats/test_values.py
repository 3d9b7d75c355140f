"""Descriptions of hostile values are short, safe to print, and never follow them far."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuneguard.formats.pickle.values import Dict, Global, List, Long, Made, Set, Stored, Unknown, describe

SCALARS = (
    st.text() | st.binary() | st.integers() | st.floats() | st.booleans() | st.none()
    | st.builds(Global, st.text(), st.text(), st.just(0), st.just("GLOBAL"))
    | st.builds(Made, st.none()) | st.builds(List, st.integers(0)) | st.builds(Dict, st.integers(0))
    | st.builds(Set, st.integers(0)) | st.builds(Long, st.just("text"), st.integers(0), st.binary())
    | st.builds(Stored, st.text()) | st.just(Unknown())
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner).map(tuple), max_leaves=40)


@given(VALUES)
def test_any_value_is_described_on_one_short_printable_line(value: object) -> None:
    text = describe(value)

    assert text.isprintable()
    assert len(text) < 8000


def test_a_value_nested_beyond_any_stack_is_described() -> None:
    value: object = ()
    for _ in range(200_000):
        value = (value,)

    assert describe(value) == "((((…),),),)"


def test_a_number_of_a_million_digits_is_not_written_out() -> None:
    assert describe(1 << 4_000_000) == "a huge integer"


def test_a_call_is_described_by_what_was_called() -> None:
    assert describe(Made(Global("os", "system", 0, "GLOBAL"))) == "os.system(…)"
