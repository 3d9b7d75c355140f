"""What the inner stage reports, taken message by message, and the record that comes of it. No IO."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from typing import Any

from tuneguard.errors import CannotLook, TuneguardError, UsageError
from tuneguard.files import printable
from tuneguard.sandbox.controls import (
    CONTROLS,
    DEADLINE,
    DEVICES,
    FILESYSTEM,
    NETWORK,
    PID,
    Control,
    Outcome,
)
from tuneguard.sandbox.state import ControlState


@dataclass
class Reports:
    """The messages so far: see `inside.stage` for the messages."""

    dropped: bool = False
    shared: str | None = "nothing is known of who else could meet it"
    controls: dict[str, Control] = field(default_factory=dict)
    exit: tuple[int | None, int | None] | None = None
    failure: TuneguardError | None = None
    _held: bytes = b""

    def feed(self, data: bytes) -> None:
        """Take bytes as they come: one JSON object a line."""
        *messages, self._held = (self._held + data).split(b"\n")
        for message in messages:
            self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"hello": _}:
                pass
            case {"ready": {"dropped": bool(dropped), "shared": str() | None as shared}}:
                self.dropped, self.shared = dropped, shared
            case {"controls": controls}:
                tried = [Control(name, ControlState(state), how) for name, (state, how) in controls.items()]
                self.controls = {control.name: self._apart(control) for control in tried}
            case {"exit": [code, number]}:
                self.exit = (code, number)
            case {"broken": [control, how]}:
                self.failure = CannotLook(
                    f"the isolation control {control} does not hold, so nothing was run in the sandbox: "
                    f"{printable(how)}",
                    help="report this: it is a fault of ours or of this machine",
                )
            case {"failed": {"step": step, "why": why}}:
                self.failure = CannotLook(
                    f"the sandbox could not be set up: {printable(step)}: {printable(why).lower()}"
                )
            case {"unstarted": {"command": command, "why": why}}:
                self.failure = UsageError(
                    f"cannot run {printable(command)} in the sandbox: {printable(why).lower()}",
                    help="name a program of the system, of the interpreter, or of a bound folder",
                )
            case _:
                self.failure = CannotLook("the sandbox's first process sent an unknown message")

    def _apart(self, control: Control) -> Control:
        """A control as it holds against processes outside: one that meets the command opens two controls."""
        if control.name not in (NETWORK, FILESYSTEM):
            return control
        if self.shared is not None:
            return Control(control.name, ControlState.WEAKENED, f"{control.how}; {self.shared}")
        kept = "no other process has its uid, and no other user gets to what it was given"
        return Control(control.name, control.state, f"{control.how}; {kept}")

    def outcome(
        self,
        limited: dict[str, Control],
        deadline: str,
        *,
        stopped: str | None,
        seconds: float,
        note: str | None,
        last_words: str | None,
        processors: str | None = None,
        shared: str | None = None,
    ) -> Outcome:
        """The record of a run whose every process is dead.

        `limited` are the controls of memory and processes, `deadline` is how the deadline was tried,
        `shared` who else holds a GPU that was shown.

        Raises:
            UsageError, CannotLook: the command was never started.
        """
        if self.failure is not None:
            raise self.failure
        if not self.controls and stopped is None:
            why = last_words or note or "its first process was killed"
            raise CannotLook(f"the sandbox ended before the command began: {why}")
        code, number = self.exit or (None, int(signal.SIGKILL))
        controls = self.controls | limited | {DEADLINE: Control(DEADLINE, ControlState.PROVEN, deadline)}
        if PID in controls:
            how = f"{controls[PID].how}; at the end its init was dead, and every process with it"
            controls[PID] = Control(PID, controls[PID].state, how)
        if shared is not None and DEVICES in controls:
            how = f"{controls[DEVICES].how}; {shared}"
            controls[DEVICES] = Control(DEVICES, ControlState.WEAKENED, how)
        untried = "the command was stopped before this isolation control was tried"
        complete = tuple(
            controls.get(control) or Control(control, ControlState.ABSENT, untried) for control in CONTROLS
        )
        return Outcome(code, number, stopped, complete, seconds, note, processors=processors)
