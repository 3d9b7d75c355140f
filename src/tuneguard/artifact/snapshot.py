"""Takes a private copy of a tree and the manifest of that copy: what is judged is what was hashed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.artifact.manifest import Manifest
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.progress import Reporter


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tree that nobody else writes to. ``how`` is ``reflink``, ``copy`` or ``bind``.

    ``bind`` means that `path` is the source itself, too large to copy: hash it again before
    anything is signed about it, and record the weaker wall.
    """

    path: Path
    manifest: Manifest
    how: str


def take(
    source: str | Path, target: Path, *, reporter: Reporter = SILENT, copy_limit: int | None = None
) -> Snapshot:
    """Copy the tree at `source` to the new folder `target`, and hash the copy."""
    raise NotImplementedError


def remove(path: Path) -> None:
    """Delete a tree that we made, whatever its depth, following no link."""
    raise NotImplementedError
