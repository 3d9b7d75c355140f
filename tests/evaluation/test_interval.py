"""Wilson's interval against published values and its own laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.evaluation.interval import Z_95, wilson, z_of


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, Table I, method 3 (score, no continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_agrees_with_the_published_values(count: int, n: int, low: float, high: float) -> None:
    found = wilson(count, n)

    assert (round(found[0], 4), round(found[1], 4)) == (low, high)


def test_a_maximum_of_two_percent_takes_189_prompts_with_none_toxic() -> None:
    assert wilson(0, 188)[1] > 0.02
    assert wilson(0, 189)[1] <= 0.02


def test_a_perfect_score_over_few_rows_proves_little() -> None:
    low, high = wilson(10, 10)

    assert low < 0.73
    assert high == 1.0


@pytest.mark.parametrize(("count", "n"), [(0, 0), (1, 0), (-1, 10), (11, 10), (0, -5)])
def test_what_is_no_share_raises(count: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(count, n)


def test_the_usual_confidence_has_the_documented_point_and_others_follow_the_normal_distribution() -> None:
    assert z_of(0.95) == Z_95 == 1.95996
    assert z_of(0.99) == pytest.approx(2.5758293)
    with pytest.raises(ValueError, match="between 0 and 1"):
        z_of(1.0)


@given(n=st.integers(1, 10**9), data=st.data())
def test_the_interval_holds_the_share_and_stays_within_zero_and_one(n: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n))

    low, high = wilson(count, n)

    assert 0.0 <= low <= count / n <= high <= 1.0
    assert low < high


@given(n=st.integers(1, 10_000), data=st.data())
def test_one_more_success_never_lowers_either_end(n: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n - 1))

    before, after = wilson(count, n), wilson(count + 1, n)

    assert before[0] <= after[0]
    assert before[1] <= after[1]
