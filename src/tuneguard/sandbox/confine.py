"""A process gives up the network, and the right to write anywhere but where it has to.

This is for steps that read untrusted bytes and execute none of them: should a parser be taken over, the
process reaches no network, changes no file but its own, and can neither look into another process nor signal
it. Both are kept by the kernel for the process and all its children, and cannot be taken back (seccomp(2),
landlock(7)).

A kernel that lacks one of them leaves the process as it was: `confine` returns which it could not have.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from tuneguard.sandbox.inside import kernel, seccomp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_VERSION = 1
_SCOPED, _SCOPES_SINCE = 0b11, 6
"""LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and SIGNAL: neither reaches a process that gave up less."""
_PATH_BENEATH = 1
_TO_FILES = 0b10 | 1 << 14
"""LANDLOCK_ACCESS_FS_WRITE_FILE and TRUNCATE: all that a rule about one file may hold."""
_WRITES = _TO_FILES | 0b1_1111_1111 << 4 | 1 << 13
"""Besides: REMOVE_DIR, REMOVE_FILE, MAKE_* and REFER."""
_SINCE = {1 << 13: 2, 1 << 14: 3}
"""The ABI in which a right appeared, where it is not the first."""


def confine(*, network: bool, writable: Iterable[Path], attributes: bool = True) -> dict[str, str]:
    """Give up what is not allowed, for good. Returns what could not be given up and why.

    Without `network` no socket can be made, a Unix one neither: an agent that holds a key may listen there.
    Files can be written below the paths in `writable`, and where such a path is not there yet, below the
    nearest folder above it that is. With neither `network` nor `attributes` no file's mode, owner or times
    can be changed, wherever it lies.
    """
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    failed: dict[str, str] = {}
    try:
        _restrict_writes(writable)
    except OSError as error:
        failed["writes"] = error.strerror or str(error)
    if not network:
        try:
            kernel.load_filter(seccomp.offline(kernel.MACHINE, attributes=attributes))
        except OSError as error:
            failed["network"] = error.strerror or str(error)
    return failed


def _restrict_writes(writable: Iterable[Path]) -> None:
    version = kernel.call("landlock_create_ruleset", None, 0, _VERSION)
    rights = _WRITES & ~sum(right for right, since in _SINCE.items() if since > version)
    attributes = struct.pack("=Q", rights)
    if version >= _SCOPES_SINCE:
        attributes += struct.pack("=QQ", 0, _SCOPED)
    ruleset = kernel.call("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        for path in (*map(_nearest, writable), "/dev/null"):
            _allow(ruleset, path, rights)
        kernel.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        allowed = rights if os.path.isdir(path) else rights & _TO_FILES
        kernel.call("landlock_add_rule", ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, descriptor), 0)
    finally:
        os.close(descriptor)


def _nearest(path: Path) -> str:
    """The path, or the nearest folder above it that is there."""
    for each in (path, *path.parents):
        if os.path.exists(each):  # a link that leads nowhere must not be opened: nothing would be given up
            return str(each)
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
