"""Tries each isolation control from inside, by doing what an attacker would do first.

Each trial either returns what was tried, in words for the evidence, or raises `Broken`: the isolation control
does not hold, and the command must not start. An isolation control that holds but lacks a part is
``weakened``.

No packet leaves: an address is tried only after the network namespace has been seen to be another
than the supervisor's and to hold the loopback interface alone; the addresses are reserved for
documentation (RFC 5737, RFC 3849).
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
from functools import partial
from typing import TYPE_CHECKING

from tuneguard.sandbox.inside import kernel
from tuneguard.sandbox.state import ControlState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneguard.sandbox.inside.line import Plan

NOWHERE = (
    (socket.AF_INET, ("192.0.2.1", 443)),
    (socket.AF_INET6, ("2001:db8::1", 443)),
)
AF_VSOCK = 40
GPU = os.makedev(195, 0)
"""The first GPU of NVIDIA's driver."""


class Broken(Exception):
    """An isolation control does not hold: its name, and what was possible."""

    def __init__(self, control: str, how: str) -> None:
        super().__init__(control, how)
        self.control = control
        self.how = how


def try_all(plan: Plan, keep: set[int], unfiltered: str | None) -> dict[str, list[str]]:
    """Isolation control → state and how, of those that are tried from inside.

    `unfiltered` is the reason why there is no system call filter, or None. `keep` are the descriptors
    that close themselves on execution.
    """
    tried = {
        "network": _network(plan, unfiltered),
        "filesystem": _filesystem(plan, keep, unfiltered),
        "pid": _pid(plan),
    }
    state = ControlState.PROVEN if unfiltered is None else ControlState.WEAKENED
    lacking = "" if unfiltered is None else f"; no system call filter: {unfiltered}"
    return {
        "network": [state, tried["network"] + lacking],
        "filesystem": [state, tried["filesystem"] + lacking],
        "pid": [ControlState.PROVEN, tried["pid"]],
        "devices": [ControlState.PROVEN, _devices(plan)],
    }


# --- network --------------------------------------------------------------------------------------


def _network(plan: Plan, unfiltered: str | None) -> str:
    outside = plan["outside"]
    if _namespace("net") == outside["net"]:
        raise Broken("network", "the network namespace is the supervisor's own")
    interfaces = [name for _, name in socket.if_nameindex()]
    if interfaces != ["lo"]:
        raise Broken("network", f"there are interfaces beside loopback: {', '.join(interfaces)}")
    for family, address in NOWHERE:
        _unreachable(family, address, {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
    _unreachable(socket.AF_INET, ("127.0.0.1", outside["port"]), {errno.ECONNREFUSED})
    _unreachable(socket.AF_UNIX, "\0" + outside["abstract"], {errno.ECONNREFUSED})
    if unfiltered is None:
        _denied("network", "open a vsock socket", errno.EAFNOSUPPORT, _open_vsock)
    return (
        "own namespace with loopback alone; no route to 192.0.2.1 or 2001:db8::1; the supervisor's "
        "listeners on 127.0.0.1 and on an abstract socket cannot be reached"
        + ("; vsock sockets cannot be opened" if unfiltered is None else "")
    )


def _unreachable(family: int, address: tuple[str, int] | str, expected: set[int]) -> None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.settimeout(1)
            trial.connect(address)
    except OSError as error:
        if error.errno in expected:
            return
        raise Broken("network", f"connecting to {address!r} gave {error!r}") from error
    raise Broken("network", f"{address!r} can be reached")


def _open_vsock() -> None:
    socket.socket(AF_VSOCK, socket.SOCK_STREAM).close()


# --- file system ----------------------------------------------------------------------------------


def _filesystem(plan: Plan, keep: set[int], unfiltered: str | None) -> str:
    found, listed = sorted(os.listdir("/")), sorted(plan["top"])
    if found != listed:
        raise Broken("filesystem", f"the root holds {found}, and should hold {listed}")
    if os.path.lexists(plan["outside"]["canary"]):
        raise Broken("filesystem", "a file of the supervisor's can be seen")
    for target in ("/", "/proc", *plan["readonly"]):
        _read_only(target)
    _unchangeable("/proc/sys/kernel/core_pattern")
    for target in plan["writable"]:
        if not os.access(target, os.W_OK | os.X_OK if os.path.isdir(target) else os.W_OK):
            raise OSError(errno.EACCES, "cannot be written", target)
    _descriptors(keep)
    _no_privileges(unfiltered)
    if unfiltered is None:
        _no_keyrings()
        _denied("filesystem", "make a user namespace", errno.EPERM, _make_namespace)
    tried = [
        f"root of {len(found)} listed entries, the supervisor's canary not among them",
        f"{len(plan['readonly'])} read-only binds refused a write",
        f"{_who(plan)}, no capabilities, no inherited descriptors",
        "own session keyring",
    ]
    return "; ".join(tried) + (", keyctl denied" if unfiltered is None else "")


def _who(plan: Plan) -> str:
    if plan["dropped"]:
        return f"uid {plan['drop']} outside, which owns nothing on this machine"
    return f"uid {os.getuid()}, which is the supervisor's user outside"


def _read_only(target: str) -> None:
    """Both ways of changing it fail for the mount's sake, not for want of permission."""
    before = os.stat(target)
    _denied(
        "filesystem",
        f"touch {target}",
        errno.EROFS,
        lambda: os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns)),
    )
    if target not in ("/proc", "/") and os.path.isdir(target):
        new = f"{target}/.{secrets.token_hex(8)}"
        _denied("filesystem", f"write below {target}", errno.EROFS, lambda: os.mkdir(new))


def _unchangeable(path: str) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.ENOENT):
            return
        raise
    raise Broken("filesystem", f"{path} can be written")


def _descriptors(keep: set[int]) -> None:
    """Nothing is open but the three standard streams, and what closes itself on execution."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor <= 2 or descriptor in keep:
            continue
        try:
            os.fstat(descriptor)
        except OSError:
            continue  # the listing's own
        raise Broken("filesystem", f"descriptor {descriptor} is open")
    if any(os.get_inheritable(descriptor) for descriptor in keep):
        raise Broken("filesystem", "the supervisor's socket would be inherited")


def _no_privileges(unfiltered: str | None) -> None:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
    if os.getuid() == 0 or os.geteuid() == 0:
        raise Broken("filesystem", "the command would run as uid 0")
    for field in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        if int(status[field], 16):
            raise Broken("filesystem", f"capabilities are left: {field} {status[field].strip()}")
    if status["NoNewPrivs"].strip() != "1":
        raise Broken("filesystem", "no_new_privs is not set")
    if unfiltered is None and status["Seccomp"].strip() != "2":
        raise Broken("filesystem", "the system call filter is not loaded")


def _no_keyrings() -> None:
    session = -3
    calls: tuple[tuple[str, tuple[int | bytes | None, ...]], ...] = (
        ("keyctl", (0, session, 0)),
        ("add_key", (b"user", b"tuneguard", b"", 0, session)),
        ("request_key", (b"user", b"tuneguard", None, session)),
    )
    for name, arguments in calls:
        _denied("filesystem", f"call {name}", errno.EPERM, partial(kernel.call, name, *arguments))


def _make_namespace() -> None:
    kernel.unshare(kernel.CLONE_NEWUSER)


# --- processes ------------------------------------------------------------------------------------


def _pid(plan: Plan) -> str:
    outside = plan["outside"]
    if _namespace("pid") == outside["pid"]:
        raise Broken("pid", "the pid namespace is the supervisor's own")
    seen = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    expected = [1, os.getpid()]
    if seen != expected:
        raise Broken("pid", f"/proc shows {len(seen)} processes, and should show {len(expected)}")
    supervisor = outside["supervisor"]
    if supervisor not in expected:
        _denied("pid", "signal the supervisor", errno.ESRCH, lambda: os.kill(supervisor, 0))
    return "own namespace: /proc shows its init and the command alone; the supervisor cannot be signalled"


# --- devices --------------------------------------------------------------------------------------

HARMLESS = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")}


def _devices(plan: Plan) -> str:
    """The device files are exactly those that the plan lists, each can be opened, and none can be made."""
    found = sorted(_device_files("/dev"))
    if found != plan["devices"]:
        raise Broken("devices", f"/dev holds {found}, and should hold {plan['devices']}")
    shown = [path for path in found if path not in HARMLESS]
    for path in shown:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))
    new = f"/dev/shm/.{secrets.token_hex(8)}"  # noqa: S108 (the sandbox's own)
    _denied("devices", "make a device file", errno.EPERM, lambda: os.mknod(new, stat.S_IFCHR, GPU))
    if not shown:
        return "no device but null, zero, full, random and urandom; none can be made"
    return (
        f"besides null, zero, full, random and urandom only {', '.join(shown)}, each opened; none can be made"
    )


def _device_files(folder: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _device_files(entry.path)
        elif stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
            yield entry.path


# --- shared ---------------------------------------------------------------------------------------


def _namespace(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


def _denied(control: str, what: str, expected: int, attempt: Callable[[], object]) -> None:
    """`attempt` must fail with `expected`; anything else means that the control is not what it should be."""
    try:
        attempt()
    except OSError as error:
        if error.errno == expected:
            return
        raise Broken(control, f"could not {what}, but for the wrong reason: {error.strerror}") from error
    raise Broken(control, f"could {what}")
