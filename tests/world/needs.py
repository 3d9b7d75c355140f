"""Programs that a bare machine lacks: the one place where a test asks whether one is there.

A bare machine is Debian with Python, make and git (`tools/bare.py`). A test that runs another program carries
the mark ``needs("openssl", …)``, so that ``pytest -m needs`` finds it, or calls `need` in a fixture.
`tools/peers.py` knows the programs and what brings each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import peers

if TYPE_CHECKING:
    from pathlib import Path


def need(*names: str) -> Path:
    """The last of these programs. Where one is missing, the test is skipped.

    With ``TUNEGUARD_PEERS=required`` it fails instead.
    """
    found = peers.found()
    if missing := [name for name in names if found[name] is None]:
        reason = f"needs {', '.join(missing)}: {peers.missing_reason(*missing)}"
        (pytest.fail if os.environ.get("TUNEGUARD_PEERS") == "required" else pytest.skip)(reason)
    where = found[names[-1]]
    assert where is not None
    return where
