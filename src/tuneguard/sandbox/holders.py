"""Which other processes of this machine hold a device open, as far as that can be known.

What a process left in a GPU's memory another one may find, and who shares a GPU can slow its user down or
watch them through its caches and counters.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIRST = 0xEFFFFFFC
"""The inode of the pid namespace that holds every process of the machine (``PROC_PID_INIT_INO``)."""


def holder(nodes: Iterable[Path], proc: Path = Path("/proc")) -> str | None:
    """A process that holds one of `nodes` open, as a sentence; None where none was seen."""
    with contextlib.suppress(OSError):
        return _looked(nodes, proc)[0]
    return None


def why_not_alone(nodes: Iterable[Path], proc: Path = Path("/proc")) -> str | None:
    """Who else holds one of `nodes`, or why that cannot be known; None if nobody does."""
    unknown = "whether others hold it cannot be known"
    try:
        found, closed = _looked(nodes, proc)
    except OSError as error:  # a node that is gone, for one
        return f"{unknown}: {(error.strerror or str(error)).lower()}"
    if found is not None:
        return found
    if closed:
        return f"{unknown}: {closed:,} of the processes cannot be looked into"
    if (proc / "self/ns/pid").stat().st_ino != _FIRST:
        return f"{unknown}: processes outside of this container cannot be seen"
    if not (proc / "1").exists():
        return f"{unknown}: /proc hides the processes of other users"
    return None


def _looked(nodes: Iterable[Path], proc: Path) -> tuple[str | None, int]:
    """The first process that holds one of `nodes`, and how many could not be looked into."""
    wanted = {os.stat(node).st_rdev: node.name for node in nodes}
    closed = 0
    for process in filter(str.isdigit, os.listdir(proc)):
        try:
            for device in _held(proc / process / "fd"):
                if device in wanted:
                    name = _name(proc / process)
                    return f"process {process} ({name}) holds {wanted[device]} too", closed
        except PermissionError:
            closed += 1
        except OSError:  # it has ended
            continue
    return None, closed


def _held(folder: Path) -> Iterator[int]:
    """The devices that a process has open. A stat may hang elsewhere than in ``/dev``, where they lie."""
    for name in os.listdir(folder):
        try:
            if not os.readlink(folder / name).startswith("/dev/"):
                continue
            status = os.stat(folder / name)
        except FileNotFoundError:  # closed meanwhile
            continue
        if stat.S_ISCHR(status.st_mode):
            yield status.st_rdev


def _name(process: Path) -> str:
    try:
        return printable(re.sub(r"\s+", " ", (process / "comm").read_text("utf-8", "replace")).strip()[:40])
    except OSError:
        return "ended meanwhile"
