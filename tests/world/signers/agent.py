"""Agents sign statements only: the contract's messages are not for them. See `test_signing_agent`."""

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
    """A socket that is not there."""
    return f"unix://{folder}/none.sock"
