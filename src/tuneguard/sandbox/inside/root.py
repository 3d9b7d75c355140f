"""Builds the sandbox's root from nothing, in a mount namespace that is ours alone.

An empty tmpfs becomes the root; the machine's own root moves to ``/old`` below it; what the plan
lists is cloned from there and put in its place, then ``/old`` is detached and the root made
read-only. Whatever was not listed is not there to be found.

Where the machine's real root started us, the command is to run under a uid that owns nothing. What
is bound for it is then mounted with its owner mapped to that uid (an id-mapped mount, Linux 5.12):
the command reads and writes as if it were the owner, and on disk the owner stays.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any

from tuneguard.sandbox.inside import kernel

Operation = dict[str, Any]
"""What `layout.Place` states, as the plan carries it."""

PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV


def build(operations: list[Operation], drop: int | None) -> bool:
    """Make this process's root hold exactly what `operations` list, and leave the machine's root.

    `drop` is the uid to which the owners are mapped. Returns whether that could be done: network
    and overlay file systems cannot map owners, and then none is.

    Raises:
        OSError: the kernel refuses one of the steps; its third argument names the step.
    """
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", PLAIN, "mode=0755,size=16m")  # noqa: S108 (hidden: it is ours alone)
    os.chdir("/tmp")  # noqa: S108
    os.mkdir("old", 0o700)
    kernel.pivot_root(".", "old")
    os.chdir("/")
    _mount_proc()
    trees = _open_trees(operations)
    dropped = drop is not None and _map_owners(trees, operations, drop)
    if drop is not None and not dropped:
        _close(trees)  # some may be mapped already
        trees = _open_trees(operations)
    for operation in operations:
        _BUILDERS[operation["kind"]](operation, trees)
    kernel.unmount("/old", kernel.MNT_DETACH)
    os.rmdir("/old")
    kernel.set_mount("/", kernel.ATTR_RDONLY)
    return dropped


def protect_proc() -> None:
    """Make ``/proc`` read-only, once nothing is left to be written there.

    A process that was root before its user namespace owns the kernel's settings in there, without
    any capability: ``/proc/sys/kernel/core_pattern`` names a program that the machine runs as root.
    """
    kernel.set_mount("/proc", kernel.ATTR_RDONLY, flags=kernel.AT_RECURSIVE)


def _mount_proc() -> None:
    os.mkdir("/proc", 0o755)
    kernel.mount("proc", "/proc", "proc", PLAIN | kernel.MS_NOEXEC)


# --- what is bound --------------------------------------------------------------------------------


def _open_trees(operations: list[Operation]) -> dict[str, int]:
    """A detached clone of each thing to bind, by its target: exactly what the supervisor looked at."""
    trees = {}
    for operation in operations:
        if operation["kind"] == "bind":
            tree = trees[operation["target"]] = kernel.clone_tree("/old" + operation["source"])
            found = os.fstat(tree)
            if [found.st_dev, found.st_ino] != operation["identity"]:
                raise OSError(errno.ESTALE, "another file has taken its place", f"bind {operation['source']}")
    return trees


def _bind(operation: Operation, trees: dict[str, int]) -> None:
    """Protect the clone, then show it: it never appears unprotected."""
    target, tree = operation["target"], trees.pop(operation["target"])
    attributes = kernel.ATTR_NOSUID | (0 if operation["device"] else kernel.ATTR_NODEV)
    if not operation["writable"]:
        attributes |= kernel.ATTR_RDONLY
    kernel.set_tree(tree, attributes)
    _place(target, is_folder=stat.S_ISDIR(os.fstat(tree).st_mode))
    kernel.attach_tree(tree, target)
    os.close(tree)


def _map_owners(trees: dict[str, int], operations: list[Operation], uid: int) -> bool:
    """Map the owner of each of the caller's own things to `uid`, of all or of none that counts."""
    namespaces: dict[tuple[int, int], int] = {}
    try:
        for operation in operations:
            if operation["kind"] == "bind" and operation["own"]:
                tree = trees[operation["target"]]
                owner = (os.fstat(tree).st_uid, os.fstat(tree).st_gid)
                if owner not in namespaces:
                    namespaces[owner] = _namespace_with(owner, uid)
                kernel.set_tree(tree, kernel.ATTR_IDMAP, namespaces[owner])
    except OSError:
        return False
    finally:
        for descriptor in namespaces.values():
            os.close(descriptor)
    return True


def _namespace_with(owner: tuple[int, int], uid: int) -> int:
    """A descriptor of a user namespace that maps `owner`, as it is on disk, to `uid`.

    A namespace needs a process to be made in: one that does nothing else and ends at once.
    """
    made_reader, made_writer = os.pipe2(os.O_CLOEXEC)
    held_reader, held_writer = os.pipe2(os.O_CLOEXEC)
    process = os.fork()
    if process == 0:
        os.close(held_writer)
        with contextlib.suppress(OSError):
            kernel.unshare(kernel.CLONE_NEWUSER)
            os.write(made_writer, b"1")
            os.read(held_reader, 1)
        os._exit(0)
    os.close(made_writer)
    os.close(held_reader)
    try:
        if os.read(made_reader, 1) != b"1":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), "make a user namespace")
        kernel.map_ids(process, owner, uid)
        return os.open(f"/proc/{process}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(made_reader)
        os.close(held_writer)
        os.waitpid(process, 0)


def _close(trees: dict[str, int]) -> None:
    for tree in trees.values():
        os.close(tree)


# --- what is made ---------------------------------------------------------------------------------


def _tmpfs(operation: Operation, _: dict[str, int]) -> None:
    _place(operation["target"], is_folder=True)
    size = "" if operation["size"] is None else f",size={operation['size']}"
    kernel.mount("tmpfs", operation["target"], "tmpfs", PLAIN, f"mode=0{operation['mode']:o}{size}")


def _link(operation: Operation, _: dict[str, int]) -> None:
    os.makedirs(os.path.dirname(operation["target"]), 0o755, exist_ok=True)
    os.symlink(operation["source"], operation["target"])


def _proc(operation: Operation, _: dict[str, int]) -> None:
    """Mounted first of all, since mapping owners needs it."""


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
