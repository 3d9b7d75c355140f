"""The kernel calls that Python has no name for, each one a function that raises `OSError`.

Only the standard library: this runs before and inside the sandbox, with nothing else importable.
Numbers are those of the kernel's headers for x86_64 (``unistd_64.h``) and aarch64 (``asm-generic``).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
import struct

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2

ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC, ATTR_IDMAP = 1, 2, 4, 8, 0x100000
AT_FDCWD = -100
AT_EMPTY_PATH, AT_RECURSIVE = 0x1000, 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4

CLONE_NEWUSER = 0x10000000

PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP = 4, 23, 24
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 22, 38, 47
SECCOMP_MODE_FILTER = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAP_KILL = 1 << 5
KEYCTL_JOIN_SESSION_KEYRING = 1

_NEW = {  # the same number everywhere
    "open_tree": 428,
    "move_mount": 429,
    "mount_setattr": 442,
}
SYSCALLS = {
    "x86_64": {"pivot_root": 155, "keyctl": 250, "add_key": 248, "request_key": 249, **_NEW},
    "aarch64": {"pivot_root": 41, "keyctl": 219, "add_key": 217, "request_key": 218, **_NEW},
}
"""Numbers of the calls that are made here; `seccomp` has those that are denied."""
LANDLOCK = {"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446}
"""Numbers of calls that can only take rights away, so nobody denies them."""

MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def call(name: str, *arguments: int | bytes | None) -> int:
    """Make the system call `name`. Integers go as longs, bytes as pointers to themselves."""
    number = ctypes.c_long(LANDLOCK.get(name) or SYSCALLS[MACHINE][name])
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(int(_libc.syscall(number, *values)), name)


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount `source` on `target`, as mount in section 2 of the manual."""
    kind_, options_ = (None if text is None else os.fsencode(text) for text in (kind, options))
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind_, ctypes.c_ulong(flags), options_)
    _checked(result, f"mount {target}")


def unmount(target: str, flags: int = 0) -> None:
    """Take a mount away."""
    _checked(_libc.umount2(os.fsencode(target), flags), f"unmount {target}")


def set_mount(target: str, attributes: int, *, flags: int = 0) -> None:
    """Add attributes to the mount at `target`, and with ``AT_RECURSIVE`` to all below it.

    Only ever adds, so flags that a user namespace may not clear stay as they are.
    """
    try:
        _set_attributes(AT_FDCWD, os.fsencode(target), flags, attributes, 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"protect {target}") from error


def clone_tree(source: str) -> int:
    """A descriptor of a detached copy of the mounts at and below `source`, as a bind would show them."""
    flags = OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC
    try:
        return call("open_tree", AT_FDCWD, os.fsencode(source), flags)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"bind {source.removeprefix('/old')}") from error


def set_tree(tree: int, attributes: int, namespace: int = 0) -> None:
    """Add attributes to all mounts of a detached tree; ``ATTR_IDMAP`` maps owners as `namespace` does."""
    _set_attributes(tree, b"", AT_EMPTY_PATH | AT_RECURSIVE, attributes, namespace)


def attach_tree(tree: int, target: str) -> None:
    """Mount a detached tree on `target`."""
    try:
        call("move_mount", tree, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"mount {target}") from error


def _set_attributes(folder: int, path: bytes, flags: int, attributes: int, namespace: int) -> None:
    """mount_setattr(2), Linux 5.12."""
    attr = struct.pack("=QQQQ", attributes, 0, 0, namespace)
    call("mount_setattr", folder, path, flags, attr, len(attr))


def pivot_root(new: str, old: str) -> None:
    """Change the root."""
    call("pivot_root", os.fsencode(new), os.fsencode(old))


def unshare(flags: int) -> None:
    """Enter new namespaces. Python has this from 3.12 on."""
    _checked(_libc.unshare(flags), "unshare")


def map_ids(process: int, inside: tuple[int, int], outside: int) -> None:
    """Give a process's new user namespace one uid and one gid, which are both `outside` out here."""
    for name, own in zip(("uid_map", "gid_map"), inside, strict=True):
        with open(f"/proc/{process}/{name}", "w", encoding="utf-8") as file:
            file.write(f"{own} {outside} 1")


def prctl(option: int, *arguments: int) -> int:
    """Change a trait of this process."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(_libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)), f"prctl {option}")


def bound_capabilities() -> None:
    """Empty the bounding set, as far as this process may: no program can give back what is not in it."""
    for capability in range(64):
        try:
            if prctl(PR_CAPBSET_READ, capability):
                prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            return  # past the last one, or not ours to drop: no_new_privs makes the bounding set idle


def drop_capabilities(keep: int = 0) -> None:
    """Give up every capability but those whose bits are in `keep`."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    sets = ctypes.create_string_buffer(struct.pack("=6I", keep, keep, 0, 0, 0, 0), 24)
    _checked(_libc.capset(header, sets), "capset")


def join_new_keyring() -> None:
    """Leave the session keyring of the user who started us for a new, empty, nameless one."""
    call("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None)


def load_filter(program: bytes) -> None:
    """Load a seccomp filter (classic BPF, 8 bytes an instruction) into this process for good."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    pointer = ctypes.create_string_buffer(header, len(header))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(pointer))


def raise_loopback() -> None:
    """Switch on the loopback interface of this network namespace: what is inside may talk to itself."""
    up_and_running = 0x1 | 0x40
    request = struct.pack("16sH22x", b"lo", up_and_running)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS
