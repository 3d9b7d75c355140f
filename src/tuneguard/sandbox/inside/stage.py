"""The first process of the sandbox: finishes the controls, starts the command, outlives it by a breath.

The supervisor and it exchange messages over one Unix socket, a JSON object a line:

==================  ========================================================================
``hello``           from here: we are up. The kernel stamps it with our process id
the plan            from the supervisor: `supervise.plan_of`
``ready``           from here: the root stands; whether the uid was dropped, and why the command is not
                    apart from other processes of this machine, if it is not
``controls``        from the child, the moment before it becomes the command: what it tried
``failed``          from here or the child: which step failed; the command does not start
``stop``            from the supervisor: SIGTERM to the command, please
``exit``            from here: how the command ended; we end with it, and the kernel kills the rest
==================  ========================================================================

The end of the socket means that the supervisor is gone: so are we, and with us all processes of this
namespace, for we are its init. That is also why no signal from inside can end us.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys

from tuneguard.sandbox.inside import apart, child, kernel, root
from tuneguard.sandbox.inside.line import Line, Plan


def main() -> None:
    """Run as ``python -I -S -B -c BOOT FOLDER SOCKET OUTPUT``: see `supervise.boot`."""
    line, output = Line(int(sys.argv[2])), int(sys.argv[3])
    os.set_inheritable(output, False)
    os.umask(0o022)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the supervisor is gone
        line.emit(hello=1)
        plan = line.hear()
        if plan is not None:
            _run(plan, line, output)
    os._exit(0)  # nothing to tidy: the namespace goes with us


def _run(plan: Plan, line: Line, output: int) -> None:
    """Stand up the root, start the command, wait for its end."""
    try:
        dropped = False
        shared = None if plan["drop"] is None else apart.tried(plan["given"], plan["drop"])
        if plan["root"] is not None:
            dropped = root.build(plan["root"], plan["drop"])
            kernel.raise_loopback()
            socket.sethostname(plan["host"])
        if dropped:
            os.fchown(output, plan["drop"], plan["drop"])  # so that /dev/stdout can be opened
    except OSError as error:
        line.emit(failed={"step": str(error.filename or "set-up"), "why": error.strerror})
        return
    line.emit(ready={"dropped": dropped, "shared": shared if dropped else apart.SAME_USER})
    os.set_inheritable(line.fileno(), False)
    wake = _wake_on_children()
    command = _start(plan, line, output, dropped=dropped)
    os.close(output)
    line.emit(exit=_wait(command, line, wake))


def _wake_on_children() -> int:
    """A descriptor that can be read when a child has ended. Signals from inside do nothing else to us."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def _start(plan: Plan, line: Line, output: int, *, dropped: bool) -> int:
    """Fork the child that becomes the command; seal ``/proc`` when it has no more use for it."""
    entered_reader, entered_writer = os.pipe2(os.O_CLOEXEC)
    sealed_reader, sealed_writer = os.pipe2(os.O_CLOEXEC)
    process = os.fork()
    if process == 0:
        os.close(entered_reader)
        os.close(sealed_writer)
        child.become(plan, line, output, child.Handshake(entered_writer, sealed_reader), dropped=dropped)
    os.close(entered_writer)
    os.close(sealed_reader)
    entered = os.read(entered_reader, 1)
    if dropped and entered:
        kernel.map_ids(process, (plan["uid"], plan["uid"]), plan["drop"])
        os.write(sealed_writer, b"1")
        os.read(entered_reader, 1)
    if plan["root"] is not None:
        root.protect_proc()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # the command runs under our uid: hide our descriptors
    kernel.drop_capabilities(keep=kernel.CAP_KILL if dropped else 0)  # or its uid is ours
    os.write(sealed_writer, b"1")
    os.close(entered_reader)
    os.close(sealed_writer)
    return process


def _wait(command: int, line: Line, wake: int) -> list[int | None]:
    """Reap until the command ends: its exit code and signal. Pass on a request to stop."""
    while True:
        status = _reap(command)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            return [code, None] if code >= 0 else [None, -code]
        readable, _, _ = select.select([line.fileno(), wake], [], [])
        if wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
        if line.fileno() in readable:
            if line.hear() is None:
                os._exit(0)
            with contextlib.suppress(ProcessLookupError):
                os.kill(command, signal.SIGTERM)


def _reap(command: int) -> int | None:
    """Collect every ended child, adopted ones too: orphans come to us. The command's status, if it ended."""
    found = None
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if process == 0:
            return found
        if process == command:
            found = status
