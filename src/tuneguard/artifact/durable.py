"""Makes a tree durable: what is vouched for, or named as whole, is on the disk before that is said."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from tuneguard.artifact.safe_open import Folders
from tuneguard.files import cannot_look, fault_point
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from tuneguard.artifact.manifest import Manifest
    from tuneguard.progress import Reporter

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
