"""Runs a command under controls, whichever program builds them: from the first fork to the last death.

A backend defines only how to start the inner stage inside new namespaces (`Launch`). The rest is here:

1. Make the canaries, which must not be reachable from inside: a file, a TCP listener, an abstract socket.
2. Start the launcher; the inner stage sends hello over a Unix socket, on which the kernel shows us
   its process id as we see it. Hold it by a pidfd, put it under the limits, send it the plan.
3. Stream output; wait for the end, the deadline, or an interrupt. To stop: SIGTERM to the command,
   the grace, then SIGKILL to the namespace's init, which takes every process with it.
4. Whatever happens, come back only after the pidfd shows that the init is dead: the kernel reports
   that when the namespace is empty (TRUST.md, rule 11).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.errors import CannotLook
from tuneguard.files import printable
from tuneguard.limits import LAUNCHER_OUTPUT, OUTPUT_BLOCK
from tuneguard.sandbox import layout
from tuneguard.sandbox.canaries import Canaries
from tuneguard.sandbox.cgroup import Limits
from tuneguard.sandbox.controls import OWN, Bind, Outcome
from tuneguard.sandbox.interrupts import Interrupts
from tuneguard.sandbox.launch import ENVIRONMENT, LaunchFailed, boot, package_folder, plan_of
from tuneguard.sandbox.lines import Lines
from tuneguard.sandbox.reports import Reports

if TYPE_CHECKING:
    from tuneguard.sandbox.controls import Confinement
    from tuneguard.sandbox.launch import Launcher

LONGEST_WAIT = 3600.0
"""Seconds of one wait: poll(2) counts milliseconds in 32 bits, and deadlines may be months."""


def supervise(name: str, confinement: Confinement, launcher: Launcher, *, own: bool = False) -> Outcome:
    """Run `confinement` in what `launcher` starts. `own` binds our package at `controls.OWN` inside.

    Raises:
        LaunchFailed: the launcher could not make the namespaces.
        UsageError: the command cannot be executed inside, or a bind is wrong.
        CannotLook: set-up failed, or an isolation control did not hold; the command was not started.
    """
    with Canaries() as canaries, Interrupts() as interrupts:
        extra = (Bind(Path(package_folder(), "tuneguard"), f"{OWN}/tuneguard"),) if own else ()
        places = layout.places(confinement, canaries.folder, extra)
        run = _Run(name, confinement, canaries, interrupts)
        try:
            run.start(launcher, places, OWN if own else package_folder())
            run.confine(places)
            run.follow()
        finally:
            run.end()
        return run.outcome()


class _Run:
    """One run of one command: the descriptors that belong to it, and what is known of it so far."""

    def __init__(
        self, name: str, confinement: Confinement, canaries: Canaries, interrupts: Interrupts
    ) -> None:
        self.name = name
        self.confinement = confinement
        self.canaries = canaries
        self.interrupts = interrupts
        self.began = time.monotonic()
        self.limits = Limits(confinement.memory, confinement.processes, processors=confinement.processors)
        self.control, self._inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.output, self._output_inside = os.pipe2(os.O_CLOEXEC)
        self.errors, self._errors_inside = os.pipe2(os.O_CLOEXEC)
        widen(self.output)
        os.set_blocking(self.output, False)
        os.set_blocking(self.errors, False)
        self.process: subprocess.Popen[bytes] | None = None
        self.init: int | None = None
        self.lines = Lines()
        self.reports = Reports()
        self.said = b""
        self.stopped: str | None = None
        self.kill_at: float | None = None
        self.note: str | None = None
        self.memory: int | None = None
        self.seconds = 0.0
        self.shared = self._shared()

    # --- starting ---------------------------------------------------------------------------------

    def start(self, launcher: Launcher, places: tuple[layout.Place, ...], package: str) -> None:
        """Start the launcher; take hold of the inner stage."""
        inside = (self._inside.fileno(), self._output_inside)
        try:
            self.launch = launcher(places, boot(package, *inside))
            self.process = subprocess.Popen(
                self.launch.argv,
                stdin=subprocess.DEVNULL,
                stdout=self._errors_inside,
                stderr=self._errors_inside,
                pass_fds=inside,
                start_new_session=True,
                env=ENVIRONMENT,
                cwd="/",
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise LaunchFailed(f"{self.name} cannot be started: {why}") from error
        finally:
            self._inside.close()
            os.close(self._output_inside)
            os.close(self._errors_inside)
        self.init_pid = self._hello()
        try:
            self.init = os.pidfd_open(self.init_pid)
            signal.pidfd_send_signal(self.init, 0)  # it waits for the plan, so this must reach it
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise CannotLook(f"the sandbox cannot be held from outside: {why}") from error

    def _hello(self) -> int:
        """Wait for the inner stage's first message; its process id, as the kernel sees it from here."""
        patience = max(1.0, min(self.confinement.deadline, LONGEST_WAIT))
        data, ancillary = b"", list[tuple[int, int, bytes]]()
        if _is_readable(self.control.fileno(), patience):
            data, ancillary, _, _ = self.control.recvmsg(4096, socket.CMSG_SPACE(12))
        if not data:
            self._reap_launcher()
            raise LaunchFailed(f"{self.name} failed: {self._last_words() or 'it printed nothing'}")
        self.reports.feed(data)
        process, _, _ = struct.unpack("iII", ancillary[0][2][:12])
        return int(process)

    def confine(self, places: tuple[layout.Place, ...]) -> None:
        """Put the inner stage under the limits and send it the plan."""
        rlimits = self.limits.apply(self.init_pid)
        if self.confinement.file_size is not None:
            rlimits.append(("RLIMIT_FSIZE", self.confinement.file_size))
        outside = self.canaries.outside()
        plan = plan_of(self.confinement, places, outside, rlimits, self.launch, self.init_pid)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died: `follow` sees that
            self.control.sendall(json.dumps(plan).encode() + b"\n")

    # --- running ----------------------------------------------------------------------------------

    def follow(self) -> None:
        """Stream and wait until the init is dead."""
        assert self.init is not None
        poll = select.poll()
        control = self.control.fileno()
        for descriptor in (self.init, control, self.output, self.errors, self.interrupts.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience())}
            if control in ready and not self._hear():
                poll.unregister(control)
            if self.output in ready and not self._stream():
                poll.unregister(self.output)
            if self.errors in ready and not self._listen():
                poll.unregister(self.errors)
            if self.init in ready:
                while self._hear():  # the kernel does not join what different processes wrote
                    pass
                return
            self._watch(interrupted=self.interrupts.fileno() in ready and self.interrupts.take())

    def _patience(self) -> float:
        """Milliseconds until something must be done though nothing happens."""
        due = self.kill_at if self.kill_at is not None else self.began + self.confinement.deadline
        return max(0.0, min(due - time.monotonic(), LONGEST_WAIT)) * 1000 + 1

    def _watch(self, *, interrupted: bool) -> None:
        """Begin to stop, or stop for good, when it is time."""
        now = time.monotonic()
        if self.stopped is None:
            if interrupted or now >= self.began + self.confinement.deadline:
                self.stopped = "interrupt" if interrupted else "deadline"
                self.kill_at = now + self.confinement.grace
                with contextlib.suppress(OSError):
                    self.control.sendall(b'{"stop": 1}\n')
        elif interrupted or (self.kill_at is not None and now >= self.kill_at):
            self._kill()

    def _hear(self) -> bool:
        """Take what the inner stage sends, of one process at a time. False when there is no more."""
        try:
            data = self.control.recv(1 << 16, socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionResetError):  # nothing more; or killed with words of ours unread
            return False
        self.reports.feed(data)
        if self.reports.controls:
            self.canaries.remove()  # so that a supervisor that is killed leaves nothing behind
        return bool(data)

    def _stream(self) -> bool:
        """Hand on lines. False when nobody can write any more."""
        data = _read(self.output)
        if data is None:
            return True
        hand_on(data, self.confinement, self.lines)
        return bool(data)

    def _listen(self) -> bool:
        """Keep the end of what launcher and inner stage complain about."""
        data = _read(self.errors)
        self.said = (self.said + (data or b""))[-LAUNCHER_OUTPUT:]
        return data is None or bool(data)

    # --- ending -----------------------------------------------------------------------------------

    def _kill(self) -> None:
        if self.init is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.init, signal.SIGKILL)

    def end(self) -> None:
        """Leave nothing behind: not a process, not a control group, not a descriptor."""
        self._kill()
        if self.init is not None:
            _is_readable(self.init, None)  # however long it takes: nobody may hash before
        self._reap_launcher()
        self.seconds = time.monotonic() - self.began
        self.note, self.memory = self.limits.exceeded(), self.limits.peak()
        self.shared = self.shared or self._shared()
        self.limits.remove()
        try:
            if self.reports.failure is None and sys.exc_info()[0] is None:
                while self._stream() and _is_readable(self.output, 0):
                    pass
        finally:
            self.control.close()
            for descriptor in (self.output, self.errors, self.init):
                if descriptor is not None:
                    os.close(descriptor)

    def _reap_launcher(self) -> None:
        if self.process is not None:
            if self.init is None:
                self.process.kill()
            self.process.wait()
        while self._listen() and _is_readable(self.errors, 0):
            pass

    def outcome(self) -> Outcome:
        """What became of it.

        Raises:
            UsageError, CannotLook: the command was never started.
        """
        how = f"{self.confinement.deadline:g} s, watched from outside; "
        how += (
            "the supervisor's signals reach the sandbox's init"
            if self.stopped is None
            else f"stopped after {self.seconds:.1f} s"
        )
        found = self.reports.outcome(
            self.limits.controls(unprivileged=self.reports.dropped or os.geteuid() != 0),
            how,
            stopped=self.stopped,
            seconds=self.seconds,
            note=self.note,
            last_words=self._last_words(),
            processors=self.limits.processors_how,
            shared=self.shared,
        )
        return dataclasses.replace(found, memory=self.memory)

    def _shared(self) -> str | None:
        """Why the GPUs are not the command's alone, looked at while no process of it lives."""
        return None if self.confinement.gpus is None else self.confinement.gpus.why_not_alone()

    def _last_words(self) -> str | None:
        said = self.said.decode("utf-8", "replace").strip().splitlines()
        return printable(said[-1]) if said else None


def _is_readable(descriptor: int, seconds: float | None) -> bool:
    """Wait until it can be read or has ended. Not select(2), which knows only descriptors below 1024."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _read(descriptor: int) -> bytes | None:
    """What can be read now; empty at the end, None if nothing is there yet."""
    try:
        return os.read(descriptor, OUTPUT_BLOCK)
    except BlockingIOError:
        return None


def widen(pipe: int) -> None:
    """Let a pipe hold a whole block, where this user may: fewer turns for a flood."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, OUTPUT_BLOCK)


def hand_on(data: bytes, confinement: Confinement, lines: Lines) -> None:
    """Give the caller what has come, as blocks and as lines; no data is the end."""
    if confinement.blocks is not None and data:
        confinement.blocks(data)
    if confinement.output is not None:
        for line in lines.feed(data) if data else lines.end():
            confinement.output(line)
