"""The geometry of one measured share: its interval on an axis, against the bound that it must keep.

The axis is anchored where the number would be perfect, 1 for a minimum and 0 for a maximum, and
reaches a little past the bound and the interval, so that 0.011 against 0.02 can be seen as well as
0.9 against 0.85. All lengths are of a drawing `WIDTH` wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH = 320.0
"""Units from the axis's lower end to its upper one."""
HEADROOM = 1.25
"""How much longer the axis is than the way from perfect to the farthest number."""
TICKS = 4
"""About so many parts an axis is divided into."""
AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Bar:
    """Where things stand, from 0 to `WIDTH`; ``kept`` is the part of the axis that keeps the bound."""

    low: float
    high: float
    value: float
    bound: float
    kept: tuple[float, float]
    judged: float
    ticks: tuple[tuple[float, str], ...]


def bar(*, value: float, low: float, high: float, bound: float, op: str) -> Bar:
    """The bar of a share whose `low` end is judged for ``≥`` and whose `high` end for ``≤``."""
    at_least = op == AT_LEAST
    farthest = 1 - min(low, bound) if at_least else max(high, bound)
    step = _step(farthest * HEADROOM / TICKS)
    length = min(1.0, math.ceil(round(farthest * HEADROOM / step, 9)) * step)
    start = 1 - length if at_least else 0.0

    def at(share: float) -> float:
        return round(max(0.0, min(1.0, (share - start) / length)) * WIDTH, 2)

    count = round(length / step)
    ticks = [start + index * step for index in range(count + 1) if start + index * step <= 1 + 1e-9]
    return Bar(
        low=at(low),
        high=at(high),
        value=at(value),
        bound=at(bound),
        kept=(at(bound), WIDTH) if at_least else (0.0, at(bound)),
        judged=at(low if at_least else high),
        ticks=tuple((at(tick), f"{tick:.4f}".rstrip("0").rstrip(".") or "0") for tick in ticks),
    )


def _step(rough: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(max(rough, 1e-4)))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= rough - 1e-12)
