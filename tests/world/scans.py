"""Scans bytes as if they were files of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tuneguard.scanner.engine import Scan, scan_tree

if TYPE_CHECKING:
    from pathlib import Path

Look = Callable[..., Scan]


@pytest.fixture
def scan(tmp_path: Path) -> Look:
    """`scan("optimizer.pt", data)` or `scan({"a/b.json": data})`: a tree with these files, scanned."""

    def look(files: str | dict[str, bytes], data: bytes = b"") -> Scan:
        root = tmp_path / "checkpoint"
        for name, content in ({files: data} if isinstance(files, str) else files).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return scan_tree(root)

    return look
