"""Folders made from a mapping, and a reporter that meddles with them at a known moment."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_LONG_AGO = 1_000_000_000
_NOBODY = 65534


def make_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    """A folder that holds `files`, all with times long ago, so that any write since shows in them."""
    root.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    for place in [root, *root.rglob("*")]:
        os.utime(place, (_LONG_AGO, _LONG_AGO))
    return root


def deep(root: Path, depth: int) -> Path:
    """A chain of `depth` folders with a file in the last, made by descriptors: no path reaches its end."""
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    return root


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root reads everything; inside this, root is nobody. Descriptors that are open stay open."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class Meddler:
    """A reporter that acts when the bytes begin to move, and when the last have moved.

    That is after the first look at a tree, and before the second: where an attacker would act.
    """

    def __init__(
        self, *, before: Callable[[], object] | None = None, after: Callable[[], object] | None = None
    ) -> None:
        self._before = before
        self._after = after
        self.done = 0
        self.total: int | None = None

    def emit(self, verb: str, text: str, *details: str) -> None:
        pass

    def task(self, verb: str, *, total: int | None, unit: str) -> Self:
        self.total = total
        return self

    def advance(self, amount: int) -> None:
        self.done += amount

    def __enter__(self) -> Self:
        if self._before:
            self._before()
        return self

    def __exit__(self, *_: object) -> None:
        if self._after:
            self._after()
