"""Walks a directory closed-world: every entry is a file that a manifest can hold, or a reason to refuse."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file of a tree: its path below the root, ``/``-separated, and its size in bytes."""

    path: str
    size: int


def walk(root: int, *, name: str) -> list[Entry]:
    """The files below a directory's descriptor, sorted by the bytes of their paths."""
    raise NotImplementedError


def open_file(root: int, path: str) -> int:
    """A descriptor of the regular file `path` below the directory `root`, following no link."""
    raise NotImplementedError
