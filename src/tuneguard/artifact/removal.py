"""Deletes a tree that we made, whatever somebody did to it since: any depth, any name, no link followed.

A training process may leave folders nested ten thousand deep, without permissions, or with links to
places that are not ours. So there is no recursion and no long path: each folder is moved up to the
top under a name of ours, opened there, emptied, and its own folders are moved up in turn. Three
descriptors are open at most.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING

from tuneguard.artifact.safe_open import FOLDER_FLAGS
from tuneguard.errors import CannotLook, Refused
from tuneguard.files import cannot_look, printable

if TYPE_CHECKING:
    from pathlib import Path


def remove(path: Path) -> None:
    """Delete the folder `path` and all that is in it. What is not there is deleted already.

    Raises:
        Refused: it is a link or not a folder.
        CannotLook: something in it cannot be deleted; what something is mounted on never is.
    """
    try:
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_look(error, path.parent) from error
    try:
        _remove_below(parent, path.name)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise CannotLook(
                "something is mounted in it", where=printable(os.fspath(path)), help="unmount it first"
            ) from error
        raise cannot_look(error, path) from error
    finally:
        os.close(parent)


def _remove_below(parent: int, name: str) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        raise Refused("is not a folder", where=printable(name))
    mount = _mount_of(parent)
    top = _open_writable(parent, name, mount)
    try:
        _Removal(top, mount).run()
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


class _Removal:
    """The emptying of the folder open as `top`, which belongs to `mount`."""

    def __init__(self, top: int, mount: str) -> None:
        self._top = top
        self._mount = mount
        self._prefix = f".removing-{secrets.token_hex(6)}-"
        self._number = 0

    def run(self) -> None:
        """Go on until nothing is left: what is emptied moves its own folders to the top."""
        while names := os.listdir(self._top):
            for name in names:
                if name.startswith(self._prefix):
                    self._empty(name)
                else:
                    self._take(self._top, name)

    def _take(self, folder: int, name: str) -> None:
        """Delete the entry `name` of `folder`, or move it to the top if it is a folder."""
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            return
        os.close(
            _open_writable(folder, name, self._mount)
        )  # without write permission it could not change its parent
        self._number += 1
        os.rename(name, f"{self._prefix}{self._number}", src_dir_fd=folder, dst_dir_fd=self._top)

    def _empty(self, name: str) -> None:
        folder = _open_writable(self._top, name, self._mount)
        try:
            for below in os.listdir(folder):
                self._take(folder, below)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=self._top)


def _open_writable(parent: int, name: str, mount: str) -> int:
    """A descriptor of the folder `name` in `parent`, made readable and writable for us if it is ours.

    By way of ``O_PATH`` and ``/proc/self/fd``, because a folder without permissions cannot be opened
    to change them, and changing them by name could follow a link. What is mounted there is not ours
    to empty: that raises ``EBUSY``, as deleting it would.
    """
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if _mount_of(handle) != mount:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        with contextlib.suppress(OSError):  # not ours: then deleting will fail and report it
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        return os.open(".", FOLDER_FLAGS, dir_fd=handle)
    finally:
        os.close(handle)


def _mount_of(descriptor: int) -> str:
    """The line ``mnt_id:`` of proc_pid_fdinfo(5): it shows a bind mount of the same file system too."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
        return next(line for line in lines if line.startswith("mnt_id:"))
