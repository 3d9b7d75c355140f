"""Unpacks a tar archive, plain or compressed by gzip, or a zip archive into a new folder.

What is unpacked is bounded by the archive's own size (`limits.STAGED_RATIO`). A member that is neither a file
nor a folder refuses, and so does a name that is absolute, leaves the folder or comes twice (`target`).
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import zlib
from typing import TYPE_CHECKING, BinaryIO

from tuneguard import limits
from tuneguard.artifact.safe_open import stamp_of
from tuneguard.artifact.tree import changed, fault_of_path
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.files import cannot_look, missing, printable
from tuneguard.formats import tar, tar_members
from tuneguard.formats import zip as zipped
from tuneguard.formats.facts import TwoReadings
from tuneguard.formats.reader import CHUNK, Reader
from tuneguard.staging.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneguard.formats.facts import Fact
    from tuneguard.progress import Reporter, Task

_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
}
_HELP = "unpack it, and stage the folder"


def unpack(source: Path, target: Path, *, name: str, reporter: Reporter) -> None:
    """Unpack the archive `source` into the new folder `target`.

    Raises:
        UsageError: it is not there, no regular file, or no archive that is read.
        Refused: a member is a link or a device, has a name that leaves the folder, or comes twice; or it
            unpacks to more than an archive of its size may.
        NotUnderstood: it is malformed, or two readers would see different members.
        ChangedWhileRead: it changed meanwhile.
        CannotLook: it cannot be read, or the folder not be written.
    """
    with _opened(source) as descriptor:
        before = os.fstat(descriptor)
        most = max(limits.STAGED_UNPACKED, limits.STAGED_RATIO * before.st_size)
        made = Target(target, name)
        head = os.pread(descriptor, tar.BLOCK, 0)
        with reporter.task("Unpacking", total=None, unit="bytes") as task:
            unpacking = _Unpacking(made, name, most, task)
            with _named(name):
                if head.startswith(zipped.LOCAL):
                    unpacking.zip(Reader.of_descriptor(descriptor, before.st_size, name=name))
                elif head.startswith(_GZIP):
                    with os.fdopen(os.dup(descriptor), "rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
                        unpacking.tar(stream)
                elif len(head) == tar.BLOCK and tar.looks_like(head):
                    with os.fdopen(os.dup(descriptor), "rb") as raw:
                        unpacking.tar(raw)
                else:
                    raise _no_archive(head, name)
        if stamp_of(os.fstat(descriptor)) != stamp_of(before):
            raise changed(name)


class _Unpacking:
    """One archive under way."""

    def __init__(self, made: Target, name: str, most: int, task: Task) -> None:
        self._made = made
        self._name = name
        self._most = most
        self._left = most
        self._task = task

    def tar(self, stream: BinaryIO | gzip.GzipFile) -> None:
        def read(amount: int) -> bytes:
            self._count(amount)
            return stream.read(amount)

        entries = 0
        for member in tar_members.read_members(read):
            entries += 1
            if entries > limits.STAGED_ENTRIES:
                raise CannotLook(f"holds more than {limits.STAGED_ENTRIES:,} files and folders")
            path = member.name.removeprefix("./")  # as ``tar -C DIR .`` names them
            if member.folder:
                self._check_folder(path)
                continue
            with self._file(path) as file:
                left = member.size
                while left:
                    chunk = read(min(CHUNK, left))
                    if not chunk:
                        raise NotUnderstood("the archive ends early")
                    file.write(chunk)
                    left -= len(chunk)
                    self._task.advance(len(chunk))

    def zip(self, reader: Reader) -> None:
        directory = zipped.read_directory(reader)
        self._count(sum(entry.size for entry in directory.entries))
        for found in zipped.read_members(reader, directory):
            if not isinstance(found, zipped.Member):
                self._judge(found)
                continue
            path, content = found.entry.name, found.content
            if path.endswith("/"):
                self._check_folder(path[:-1])
            elif content is None:
                raise NotUnderstood(f"{printable(path)} is packed by {found.entry.how}, or too large")
            else:
                with self._file(path) as file:
                    while chunk := content.take(CHUNK):
                        file.write(chunk)
                        self._task.advance(len(chunk))

    def _judge(self, fact: Fact) -> None:
        """What two readers would take differently refuses. What none of them looks at is left behind."""
        if isinstance(fact, TwoReadings):
            raise Refused(fact.what, where=printable(self._name), help=_HELP)

    @contextlib.contextmanager
    def _file(self, path: str) -> Iterator[BinaryIO]:
        descriptor = self._made.create(path)
        with os.fdopen(descriptor, "wb") as file:
            yield file

    def _check_folder(self, path: str) -> None:
        """A folder is made with the first file in it; its name must be good all the same."""
        fault = None if path in ("", ".") else fault_of_path(path)
        if fault is not None:
            raise Refused(f"has a path that {fault}", where=printable(f"{self._name}: {path}"), help=_HELP)

    def _count(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise Refused(
                f"unpacks to more than {self._most:,} bytes, which no archive of its size should",
                where=printable(self._name),
                help="if so much is right, unpack it, and stage the folder",
            )


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[int]:
    """A descriptor of the file that the person names; does not wait on a FIFO."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing(source) from None
    except OSError as error:
        raise cannot_look(error, source) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            where = printable(os.fspath(source))
            raise UsageError(
                "is neither a file nor a folder", where=where, help="name an archive or a folder"
            )
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """What a format or gzip could not read is reported with the name of the archive."""
    where = printable(name)
    try:
        yield
    except NotUnderstood as error:
        if error.problems[0].where is not None:
            raise
        raise NotUnderstood(error.what, where=where, help=_HELP) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise NotUnderstood(f"is not whole: {printable(str(error))}", where=where) from error
    except OSError as error:
        raise cannot_look(error, name) from error


def _no_archive(head: bytes, name: str) -> UsageError:
    how = next((how for mark, how in _OTHERS.items() if head.startswith(mark)), None)
    what = "is no archive that is read" if how is None else f"is packed by {how}, which is not read"
    return UsageError(what, where=printable(name), help=f"tar, tar.gz and zip are read; else {_HELP}")
