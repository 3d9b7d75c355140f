"""Opens a SQLite file that somebody else may have made, so that it can do nothing but hold rows.

The path must be no link. A rollback journal that names a further file is refused, because SQLite's
recovery would delete that file. Nothing of a schema is trusted, and the caller checks it inside each
transaction. Values are bounded. SQLite's errors become ours here, and only here.

``synchronous=EXTRA`` is FULL and also syncs the folder after the journal is gone; without that, a
power cut just after a commit may bring the journal, and the past, back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.files import cannot_look, printable, write_new

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS = 60.0
"""How long a transaction waits for another process before it gives up."""
_SMALLEST = 512  # a database has at least one page
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def make_file(path: Path) -> None:
    """An empty file, if there is none; SQLite itself would follow a dangling link. Makes one folder."""
    if os.path.lexists(path):
        return
    with contextlib.suppress(OSError):  # the next line raises what is wrong
        path.parent.mkdir(exist_ok=True)
    with contextlib.suppress(UsageError):  # another process was faster
        write_new(path, b"")


@contextlib.contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """A hardened connection, in autocommit: the caller begins and ends its transactions.

    Opened for writing where that is allowed, by readers too: a journal that a killed writer left must
    be rolled back before anything can be read.

    Raises:
        UsageError: the file is not there.
        Refused: the file is a link, or something was put beside it.
        NotUnderstood: not a database, or damaged; also for SQLite's errors inside the ``with``.
        CannotLook: it cannot be read or written, or another process holds it.
    """
    before = _identity(path)
    _check_beside(path)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            f"file://{quote(os.fsencode(path.absolute()))}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
        )
        _harden(connection)
        if _identity(path) != before:
            raise Refused("was replaced while it was opened", where=printable(str(path)))
        yield connection
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _ours(error, printable(str(path))) from error
    finally:
        if connection is not None:
            connection.close()


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """BEGIN `kind` (``DEFERRED`` to read, ``IMMEDIATE`` to write), then COMMIT, or ROLLBACK on any error."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def value(connection: sqlite3.Connection, query: str) -> Any:
    """The first column of the first row, or None."""
    row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def _harden(connection: sqlite3.Connection) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * limits.LEDGER_ENTRY_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1)
    connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "synchronous=EXTRA"):
        connection.execute(f"PRAGMA {pragma}")


def _identity(path: Path) -> tuple[int, int]:
    """Which file it is, found by name only: closing a descriptor of our own would drop SQLite's locks."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        raise UsageError(
            "there is no ledger",
            where=printable(str(path)),
            help="run inside a project, or name one with --ledger",
        ) from None
    except OSError as error:
        raise cannot_look(error, path) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        raise Refused(f"is {kind}", where=printable(str(path)), help="name the ledger's own file")
    if 0 < status.st_size < _SMALLEST:  # SQLite takes a file of one byte for an empty one, and writes over it
        raise NotUnderstood("is too short to be a ledger", where=printable(str(path)))
    return status.st_dev, status.st_ino


def _check_beside(path: Path) -> None:
    """Refuse what somebody put there for SQLite to act on.

    A rollback journal may end in the name of a "super-journal", and recovery deletes that file,
    whatever it is. Only transactions over several databases have one, so never ours. A write-ahead
    log would be read in place of the file's own pages.
    """
    for suffix in ("-wal", "-shm"):
        if os.path.lexists(f"{path}{suffix}"):
            raise Refused(
                "lies beside the ledger, which never has one",
                where=printable(f"{path}{suffix}"),
                help="find out who put it there, and remove it",
            )
    if _tail(f"{path}-journal", len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC:
        raise Refused(
            "names another file that SQLite would delete",
            where=printable(f"{path}-journal"),
            help="find out who put it there, and remove it",
        )


def _tail(path: str, count: int) -> bytes:
    """The last bytes of a regular file, or none where there is no such file.

    Raises:
        Refused: it is a link or not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Refused(
            "is not a journal of SQLite's", where=printable(path), help="find out who put it there"
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("is not a regular file", where=printable(path), help="find out who put it there")
        return os.pread(descriptor, count, max(0, status.st_size - count))
    finally:
        os.close(descriptor)


def _ours(error: Exception, where: str) -> CannotLook:
    """SQLite's error as ours: busy, unwritable, full, or not a database."""
    name = getattr(error, "sqlite_errorname", None) or ""
    reason = printable(str(error))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return CannotLook("another process holds the ledger", where=where, help="wait for it, or end it")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return CannotLook(
            f"the ledger cannot be opened for writing: {reason}",
            where=where,
            help="give this user write permission on the file and on its folder",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return CannotLook(
            f"the ledger cannot be read or written: {reason}", where=where, help="check the disk"
        )
    return NotUnderstood(f"is not a ledger, or is damaged: {reason}", where=where)
