"""Hashes files below a directory's descriptor: the inner loop, in a thread or as a worker process.

A file is opened by `opening`, must be regular, and is read to its end with ``readv`` into one
buffer that is used again and again. ``hashlib`` and ``readv`` release the interpreter's lock, so
threads are enough for large files. A hundred thousand small ones spend their time in the
interpreter instead; for those `serve` runs in processes of its own, started as::

    python -I -S -c "…; hasher.serve()" DESCRIPTOR

Over stdin come blocks of paths, over stdout go their digests and stamps. The worker ends with its
stdin, and so with its parent, however that dies. Standard library only: it starts in 20 ms.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING

from tuneguard.artifact.safe_open import FILE_FLAGS, STAMP_BYTES, Folders, Stamp, stamp_of
from tuneguard.limits import HASH_BUFFER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEADER = struct.Struct("<I")
"""Before a block: how many bytes of paths follow, each path ended by a newline (no name holds one)."""
CODE = struct.Struct("<i")
"""What came of a file: 0, `UNSTEADY` or the errno."""
UNSTEADY = -1
_WELL = CODE.pack(0)
ANSWER_BYTES = CODE.size + 32 + STAMP_BYTES
"""A block's answer, for each path: all codes, then all digests, then all stamps."""

_EMPTY = hashlib.sha256()  # copying it is cheaper than making one


class Unsteady(Exception):
    """What was opened is no regular file, or has more or fewer bytes than its stated size."""


def _ignored(_done: int) -> None:
    pass


class Hasher:
    """Hashes files below `root`, one after the other. Not for sharing between threads.

    ``progress`` is called with the bytes done since the last call; raising there stops the work.
    `folders` opens what lies below the root.
    """

    def __init__(self, root: int, progress: Callable[[int], None] = _ignored) -> None:
        self.folders = Folders(root)
        self._buffer = memoryview(bytearray(HASH_BUFFER))
        self._whole = (self._buffer,)
        self._progress = progress
        self._hashed: dict[str, Stamp] = {}

    def block(self, paths: Sequence[str]) -> bytes:
        """Hash the files `paths`; their codes, digests and stamps, as `ANSWER_BYTES` states.

        A stamp is of when the file was opened. The caller compares it with one from before and one
        from after: only together they prove that the file stood still.
        """
        codes, digests, stamps = zip(*map(self._answer, paths), strict=True)
        return b"".join((*codes, *digests, *stamps))

    def changed(self) -> str | None:
        """The first file hashed by `block` whose stamp is another one now."""
        for path, stamp in self._hashed.items():
            try:
                if self.folders.stamp(path) != stamp:
                    return path
            except OSError:
                return path
        return None

    def _answer(self, path: str) -> tuple[bytes, bytes, Stamp]:
        try:
            digest, stamp = self.hash(path)
        except Unsteady:
            return (CODE.pack(UNSTEADY), bytes(32), bytes(STAMP_BYTES))
        except OSError as error:
            return (CODE.pack(error.errno or UNSTEADY), bytes(32), bytes(STAMP_BYTES))
        self._hashed[path] = stamp
        return (_WELL, digest, stamp)

    def hash(self, path: str) -> tuple[bytes, Stamp]:
        """Open the file `path` and `hash_open` it. Raises as that does, and OSError as ``open`` does."""
        folder, _, name = path.rpartition("/")
        descriptor = os.open(name.encode(), FILE_FLAGS, dir_fd=self.folders.folder(folder))
        try:
            return self.hash_open(descriptor)
        finally:
            os.close(descriptor)

    def hash_open(self, descriptor: int) -> tuple[bytes, Stamp]:
        """The SHA-256 of a file that was just opened, and its stamp.

        Raises:
            OSError: it cannot be read.
            Unsteady: it is no regular file, or its size changed.
        """
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unsteady
        digest = _EMPTY.copy()
        left = status.st_size
        if left < HASH_BUFFER:  # one read takes more than a small file, and so shows its end too
            count = os.readv(descriptor, self._whole)
            if count > left:
                raise Unsteady
            digest.update(self._buffer[:count])
            self._progress(count)
            left -= count
            if not left:
                return digest.digest(), stamp_of(status)
        self.feed(digest, descriptor, left)
        if os.readv(descriptor, self._whole):
            raise Unsteady  # longer than its stated size: growing, or a file system without sizes
        return digest.digest(), stamp_of(status)

    def feed(self, digest: hashlib._Hash, descriptor: int, size: int) -> None:
        """Hash the next `size` bytes; no more are read, so a file that grows for ever ends too."""
        buffer, left = self._buffer, size
        while left > 0:
            count = os.readv(descriptor, (buffer if left >= HASH_BUFFER else buffer[:left],))
            if not count:
                raise Unsteady
            digest.update(buffer if count == HASH_BUFFER else buffer[:count])
            left -= count
            self._progress(count)

    def close(self) -> None:
        """Close the folder that is open."""
        self.folders.close()


def serve() -> None:
    """A worker process below the directory open as ``sys.argv[1]``: hashes each block from stdin.

    An empty block asks for `Hasher.changed` instead; its answer is a header and that path.
    """
    hasher = Hasher(int(sys.argv[1]))
    while header := sys.stdin.buffer.read(HEADER.size):
        length = HEADER.unpack(header)[0]
        if length:
            answer = hasher.block(sys.stdin.buffer.read(length).decode().split("\n")[:-1])
        else:
            path = (hasher.changed() or "").encode()
            answer = HEADER.pack(len(path)) + path
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
