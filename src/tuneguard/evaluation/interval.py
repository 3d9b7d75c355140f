"""How sure a count can be: Wilson's score interval for a share.

A share of 200 out of 200 is not proof of 1.0, and the textbook interval (value ± z·stderr) states one
is: its width is zero at both ends. Wilson's never is, so a gate that judges its bound cannot be
passed by measuring little.

    >>> low, high = wilson(0, 189)
    >>> low, round(high, 4)
    (0.0, 0.0199)
"""

from __future__ import annotations

import math
from statistics import NormalDist

Z_95 = 1.95996
"""The two-sided 95 % point of the normal distribution, as DESIGN.md states it."""


def z_of(confidence: float) -> float:
    """The two-sided point of the normal distribution for a confidence strictly between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence}")
    if confidence == 0.95:
        return Z_95
    return NormalDist().inv_cdf((1.0 + confidence) / 2.0)


def wilson(count: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The interval for the share `count` / `n`, as (low, high), both within 0 and 1.

    Two-sided, without continuity correction: E. B. Wilson, "Probable inference, the law of
    succession, and statistical inference", JASA 22 (1927), 209-212; R. G. Newcombe, "Two-sided
    confidence intervals for the single proportion", Statistics in Medicine 17 (1998), method 3.

    Raises:
        ValueError: `n` is not positive, `count` is not within 0 and `n`, or `z` is not positive.
    """
    if n <= 0 or not 0 <= count <= n or not z > 0.0:
        raise ValueError(f"no share: {count} of {n} at z = {z}")
    square = z * z
    share = count / n
    scale = 1.0 + square / n
    middle = (share + square / (2.0 * n)) / scale
    half = z / scale * math.sqrt(share * (1.0 - share) / n + square / (4.0 * n * n))
    # At the two ends the bound is exact, where the floating-point difference may miss it by a hair.
    low = 0.0 if count == 0 else max(0.0, middle - half)
    high = 1.0 if count == n else min(1.0, middle + half)
    return low, high
