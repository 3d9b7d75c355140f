"""Repositories as the Hugging Face Hub's client keeps them: blobs, and snapshots that are links into them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMMIT = "4d1b2f0c" * 5
WEIGHTS = b"weights" * 100
SNAPSHOT = {"config.json": b"{}", "onnx/model.bin": WEIGHTS}


def repository(
    folder: Path,
    name: str = "models--org--name",
    files: Mapping[str, bytes] = SNAPSHOT,
    *,
    commit: str = COMMIT,
    ref: str | None = "main",
) -> Path:
    """The folder of one repository. What git would keep itself is named by its SHA-1, the rest by SHA-256."""
    made = folder / name
    for path, data in files.items():
        blob = hashlib.sha256(data).hexdigest()
        if len(data) < 100:
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        (made / "blobs").mkdir(parents=True, exist_ok=True)
        (made / "blobs" / blob).write_bytes(data)
        link = made / "snapshots" / commit / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../" * (2 + path.count("/")) + f"blobs/{blob}")
    if ref is not None:
        (made / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (made / "refs" / ref).write_text(commit)
    return made
