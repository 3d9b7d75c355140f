"""The picture of an interval tells the same story as its numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.evaluation.interval import wilson
from tuneguard.output.bars import WIDTH, bar

SHARES = st.floats(0, 1)
COUNTS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def drawn(count: int, n: int, bound: float, op: str):
    low, high = wilson(count, n, 1.96)
    return bar(value=count / n, low=low, high=high, bound=bound, op=op), low, high


@given(COUNTS, SHARES, st.sampled_from("≥≤"))
def test_everything_lies_on_the_axis_in_the_order_of_the_numbers(counted, bound, op):
    picture, _, _ = drawn(*counted, bound, op)

    assert 0 <= picture.low <= picture.value <= picture.high <= WIDTH
    assert 0 <= picture.bound <= WIDTH
    assert picture.judged in (picture.low, picture.high)


@given(COUNTS, SHARES, st.sampled_from("≥≤"))
def test_what_misses_its_bound_is_never_drawn_inside_of_it(counted, bound, op):
    picture, low, high = drawn(*counted, bound, op)

    met = low >= bound if op == "≥" else high <= bound
    start, end = picture.kept
    if met:
        assert start <= picture.judged <= end
    else:  # a hair's breadth may round to the line itself, but not beyond it
        assert picture.judged <= start if op == "≥" else picture.judged >= end


@given(COUNTS, SHARES, st.sampled_from("≥≤"))
def test_the_axis_is_labelled_from_end_to_end_with_shares(counted, bound, op):
    picture, _, _ = drawn(*counted, bound, op)

    places, labels = zip(*picture.ticks, strict=True)
    assert list(places) == sorted(places)
    assert 2 <= len(labels) <= 9
    assert all(0 <= float(label) <= 1 for label in labels)
    assert picture.ticks[-1][0] == WIDTH if op == "≥" else picture.ticks[0][0] == 0


def test_a_small_maximum_is_not_squeezed_into_a_corner():
    picture = bar(value=0.002, low=0.0004, high=0.0112, bound=0.02, op="≤")

    assert picture.high - picture.low > WIDTH / 4
    assert [label for _, label in picture.ticks] == ["0", "0.01", "0.02", "0.03"]


@pytest.mark.parametrize(("bound", "op"), [(0, "≤"), (1, "≥"), (0, "≥"), (1, "≤")])
def test_bounds_at_the_ends_can_be_drawn(bound, op):
    picture = bar(value=1 - bound, low=1 - bound, high=1 - bound, bound=bound, op=op)

    assert 0 <= picture.bound <= WIDTH
