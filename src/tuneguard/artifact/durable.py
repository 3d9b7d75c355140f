"""Makes a tree durable: what is vouched for, or named as whole, is on the disk before that is reported."""

from __future__ import annotations

import contextlib
import errno
import os
from concurrent.futures import wait
from typing import TYPE_CHECKING

from tuneguard.artifact.safe_open import Folders
from tuneguard.files import cannot_look, fault_point
from tuneguard.limits import MIB
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.progress import Reporter

EARLY_BYTES = 32 * MIB
"""Bytes after which a file that is still written is flushed: some tenths of a second of a disk's work."""
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.EROFS})
"""What a file system answers that has nothing to flush, or no way to."""


def flush(root: int, manifest: Manifest, *, name: str, reporter: Reporter = SILENT) -> None:
    """Flush every file of the tree open as `root`, and then the names in each of its folders.

    Raises:
        CannotLook: the disk fails, or a file is no longer there.
    """
    folders = Folders(root)
    path = ""
    try:
        with reporter.task("Flushing", total=manifest.size, unit="bytes") as task:
            for file in manifest.files:
                path = file.path
                descriptor = folders.open(path)
                try:
                    _sync(descriptor, path)
                finally:
                    os.close(descriptor)
                task.advance(file.size)
            for path in sorted(_folders_of(manifest), reverse=True):
                _sync(folders.folder(path), f"{path}/")
    except OSError as error:
        raise cannot_look(error, f"{name}/{path}") from error
    finally:
        folders.close()


@contextlib.contextmanager
def flushed_meanwhile(descriptor: int, pool: Executor) -> Iterator[Callable[[int], None]]:
    """Flush the file open as `descriptor` in `pool` while it is written: its last flush finds little left.

    The writer calls what this gives with the bytes of each write, and flushes the file at its end.

    Raises:
        OSError: the disk failed. The kernel reports it once, and possibly not to the last flush.
    """
    running: Future[None] | None = None
    unflushed = 0

    def wrote(count: int) -> None:
        nonlocal running, unflushed
        unflushed += count
        if unflushed >= EARLY_BYTES and (running is None or running.done()):
            if running is not None:
                running.result()
            running = pool.submit(os.fdatasync, descriptor)
            unflushed = 0

    try:
        yield wrote
    finally:
        if running is not None:
            wait([running])  # the descriptor is closed after this
    if running is not None:
        running.result()


def _folders_of(manifest: Manifest) -> set[str]:
    """Each folder that holds something, the top as the empty path."""
    found = {""}
    for file in manifest.files:
        above = file.path.rpartition("/")[0]
        while above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


def _sync(descriptor: int, shown: str) -> None:
    fault_point(f"fsync:{shown}")
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
