"""Opens files and folders below a directory's descriptor, one component at a time, following no link.

A path is never handed to the kernel whole: each component is opened below the one before it with
``O_NOFOLLOW``, so that nobody can swap a folder for a link between looking and opening. Files are
opened without waiting, so that a FIFO in a file's place cannot hang us.

Standard library only: `hasher` also runs this in worker processes, which should start at once.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Stamp = bytes
"""What a file was when we looked: size in bytes, device, inode, mtime and ctime in nanoseconds, packed.

Two equal stamps mean that nobody wrote in between by ``write``, rename or truncation. A store
through a shared mapping may leave them equal; only a private copy (`snapshot`) closes that. Packed,
because a tree has millions and they are only ever compared.
"""
_STAMP = struct.Struct("<QQQqq")
_SIZE = struct.Struct("<Q32x")
STAMP_BYTES = _STAMP.size


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp in the result of ``fstat``."""
    return _STAMP.pack(status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def sizes_of(stamps: Iterable[Stamp]) -> Iterator[int]:
    """The sizes in bytes that stamps hold."""
    return (size for (size,) in map(_SIZE.unpack, stamps))


def open_folder(root: int, path: str) -> int:
    """A new descriptor of the folder `path` below `root`; the empty path is `root` itself.

    Raises:
        OSError: as ``open`` does; a link on the way is ``ENOTDIR`` or ``ELOOP``.
    """
    descriptor = os.dup(root)
    try:
        for component in path.split("/") if path else ():
            below = os.open(component.encode(errors="surrogateescape"), FOLDER_FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Folders:
    """Opens files below `root`, keeping the last file's folder open for the next one.

    Holds one descriptor at a time, whatever the tree's shape. Not for sharing between threads.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._path = ""
        self._descriptor: int | None = None

    def open(self, path: str, flags: int = FILE_FLAGS, mode: int = 0o600) -> int:
        """A descriptor of the file `path` below the root. Raises OSError as ``open`` does."""
        folder, _, name = path.rpartition("/")
        return os.open(name.encode(errors="surrogateescape"), flags, mode, dir_fd=self.folder(folder))

    def stamp(self, path: str) -> Stamp:
        """The stamp of the entry `path`, without opening it. Raises OSError as ``stat`` does."""
        folder, _, name = path.rpartition("/")
        return stamp_of(
            os.stat(name.encode(errors="surrogateescape"), dir_fd=self.folder(folder), follow_symlinks=False)
        )

    def folder(self, path: str) -> int:
        """The descriptor of the folder `path`; ours, and good until the next call."""
        if self._descriptor is None or path != self._path:
            self.close()
            self._descriptor = open_folder(self._root, path)
            self._path = path
        return self._descriptor

    def close(self) -> None:
        """Close what is open. The object can be used again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
