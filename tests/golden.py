"""Golden files: what a person would see, kept in the repository so that a diff shows a change.

`make accept` (TUNEGUARD_ACCEPT=1) rewrites them; otherwise they must be equal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def check(path: Path, text: str) -> None:
    """`text` equals the file, or becomes it under `make accept`."""
    if os.environ.get("TUNEGUARD_ACCEPT") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.is_file(), f"{path} is missing: run `make accept` and look at the diff"
    assert text == path.read_text(), f"{path} is out of date: run `make accept` and look at the diff"
