"""This machine as an engine: each step is a child process that holds one role's key at most.

The conductor, which calls this, holds no key. It hands a step its one passphrase through a pipe
whose reading end only that child inherits; the child reads it, closes it, and only then starts
anything of its own.

A child is in a process group of its own, so that Ctrl-C reaches the conductor alone, which passes it
on, once, as SIGTERM, and waits: a training is asked to stop and has its time to do so. Who presses
Ctrl-C again has the step killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from tuneguard import limits, records
from tuneguard.engines.step import LINES_FD, PASSPHRASE_FD, Outcome
from tuneguard.errors import CannotLook, Interrupted, NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneguard.engines.step import Heard, Step

GRACE = 15.0
"""Seconds between asking a step that is over its deadline to stop and killing it."""


class LocalEngine:
    """Runs steps as children of this process, one after the other.

    `keep` are descriptors that each child inherits and does not know of: what they hold stays held
    while either lives.
    """

    def __init__(
        self, passphrases: Mapping[str, bytes], *, quiet: bool = False, keep: Sequence[int] = ()
    ) -> None:
        self._passphrases = passphrases
        self._quiet = quiet
        self._keep = tuple(keep)

    def environment(self) -> dict[str, str]:
        """What every step inherits: no passphrase, also where the person gave one in a variable."""
        secrets = {os.fsdecode(passphrase) for passphrase in self._passphrases.values()}
        return {
            key: value
            for key, value in os.environ.items()
            if key not in (PASSPHRASE_FD, LINES_FD) and value not in secrets
        }

    def run(self, step: Step, argv: Sequence[str], heard: Heard) -> Outcome:
        """Start the step, pass on its lines, wait for its end, and read the one object it prints."""
        # -P: the project's folder is no place to import from, and whoever writes there is no judge.
        command = [sys.executable, "-P", "-m", "tuneguard", *argv, "--format", "json"]
        if self._quiet:
            command.append("--quiet")
        environment = self.environment()
        listening, speaking = os.pipe()
        inherited = [speaking]
        environment[LINES_FD] = str(speaking)
        passphrase = self._passphrases.get(step.role or "")
        if passphrase is not None:
            inherited.append(_pipe_holding(passphrase))
            environment[PASSPHRASE_FD] = str(inherited[-1])
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                env=environment,
                pass_fds=(*inherited, *self._keep),
                process_group=0,
            )
        except OSError as error:
            os.close(listening)
            raise CannotLook(f"the step {step.id} could not be started: {error.strerror}") from error
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        listener = threading.Thread(target=_listen, args=(listening, heard), daemon=True)
        listener.start()
        printed = _wait(child, step)
        listener.join(GRACE)
        return Outcome(child.returncode, _result(step, child.returncode, printed))


def _pipe_holding(secret: bytes) -> int:
    """The reading end of a pipe that holds `secret` and whose writing end is closed.

    A passphrase is shorter than a pipe's buffer (`limits.PASSPHRASE_BYTES`), so this never blocks.
    """
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(secret)
    return reading


def _listen(descriptor: int, heard: Heard) -> None:
    """Hand on each line as it comes; what is not one of ours is dropped."""
    with os.fdopen(descriptor, "rb") as pipe:
        while row := pipe.readline(limits.STEP_LINE_BYTES):
            with contextlib.suppress(NotUnderstood):
                line = records.read_json(row, "a step's line")
                if isinstance(line, list) and len(line) > 1 and all(isinstance(part, str) for part in line):
                    heard(line)


def _wait(child: subprocess.Popen[bytes], step: Step) -> bytes:
    try:
        printed, _ = child.communicate(timeout=step.deadline)
    except subprocess.TimeoutExpired:
        _stop(child, GRACE)
        raise CannotLook(
            f"the step {step.id} did not end within {step.deadline:.0f} s and was stopped"
        ) from None
    except KeyboardInterrupt:
        raise _interrupted(_stop(child, None)) from None
    except BaseException:
        _stop(child, GRACE)
        raise
    return printed


def _stop(child: subprocess.Popen[bytes], patience: float | None) -> bytes:
    """Ask, wait, kill: after `patience` seconds, or when the person asks again. Leaves no child behind.

    Returns what the child printed.
    """
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    try:
        return child.communicate(timeout=patience)[0]
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        return child.communicate()[0]


def _interrupted(printed: bytes) -> Interrupted:
    """The interrupted step's own words, where it had time for some."""
    with contextlib.suppress(NotUnderstood):
        match records.read_json(printed, "what an interrupted step printed"):
            case {"error": {"problems": [{"what": str(what), "help": str(help)}, *_]}}:
                return Interrupted(what, help=help)
    return Interrupted("interrupted", help="nothing half-written is left; run it again")


def _result(step: Step, code: int, printed: bytes) -> Mapping[str, Any]:
    if code == Interrupted.exit_code:
        raise _interrupted(printed)
    if code < 0:
        raise CannotLook(
            f"the step {step.id} was killed by {signal.Signals(-code).name}", help="run it again"
        )
    try:
        result = records.read_json(printed, f"the output of the step {step.id}")
    except NotUnderstood as error:
        raise CannotLook(f"the step {step.id} ended with {code} and no result") from error
    if not isinstance(result, dict):
        raise CannotLook(f"the step {step.id} ended with {code} and no result")
    return result
