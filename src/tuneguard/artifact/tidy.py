"""Makes an untrusted tree this user's own: modes, access lists and other attributes.

A training sets what it likes on what it writes: a mode that lets everybody write, an access control list
that lets one user, a mode that keeps us out. What is left when it is dead gets 0700 for folders and 0600
for files, and loses its extended attributes. It is also counted here, before anything is read: a sparse
file of many terabytes takes no space and hours to hash.

Everything goes by descriptors of what was found (``O_PATH | O_NOFOLLOW``, and ``/proc/self/fd``), so no
link is followed, and a file that we may not open is tidied too. Links, FIFOs, sockets and devices are left
as they are: a tree that holds one is refused when it is walked (`tree`), and so is what lies deeper than a
tree may be.
"""

from __future__ import annotations

import errno
import os
import stat

from tuneguard import limits
from tuneguard.artifact.safe_open import FOLDER_FLAGS
from tuneguard.errors import Refused
from tuneguard.files import cannot_look, printable

_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def tidy(root: int, *, name: str, most: int) -> None:
    """Make everything below the folder open as `root`, and that itself, this user's alone.

    Args:
        name: what messages call the tree.
        most: bytes that its files may have together, holes and each name of a file counted.

    Raises:
        Refused: it holds more bytes, or more than `limits.OUTPUT_ENTRIES` files and folders.
        CannotLook: something cannot be changed.
    """
    walk = _Walk(name, most)
    try:
        walk.run(root)
    except OSError as error:
        raise cannot_look(error, name) from error


def make_ours(handle: int) -> os.stat_result:
    """Tidy one file or folder by an ``O_PATH`` descriptor; what it was before.

    Attributes that the kernel keeps for the machine's own labels cannot be taken away and stay.

    Raises:
        OSError: it is not ours to change.
    """
    status = os.fstat(handle)
    mode = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
    path = f"/proc/self/fd/{handle}"
    if stat.S_IMODE(status.st_mode) != mode:
        os.chmod(path, mode)
    for attribute in _attributes(path):
        _drop(path, attribute)
    return status


def _attributes(path: str) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # a file system without such attributes
            return []
        raise


def _drop(path: str, attribute: str) -> None:
    try:
        os.removexattr(path, attribute)
    except OSError:
        if attribute.startswith(("user.", "system.posix_acl_")) or attribute == "security.capability":
            raise


class _Walk:
    """One walk under way: what it has counted."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._bytes = 0
        self._entries = 0

    def run(self, root: int) -> None:
        """Depth first, by a stack of our own, no deeper than a tree may be."""
        stack = [(os.open(".", FOLDER_FLAGS, dir_fd=root), list[str]())]
        try:
            make_ours(stack[0][0])
            stack[0][1].extend(self._files_of(stack[0][0]))
            while stack:
                folder, left = stack[-1]
                if not left or len(stack) > limits.TREE_DEPTH + 1:
                    os.close(stack.pop()[0])
                    continue
                below = open_folder_of_ours(folder, left.pop())
                stack.append((below, []))
                stack[-1][1].extend(self._files_of(below))
        finally:
            for folder, _ in stack:
                os.close(folder)

    def _files_of(self, folder: int) -> list[str]:
        """Tidy the files of one folder; the names of the folders in it."""
        folders = []
        with os.scandir(folder) as listing:
            for entry in listing:
                self._count(entry.stat(follow_symlinks=False))
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    handle = os.open(entry.name, _HANDLE, dir_fd=folder)
                    try:
                        make_ours(handle)
                    finally:
                        os.close(handle)
        return folders

    def _count(self, status: os.stat_result) -> None:
        self._entries += 1
        if self._entries > limits.OUTPUT_ENTRIES:
            raise Refused(
                f"holds more than {limits.OUTPUT_ENTRIES:,} files and folders",
                where=printable(self._name),
                help="have the training write fewer, larger files",
            )
        if stat.S_ISREG(status.st_mode):
            self._bytes += status.st_size
        if self._bytes > self._most:
            raise Refused(
                f"holds more than {self._most:,} bytes, holes in files counted",
                where=printable(self._name),
                help="if this size is right, set checkpoint.maxSize in tuneguard.yaml",
            )


def open_folder_of_ours(parent: int, name: str) -> int:
    """A descriptor of the folder `name` in `parent`, tidied first: also of one that we could not open.

    Raises:
        OSError: as ``open`` does; it is a link or not a folder, or not ours to change.
    """
    handle = os.open(name, _HANDLE | os.O_DIRECTORY, dir_fd=parent)
    try:
        make_ours(handle)
        return os.open(".", FOLDER_FLAGS, dir_fd=handle)
    finally:
        os.close(handle)
