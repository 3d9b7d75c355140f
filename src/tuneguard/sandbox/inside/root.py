"""Builds the sandbox's root from nothing, in a mount namespace that is ours alone.

An empty tmpfs becomes the root; the machine's own root moves to ``/old`` below it, what the plan lists is
bound from there, then ``/old`` is detached and the root made read-only. Whatever was not listed is
not there to be found.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from tuneguard.sandbox.inside import kernel

Operation = dict[str, Any]
"""What `layout.Place` says, as the plan carries it."""

PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV


def build(operations: list[Operation]) -> None:
    """Make this process's root hold exactly what `operations` list, and leave the machine's root.

    Raises:
        OSError: the kernel refuses one of the steps; its third argument names the step.
    """
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", PLAIN, "mode=0755,size=16m")  # noqa: S108 (hidden: it is ours alone)
    os.chdir("/tmp")  # noqa: S108
    os.mkdir("old", 0o700)
    kernel.pivot_root(".", "old")
    os.chdir("/")
    for operation in operations:
        _BUILDERS[operation["kind"]](operation)
    kernel.unmount("/old", kernel.MNT_DETACH)
    os.rmdir("/old")
    kernel.set_mount("/", kernel.ATTR_RDONLY, recursive=False)


def protect_proc() -> None:
    """Make ``/proc`` read-only, once nothing is left to be written there.

    A process that was root before its user namespace owns the kernel's settings in there, without
    any capability: ``/proc/sys/kernel/core_pattern`` names a program that the machine runs as root.
    """
    kernel.set_mount("/proc", kernel.ATTR_RDONLY, recursive=True)


def _bind(operation: Operation) -> None:
    source, target = "/old" + operation["source"], operation["target"]
    info = os.stat(source)
    _check_same(info, operation)
    _place(target, is_folder=stat.S_ISDIR(info.st_mode))
    kernel.mount(source, target, None, kernel.MS_BIND | kernel.MS_REC)
    _check_same(os.stat(target), operation)
    attributes = kernel.ATTR_NOSUID | (0 if operation["device"] else kernel.ATTR_NODEV)
    if not operation["writable"]:
        attributes |= kernel.ATTR_RDONLY
    kernel.set_mount(target, attributes, recursive=True)


def _check_same(info: os.stat_result, operation: Operation) -> None:
    """What is mounted is what the supervisor looked at, not what was moved into its place since."""
    if [info.st_dev, info.st_ino] != operation["identity"]:
        raise OSError(errno.ESTALE, "another file has taken its place", f"bind {operation['source']}")


def _tmpfs(operation: Operation) -> None:
    _place(operation["target"], is_folder=True)
    size = "" if operation["size"] is None else f",size={operation['size']}"
    kernel.mount("tmpfs", operation["target"], "tmpfs", PLAIN, f"mode=0{operation['mode']:o}{size}")


def _link(operation: Operation) -> None:
    os.makedirs(os.path.dirname(operation["target"]), 0o755, exist_ok=True)
    os.symlink(operation["source"], operation["target"])


def _proc(operation: Operation) -> None:
    _place(operation["target"], is_folder=True)
    kernel.mount("proc", operation["target"], "proc", PLAIN | kernel.MS_NOEXEC)


def _place(target: str, *, is_folder: bool) -> None:
    """Something to mount on, made where it is missing."""
    try:
        if is_folder:
            os.makedirs(target, 0o755, exist_ok=True)
        elif not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"make a place for {target}") from error


_BUILDERS = {"bind": _bind, "tmpfs": _tmpfs, "link": _link, "proc": _proc}
