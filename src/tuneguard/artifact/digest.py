"""Hashes a tree on all cores: a directory in, a `Manifest` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.progress import Reporter


def hash_tree(root: str | Path, *, reporter: Reporter = SILENT, workers: int | None = None) -> Manifest:
    """The manifest of the directory at `root`."""
    raise NotImplementedError


def hash_descriptor(
    root: int, *, name: str, reporter: Reporter = SILENT, workers: int | None = None
) -> Manifest:
    """The manifest of the directory open as `root`, which messages call `name`."""
    raise NotImplementedError


def hash_file(path: str | Path) -> File:
    """Size and SHA-256 of one regular file; its ``path`` is the file's own name."""
    raise NotImplementedError
