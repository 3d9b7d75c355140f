"""No sandbox at all, for ``--unsafe-no-sandbox``: the command can do whatever its user can.

There for machines on which no isolation control can be built and somebody accepts that. Every isolation
control is recorded as absent, so that a policy with its default of isolation controls refuses what was made
this way.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import tempfile
import time

from tuneguard.errors import UsageError
from tuneguard.files import printable
from tuneguard.limits import OUTPUT_BLOCK
from tuneguard.sandbox.controls import CONTROLS, DEADLINE, Confinement, Control, Outcome
from tuneguard.sandbox.interrupts import Interrupts
from tuneguard.sandbox.layout import SCRATCH
from tuneguard.sandbox.lines import Lines
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.supervise import hand_on, widen

WHY_NOT = "run with --unsafe-no-sandbox"


class UnsafeNoSandbox:
    """Runs the command as it is. This is insecure: only the deadline is kept, and that weakly."""

    name = "unsafe-no-sandbox"

    def run(self, confinement: Confinement) -> Outcome:
        """See `controls.Backend`; of its duties this has the last one alone, for the process group."""
        with Interrupts() as interrupts, tempfile.TemporaryDirectory(prefix="tuneguard-unsafe-") as scratch:
            return _run(confinement, interrupts, scratch)


def _run(confinement: Confinement, interrupts: Interrupts, scratch: str) -> Outcome:
    began = time.monotonic()
    environment = {
        name: _outside(value, confinement, scratch) for name, value in confinement.environment.items()
    }
    environment["HOME"] = scratch
    if confinement.gpus is not None:
        environment.update(confinement.gpus.edits.environment)
    if confinement.packages:
        environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in confinement.packages)
    command = [_outside(argument, confinement, scratch) for argument in confinement.command]
    folder = _outside(confinement.workdir, confinement, scratch)
    try:
        process = subprocess.Popen(
            command,
            cwd=folder if os.path.isdir(folder) else scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise UsageError(
            f"cannot run {printable(command[0])}: {(error.strerror or str(error)).lower()}"
        ) from error
    try:
        stopped = _follow(process, confinement, interrupts, began)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        assert process.stdout is not None
        process.stdout.close()
    code, number = (status, None) if status >= 0 else (None, -status)
    return Outcome(code, number, stopped, _controls(confinement), time.monotonic() - began)


def _outside(text: str, confinement: Confinement, scratch: str) -> str:
    """What a path inside is called outside: a bind's source for its target."""
    sources = {bind.target: os.path.realpath(bind.source) for bind in confinement.binds} | {SCRATCH: scratch}
    targets = "|".join(re.escape(target) for target in sorted(sources, key=len, reverse=True))
    return re.sub(rf"(?<![^=:,\s])({targets})(?=/|$|[:,\s])", lambda found: sources[found[1]], text)


def _follow(
    process: subprocess.Popen[bytes], confinement: Confinement, interrupts: Interrupts, began: float
) -> str | None:
    """Stream until the command ends; stop it at the deadline or when interrupted."""
    assert process.stdout is not None
    lines, pipe, stopped = Lines(), process.stdout.fileno(), None
    widen(pipe)
    os.set_blocking(pipe, False)
    due = began + confinement.deadline
    pidfd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        for descriptor in (pipe, pidfd, interrupts.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            patience = max(0.0, min(due - time.monotonic(), 3600.0))
            ready = {descriptor for descriptor, _ in poll.poll(patience * 1000 + 1)}
            interrupted = interrupts.fileno() in ready and interrupts.take()
            if pipe in ready and not _stream(pipe, lines, confinement):
                poll.unregister(pipe)
            if pidfd in ready:
                _drain(pipe, lines, confinement)
                return stopped
            if stopped is not None and (interrupted or time.monotonic() >= due):
                os.killpg(process.pid, signal.SIGKILL)
                due = float("inf")
            elif stopped is None and (interrupted or time.monotonic() >= due):
                stopped = "interrupt" if interrupted else "deadline"
                process.terminate()
                due = time.monotonic() + confinement.grace
    finally:
        os.close(pidfd)


def _drain(pipe: int, lines: Lines, confinement: Confinement) -> None:
    """Hand on what is there; what a process that was left behind writes later is not waited for."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while _stream(pipe, lines, confinement) and poll.poll(0):
        pass


def _stream(pipe: int, lines: Lines, confinement: Confinement) -> bool:
    try:
        data = os.read(pipe, OUTPUT_BLOCK)
    except BlockingIOError:
        return True
    hand_on(data, confinement, lines)
    return bool(data)


def _controls(confinement: Confinement) -> tuple[Control, ...]:
    kept = Control(
        DEADLINE,
        ControlState.WEAKENED,
        f"{WHY_NOT}: {confinement.deadline:g} s, for the command's process group; what leaves that lives on",
    )
    absent = (Control(name, ControlState.ABSENT, WHY_NOT) for name in CONTROLS)
    return tuple(kept if control.name == DEADLINE else control for control in absent)
