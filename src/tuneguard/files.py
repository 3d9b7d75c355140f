"""Opening and writing files so that nobody can step in between, and a kill leaves nothing half-done.

Reading goes by directory descriptors with ``O_NOFOLLOW``: a path is resolved once, component by
component. Writing goes into a file without a name, is flushed with ``fsync``, and only then gets its
name, so that a reader sees the old bytes or the new ones and never a mixture, and a kill leaves nothing.

Every ``fsync``, rename and commit passes through `fault_point`, so that a test can enumerate them
and kill the process at each one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tuneguard.errors import CannotLook, Refused, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAULT_AT = "TUNEGUARD_FAULT_AT"
"""Test hook: ``N:FILE`` kills the process at the N-th durable step, counted over all processes in FILE.

``0:FILE`` only counts. It can do nothing but end the process, as ``kill -9`` can.
"""

_NO_NAMELESS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""What a file system answers that does not know ``O_TMPFILE``."""


_NO_FILES = frozenset({errno.ENXIO, errno.ENODEV})
"""What opening a socket answers, or a device that is not there."""

_STREAMS = ("/dev/fd/", "/dev/stdout", "/dev/stderr", "/proc/")
"""Names of what is open already, a file too: it is written to and not replaced."""


def fault_point(name: str) -> None:
    """Mark a step that makes something durable (``fsync:…``, ``rename:…``, ``commit:…``)."""
    wanted = os.environ.get(FAULT_AT)
    if wanted is None:
        return
    at, _, counter = wanted.partition(":")
    descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, name.replace("\n", " ").encode("utf-8", "surrogateescape") + b"\n")
    finally:
        os.close(descriptor)
    if int(at) and Path(counter).read_bytes().count(b"\n") == int(at):
        os.kill(os.getpid(), signal.SIGKILL)


def fault_counter() -> tuple[Path, ...]:
    """The file in which durable steps are counted, which a confined process has to write to as well."""
    wanted = os.environ.get(FAULT_AT)
    return () if wanted is None else (Path(wanted.partition(":")[2]),)


def printable(name: str | bytes) -> str:
    """A name from outside as text that no terminal acts on: escapes what is not plainly printable.

    >>> printable("ok/файл.bin")
    'ok/файл.bin'
    >>> printable(b"a\\x1b[31m\\xff")
    'a\\\\x1b[31m\\\\xff'
    """
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    return "".join(_escaped(character) for character in text)


def from_here(path: str | os.PathLike[str]) -> str:
    """A path as it is seen from the current folder where it lies below it, else as it is; not escaped."""
    text = os.fspath(path)
    if not os.path.isabs(text):
        return text
    below = os.path.relpath(text)
    return text if below.startswith("..") else below


def _escaped(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape carries it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cannot_look(error: OSError, path: str | os.PathLike[str]) -> CannotLook:
    """An operating system error as ours: what the system reported, where, and what usually fixes it."""
    help = {
        errno.EACCES: "give this user read permission, or run as a user who has it",
        errno.EPERM: "give this user the permission, or run as a user who has it",
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "check the path",
        errno.ENOSPC: "free some space on that file system",
        errno.EDQUOT: "free some space, or have this user's quota raised",
        errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
        errno.EIO: "the device failed to read: check the disk before trusting anything on it",
    }.get(error.errno or 0)
    return CannotLook((error.strerror or str(error)).lower(), where=printable(os.fspath(path)), help=help)


def missing(path: str | os.PathLike[str], what: str = "no such file or folder") -> UsageError:
    """A path that the person gave and that is not there: exit 2, not a judgement."""
    return UsageError(what, where=printable(os.fspath(path)), help="check the path")


@contextlib.contextmanager
def directory(path: str | os.PathLike[str]) -> Iterator[int]:
    """The descriptor of a directory that the person named. Its last component may not be a link.

    Raises:
        UsageError: nothing is there, or it is not a directory.
        Refused: it is a symbolic link.
        CannotLook: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            if Path(path).is_symlink():
                raise Refused(
                    "is a symbolic link",
                    where=printable(os.fspath(path)),
                    help="name the folder that it points to",
                ) from None
            raise missing(path, "is not a folder") from None
        raise cannot_look(error, path) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_named(path: str | os.PathLike[str], limit: int, *, guarded: str = "") -> bytes:
    """All bytes of a regular file of at most `limit` bytes that the person or the environment names.

    Follows links, as clusters mount every Secret and ConfigMap by them; does not wait on a FIFO. For a file
    that somebody else could have chosen (in a tree, evidence or a layout) there is `read_bounded`. `guarded`
    names what must not be a file that every user may write, a key or authorities.

    Raises:
        UsageError: it is not there, a loop of links, not a regular file, or larger than `limit`.
        Refused: every user may write it.
        CannotLook: it cannot be read.
    """
    where = printable(os.fspath(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise missing(path, "no such file") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError("is a loop of links", where=where, help="name the file itself") from None
        if error.errno in _NO_FILES:
            raise _not_regular(path) from None
        raise cannot_look(error, path) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _not_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        if guarded and mode & stat.S_IWOTH:
            raise Refused(
                f"every user may write {guarded}",
                where=where,
                help="make sure that it is still the right one, then run chmod o-w FILE",
            )
        data = _whole(file, limit, path)
    if len(data) > limit:
        raise UsageError(f"is larger than {limit:,} bytes", where=where, help="name the right file")
    return data


def read_bounded(path: str | os.PathLike[str], limit: int, *, dir_fd: int | None = None) -> bytes:
    """All bytes of a regular file of at most `limit` bytes in a tree, in evidence, in a layout or of our own.

    Neither follows a link in the last component nor waits on a FIFO. For a file that the person names
    there is `read_named`.

    Raises:
        UsageError: it is not there.
        Refused: it is a link or not a regular file.
        CannotLook: it cannot be read, or is larger than `limit`.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, dir_fd=dir_fd)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused(
                "is a symbolic link",
                where=printable(os.fspath(path)),
                help="replace it by the file that it points to",
            ) from None
        raise cannot_look(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused("is not a regular file", where=printable(os.fspath(path)))
    with os.fdopen(descriptor, "rb") as file:
        data = _whole(file, limit, path)
    if len(data) > limit:
        raise CannotLook(f"is larger than {limit:,} bytes", where=printable(os.fspath(path)))
    return data


def _whole(file: BinaryIO, limit: int, path: str | os.PathLike[str]) -> bytes:
    """The bytes of an open file; one more than `limit` where there are more."""
    try:
        return file.read(limit + 1)
    except OSError as error:
        raise cannot_look(error, path) from error


def write_new(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644) -> None:
    """Create `path` with `data`, whole or not at all; never replaces what is there.

    Raises:
        UsageError: the name is taken.
        CannotLook: it cannot be written.
    """
    target = Path(path)
    with _flushed(target, data, mode) as give_name:
        fault_point(f"rename:{target.name}")
        try:
            give_name(target.name)
        except FileExistsError:
            raise UsageError(
                "already exists", where=printable(str(target)), help="choose another name, or remove it"
            ) from None
        except OSError as error:
            raise cannot_look(error, target) from error
    sync_directory(target.parent)


def write_replacing(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644) -> None:
    """Make `path` hold `data`, replacing what is there in one step.

    Raises:
        CannotLook: it cannot be written.
    """
    target = Path(path)
    with _flushed(target, data, mode) as give_name:
        fault_point(f"rename:{target.name}")
        between = _beside(target)
        try:
            give_name(between.name)
            os.replace(between, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                between.unlink()
            raise cannot_look(error, target) from error
    sync_directory(target.parent)


def write_named(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to what the person names: a file, replaced in one step, also where a link leads to it.

    What is no file is written to and never replaced, as a shell's ``>`` does: a FIFO that somebody reads, a
    terminal, ``/dev/null``, ``/dev/stdout``.

    Raises:
        UsageError: it is a folder, a disk, a socket, or a FIFO that nobody reads.
        CannotLook: it cannot be written.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:
        raise cannot_look(error, path) from error
    if stat.S_ISREG(mode) and not os.path.abspath(path).startswith(_STREAMS):
        write_replacing(os.path.realpath(path), data)
        return
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise _not_regular(path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except OSError as error:
        if error.errno in _NO_FILES:
            help = "start its reader first"
            raise UsageError("nobody reads it", where=printable(os.fspath(path)), help=help) from None
        raise cannot_look(error, path) from error


def _not_regular(path: str | os.PathLike[str]) -> UsageError:
    return UsageError("is not a regular file", where=printable(os.fspath(path)), help="name a file")


def rename_new(source: Path, target: Path) -> None:
    """Give a folder that is whole its name; never replaces anything but an empty folder.

    The source's own names are made durable first, so that the name never stands for less.

    Raises:
        UsageError: the name is taken.
        CannotLook: the file system refused.
    """
    sync_directory(source)
    fault_point(f"rename:{target.name}")
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise UsageError(
                "is there already", where=printable(str(target)), help="take a new name"
            ) from None
        raise cannot_look(error, target) from error
    sync_directory(target.parent)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in a directory durable."""
    fault_point(f"fsync:{Path(path).name}/")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync directories
            raise cannot_look(error, path) from error
    finally:
        os.close(descriptor)


def _beside(target: Path) -> Path:
    """A name that nobody else uses, in the target's folder."""
    return target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")


@contextlib.contextmanager
def _flushed(target: Path, data: bytes, mode: int) -> Iterator[Callable[[str], None]]:
    """A file in the target's folder that holds `data` durably, and what gives it a new name there.

    It has no name of its own, so that a kill leaves nothing; where the file system knows no such
    files, it has a hidden one (`_beside`), which a kill leaves.

    Raises:
        CannotLook: the folder or the file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            descriptor, source = _nameless(folder)
            if source is None:
                descriptor, source = _named(folder, _beside(target).name, stack)
            stack.callback(os.close, descriptor)
            os.fchmod(descriptor, mode)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(data)
            fault_point(f"fsync:{target.name}")
            os.fsync(descriptor)
        except OSError as error:
            raise cannot_look(error, target) from error
        yield lambda name: os.link(
            source, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=source.startswith("/")
        )


def _nameless(folder: int) -> tuple[int, str | None]:
    """A file without a name in `folder`, and the path by which it can be given one; see open(2)."""
    try:
        descriptor = os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_NAMELESS_FILES:
            return -1, None
        raise
    path = f"/proc/self/fd/{descriptor}"
    if os.path.lexists(path):
        return descriptor, path
    os.close(descriptor)
    return -1, None


def _named(folder: int, name: str, stack: contextlib.ExitStack) -> tuple[int, str]:
    """A new file of the name `name` in `folder`, which the stack takes away again."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)

    def remove() -> None:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)

    stack.callback(remove)
    return descriptor, name
