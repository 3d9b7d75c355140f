"""Keyless signers have no key that stays: what they sign with is in `tests/peers`, with a real Sigstore."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = b"unused passphrase"


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """None."""
    yield {}


def missing(folder: Path) -> str:
    """A configuration that is not there."""
    return f"sigstore:{folder}/none.json"
