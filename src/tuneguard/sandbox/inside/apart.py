"""Tries whether a process of another user of this machine could meet the command outside the sandbox.

Two processes that can enter one folder can meet in it: a Unix socket there hands on open descriptors, of
the network or of any file, and neither a namespace nor a system call filter stops that. A process with
the command's own uid needs no folder: ``/proc/PID/root`` leads it into the sandbox. So the command has a
uid that nobody else has, and what it is given lies where no other user gets to.

This runs before the root is built, in the machine's own file system, by a process that becomes another
user and tries. Only root can do that.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
SAME_USER = "same user: another process of that user outside can meet the command, and hand it the network"


def tried(paths: list[str], uid: int) -> str | None:
    """Why the command, with that uid and what lies at `paths`, is not apart from others; None if it is."""
    for process in _processes():
        if uid in _uids(process):
            return f"process {process} has the command's uid {uid}"
    for other in (NOBODY, uid):
        found = _reached(paths, other)
        if found is not None:
            return f"other users can get to {found}, and meet the command there"
    return None


def _processes() -> Iterator[str]:
    return filter(str.isdigit, os.listdir("/proc"))


def _uids(process: str) -> list[int]:
    """The real, effective, saved and file system uid of a process; none where it has ended."""
    try:
        with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as file:
            return [int(uid) for line in file if line.startswith("Uid:") for uid in line.split()[1:]]
    except OSError:
        return []


def _reached(paths: list[str], uid: int) -> str | None:
    """The first of `paths` that a process with that uid, in no group, is not kept from by permissions."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    process = os.fork()
    if process == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writer, os.fsencode(next((path for path in paths if not _is_kept_from(path)), "")))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader, "rb") as said:
        found = os.fsdecode(said.read())
    _, status = os.waitpid(process, 0)
    if status != 0:
        return "what it was given, for all that could be tried"
    return found or None


def _is_kept_from(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno == errno.EACCES
    return False
