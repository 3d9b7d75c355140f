"""Key files of these tests cost little to write and to open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuneguard.signing import pkcs8

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", autouse=True)
def shipped_work() -> Iterator[tuple[int, int, int]]:
    """N, r and p of scrypt, as they are shipped."""
    shipped = pkcs8._N, pkcs8._R, pkcs8._P
    pkcs8._N, pkcs8._P = 1 << 10, 1
    yield shipped
    pkcs8._N, pkcs8._R, pkcs8._P = shipped
