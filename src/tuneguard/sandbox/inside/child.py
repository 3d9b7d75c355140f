"""The process that becomes the command: gives up what it has left, tries the controls, and executes.

What is tried here is tried by the very process that runs the command, in the state in which it will
run it: nothing is given up or taken after the trials but our own descriptor to the supervisor,
which closes itself on execution.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from tuneguard.sandbox.inside import kernel, probes, seccomp

if TYPE_CHECKING:
    from tuneguard.sandbox.inside.line import Line, Plan


class Handshake(NamedTuple):
    """Two pipes to the init: we report that we have ``entered``, it reports that its part is ``done``.

    Where the uid is dropped, first a user namespace, for which it writes the map; then always our uid,
    after which it seals /proc.
    """

    entered: int
    done: int

    def wait(self) -> None:
        """Report that we have entered, and wait for the init. Where it has ended, this process ends too.

        It reports nothing then: the supervisor sees the init's end, and knows whether it stopped it.
        """
        with contextlib.suppress(BrokenPipeError):
            os.write(self.entered, b"1")
        if os.read(self.done, 1) != b"1":
            os._exit(127)


def become(plan: Plan, line: Line, output: int, handshake: Handshake, *, dropped: bool) -> NoReturn:
    """Become the command, or report why not and end. Never returns, never raises."""
    try:
        _confine(plan, output, handshake, dropped=dropped)
        keep = {line.fileno()}
        _close_all_but(keep)
        unfiltered = _filter()
        line.emit(controls=probes.try_all(plan | {"dropped": dropped}, keep, unfiltered))
        _execute(plan, line)
    except probes.Broken as broken:
        line.emit(broken=[broken.control, broken.how])
    except OSError as error:
        line.emit(failed={"step": str(error.filename or "set-up"), "why": error.strerror})
    except BaseException as error:  # noqa: BLE001 (whatever it is, the command must not start)
        line.emit(failed={"step": "set-up", "why": repr(error)})
    finally:
        os._exit(127)


def _confine(plan: Plan, output: int, handshake: Handshake, *, dropped: bool) -> None:
    """Leave the session, take the uid, let the init seal /proc, drop capabilities, set limits."""
    os.setsid()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the process that started us may have blocked some
    kernel.bound_capabilities()
    if dropped:
        _drop_to(plan["uid"], handshake)
    elif plan["nest"]:
        _map_to(plan["uid"])
    handshake.wait()
    kernel.drop_capabilities()
    try:
        kernel.join_new_keyring()
    except OSError as error:
        if error.errno != errno.ENOSYS:  # a kernel without keyrings has none to leave
            raise
    for name, value in plan["rlimits"]:
        _limit(name, value)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.umask(0o077)
    os.chdir(plan["workdir"])


def _drop_to(uid: int, handshake: Handshake) -> None:
    """Become a user of this machine that owns nothing and is in no group, as an ordinary user inside.

    The user namespace is root's, who makes it: so not even a process with the same uid outside may look
    into this one or its ``/proc/PID/root``, for which it would have to own the namespace.
    """
    os.setgroups([])
    kernel.unshare(kernel.CLONE_NEWUSER)
    handshake.wait()
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _map_to(uid: int) -> None:
    """Enter a user namespace of our own, as an ordinary user of it.

    The mounts belong to the namespace that we leave: even with every capability of the new one they
    could not be changed.
    """
    before = (os.geteuid(), os.getegid())
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {before[0]} 1"),
        ("gid_map", f"{uid} {before[1]} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _limit(name: str, value: int) -> None:
    """Set a limit, soft and hard, or leave a lower one that is there."""
    which = getattr(resource, name)
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _close_all_but(keep: set[int]) -> None:
    """Close every descriptor above standard error but those in `keep`."""
    low = 3
    for descriptor in sorted(keep):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, max(low, resource.getrlimit(resource.RLIMIT_NOFILE)[1], os.sysconf("SC_OPEN_MAX")))


def _filter() -> str | None:
    """Load the system call filter; the kernel's reason where it cannot be had."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    try:
        kernel.load_filter(seccomp.program(kernel.MACHINE))
    except OSError as error:
        return str(error.strerror)
    return None


def _execute(plan: Plan, line: Line) -> None:
    """Execute the command, found on the PATH of its environment. Returns only by failing."""
    command: list[str] = plan["command"]
    environment: dict[str, str] = plan["environment"]
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 (a shell is what we do not want)
    except OSError as error:
        line.emit(unstarted={"command": command[0], "why": error.strerror})
