"""Copies a folder, links resolved, into a new one; a source that changes meanwhile refuses."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tuneguard.artifact.links import listing, open_real
from tuneguard.artifact.safe_open import sizes_of
from tuneguard.artifact.snapshot import PIECE, share
from tuneguard.artifact.tree import changed
from tuneguard.display import size
from tuneguard.errors import CannotLook
from tuneguard.files import cannot_look, printable
from tuneguard.staging.target import Target

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.artifact.links import Listing
    from tuneguard.progress import Reporter, Task


def copy(root: int, start: str, target: Path, *, name: str, reporter: Reporter) -> Listing:
    """Copy what lies below `start` of the folder open as `root` into the new folder `target`; what it was.

    Blocks are shared where the file system can, never a file itself. Empty folders are left out.

    Raises:
        Refused: a link leaves the root or leads nowhere, or an entry is no file, folder or link.
        ChangedWhileRead: the source changed meanwhile.
        CannotLook: something cannot be read or written, or there is no space.
    """
    before = listing(root, start, name=name)
    made = Target(target, name)
    left = before.size
    with reporter.task("Copying", total=left, unit="bytes") as task:
        for path, file in before.files.items():
            (count,) = sizes_of([file.stamp])
            try:
                source = open_real(root, file)
            except OSError as error:
                raise cannot_look(error, f"{name}/{path}") from error
            if source is None:
                raise changed(name, path)
            try:
                descriptor = made.create(path)
                try:
                    if share(source, descriptor):
                        task.advance(count)
                    else:
                        _need(left, target)
                        _copy(source, descriptor, count, task)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise cannot_look(error, f"{name}/{path}") from error
            finally:
                os.close(source)
            left -= count
    if listing(root, start, name=name) != before:
        raise changed(name)
    return before


def _need(count: int, target: Path) -> None:
    """Raise CannotLook where the file system of `target` has no space for `count` bytes."""
    free = shutil.disk_usage(target).free
    if count > free:
        raise CannotLook(
            f"{size(count)} are to be copied and {size(free)} are free",
            where=printable(os.fspath(target.parent)),
            help="free some space, or stage into another file system",
        )


def _copy(source: int, target: int, count: int, task: Task) -> None:
    """Copy `count` bytes; what is cut short meanwhile shows in the listing that follows."""
    at = 0
    while at < count:
        moved = os.sendfile(target, source, at, min(PIECE, count - at))
        if not moved:
            return
        at += moved
        task.advance(moved)
