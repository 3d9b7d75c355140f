"""The folder of an image layout on disk: finding, locking, reading and writing it, crash-safe.

Reading goes by directory descriptors and follows no link. Writing goes into a file of its own name at
the top (``.incoming-…``), is flushed, and is renamed to where it belongs; so a reader sees nothing or
all of it. A writer holds an ``flock`` on its incoming file while it writes, and the next holder of
the layout's lock removes the unlocked incoming files: what a kill left is gone by the next push.

The lock is an ``flock`` on ``oci-layout``, the one file that is never replaced. Other tools do not
take it: while ``oras`` or ``skopeo`` writes into the same layout, do not.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.files import (
    cannot_look,
    directory,
    fault_point,
    printable,
    read_bounded,
    sync_directory,
    write_new,
)
from tuneguard.oci.index import EMPTY_INDEX
from tuneguard.records import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = "oci-layout"
INDEX = "index.json"
_HEADER_DATA = b'{"imageLayoutVersion":"1.0.0"}'
_HEADER_LIMIT = 64 * 1024
_INCOMING = ".incoming-"
_LEFT_OVER = re.compile(r"\.oci-layout\.[0-9a-f]+\.tmp")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES = 8


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of an existing layout's folder.

    Raises:
        UsageError: there is no layout.
        NotUnderstood: it is a layout of another version.
    """
    with directory(path) as root:
        if not os.path.lexists(path / HEADER):
            raise UsageError(
                "is not an OCI image layout: it has no oci-layout file",
                where=printable(str(path)),
                help="check the path; pushing makes a layout in a new or empty folder",
            )
        _check_header(path)
        yield root


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """The same, made if need be, with the only lock on it: for as short as can be.

    Raises:
        UsageError: the folder holds other things, or cannot be made.
        Refused: a link stands where a folder or file of the layout should.
    """
    _make(path)
    with directory(path) as root, _lock(path, root):
        _check_header(path)
        _furnish(path, root)
        yield root


def open_blob(root: int, hex: str, where: str) -> int | None:
    """A descriptor of the regular file ``blobs/sha256/HEX``, or None where there is none.

    Raises:
        Refused: a link or something special stands on the way.
    """
    with contextlib.ExitStack() as stack:
        folder = root
        for name in ("blobs", "sha256"):
            found = _open(name, _FOLDER, folder, where)
            if found is None:
                return None
            stack.callback(os.close, found)
            folder = found
        descriptor = _open(hex, _READ, folder, where)
    if descriptor is not None and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"the blob {hex[:12]} is not a regular file", where=where)
    return descriptor


@contextlib.contextmanager
def incoming(path: Path) -> Iterator[tuple[int, str]]:
    """A new file to write a blob into, and its name; removed on leaving if it was not renamed.

    Takes the layout's lock only while the file is made, so that nobody sweeps it away.
    """
    with locked(path) as root:
        descriptor, name = _new(root, path)
    try:
        yield descriptor, name
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path / name)
        os.close(descriptor)


def publish_blob(root: int, descriptor: int, name: str, hex: str, where: str) -> None:
    """Flush an incoming file and make it ``blobs/sha256/HEX``."""
    with contextlib.ExitStack() as stack:
        folder = root
        for part in ("blobs", "sha256"):
            found = _open(part, _FOLDER, folder, where)
            if found is None:
                raise CannotLook("the layout's blobs folder is gone", where=where)
            stack.callback(os.close, found)
            folder = found
        _publish(descriptor, (root, name), (folder, hex), where)


def replace_index(root: int, path: Path, data: bytes) -> None:
    """Put a new ``index.json`` in place of the old one. The caller holds the lock."""
    where = printable(str(path / INDEX))
    descriptor, name = _new(root, path)
    try:
        write_all(descriptor, data, where)
        _publish(descriptor, (root, name), (root, INDEX), where)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=root)
        os.close(descriptor)


def write_all(descriptor: int, data: bytes, where: str) -> None:
    """Write every byte.

    Raises:
        CannotLook: the disk is full or fails.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise cannot_look(error, where) from error


def _publish(descriptor: int, source: tuple[int, str], target: tuple[int, str], where: str) -> None:
    (from_folder, from_name), (to_folder, to_name) = source, target
    try:
        fault_point(f"fsync:{to_name}")
        os.fsync(descriptor)
        fault_point(f"rename:{to_name}")
        os.rename(from_name, to_name, src_dir_fd=from_folder, dst_dir_fd=to_folder)
        fault_point(f"fsync:{to_name}/..")
        os.fsync(to_folder)
    except OSError as error:
        raise cannot_look(error, where) from error


def _new(root: int, path: Path) -> tuple[int, str]:
    """An incoming file that this process holds. The caller holds the layout's lock."""
    name = _INCOMING + secrets.token_hex(8)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, 0o644, dir_fd=root)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise cannot_look(error, path) from error
    return descriptor, name


def _make(path: Path) -> None:
    """Make the folder and its header, if there is none; several may try at once."""
    try:
        path.mkdir()
        sync_directory(path.parent)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise UsageError(
            "there is no folder to put the layout in", where=printable(str(path.parent)), help="make it first"
        ) from None
    except OSError as error:
        raise cannot_look(error, path) from error
    header = path / HEADER
    if os.path.lexists(header):
        return
    with directory(path) as root:
        others = [name for name in os.listdir(root) if not _LEFT_OVER.fullmatch(name)]
    if others and not os.path.lexists(header):  # asked again: another process may have made it meanwhile
        raise UsageError(
            "is a folder with other things in it, not an OCI image layout",
            where=printable(str(path)),
            help="name a new or empty folder",
        )
    try:
        write_new(header, _HEADER_DATA)
    except (UsageError, CannotLook):
        if not os.path.lexists(header):  # else another process was faster
            raise


@contextlib.contextmanager
def _lock(path: Path, root: int) -> Iterator[None]:
    """Hold the layout's lock; waits until it is free."""
    descriptor = _acquire(path, root)
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(path: Path, root: int) -> int:
    """A descriptor of the header, locked, and still the one that the name means."""
    for _ in range(_TRIES):
        try:
            descriptor = os.open(HEADER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        except OSError as error:
            raise cannot_look(error, path / HEADER) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _same(descriptor, os.stat(HEADER, dir_fd=root, follow_symlinks=False)):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise cannot_look(error, path / HEADER) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise CannotLook("is being replaced again and again", where=printable(str(path / HEADER)))


def _same(descriptor: int, status: os.stat_result) -> bool:
    own = os.fstat(descriptor)
    return (own.st_dev, own.st_ino) == (status.st_dev, status.st_ino)


def _furnish(path: Path, root: int) -> None:
    """Inside the lock: sweep away what killed writers left, and make what is missing."""
    where = printable(str(path))
    try:
        for name in os.listdir(root):
            if name.startswith(_INCOMING) or _LEFT_OVER.fullmatch(name):
                _sweep(root, name)
        folder = root
        with contextlib.ExitStack() as stack:
            for name in ("blobs", "sha256"):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=folder)
                    os.fsync(folder)
                found = _open(name, _FOLDER, folder, where)
                if found is None:
                    raise CannotLook("the layout's blobs folder is gone", where=where)
                stack.callback(os.close, found)
                folder = found
    except OSError as error:
        raise cannot_look(error, path) from error
    if not os.path.lexists(path / INDEX):
        replace_index(root, path, EMPTY_INDEX)


def _sweep(root: int, name: str) -> None:
    """Remove a file that nobody holds. A header's left-over is held by nobody, and the header is there."""
    try:
        descriptor = os.open(name, _READ, dir_fd=root)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=root)
    except OSError:  # held by a live writer, or renamed by it just now
        pass
    finally:
        os.close(descriptor)


def _check_header(path: Path) -> None:
    where = str(path / HEADER)
    found = read_json(read_bounded(where, _HEADER_LIMIT), where)
    if not isinstance(found, dict) or found.get("imageLayoutVersion") != "1.0.0":
        raise NotUnderstood("is not an OCI image layout of version 1.0.0", where=printable(where))


def _open(name: str, flags: int, folder: int, where: str) -> int | None:
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Refused(
                f"{name[:12]} is a link, or not what an image layout has there",
                where=where,
                help="find out who put it there",
            ) from error
        raise cannot_look(error, where) from error
