"""This machine as an engine: each step is a child process that holds one role's key at most.

The orchestrator, which calls this, holds no key. It hands a step its one passphrase through a pipe whose
reading end only that child inherits; the child reads it, closes it, and only then starts anything of its own.
A step writes its facts and its result to its own folder in the session's state, which nobody else enters.
They are read from the very folder that was made for it: another one in its place is not looked at. A step
that cannot write there, as on a full disk, writes the reason to its standard output, which is kept in memory.

A step that needs no network gives it up before it reads anything, and with it the right to write anywhere but
in its own folder and in what it mounts to write (`tuneguard.sandbox.confine`). One that mounts nothing to
write, such as ``scan``, changes no file's mode, owner or times either. A step that builds a
sandbox of its own keeps both, since building one takes them, and so does one that signs with a key elsewhere.

A child is in a process group of its own, so that Ctrl-C reaches the orchestrator alone, which passes it on,
once, as SIGTERM, and waits: a training is asked to stop and has its time to do so. Who presses Ctrl-C again
has the step killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from tuneguard import files, limits, records
from tuneguard.display import shown
from tuneguard.engines.engine import (
    FACTS_BYTES,
    SKIPPED,
    EngineType,
    Outcome,
    PlanOutcome,
    filled,
    interrupted,
    is_due,
    state_of,
)
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.files import fault_counter
from tuneguard.plan.handover import CONFINED, LINES_FD, PASSPHRASE_FD, confined
from tuneguard.plan.step import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuneguard.engines.engine import Session
    from tuneguard.plan.step import Plan, Step
    from tuneguard.progress import Reporter

GRACE = 15.0
"""Seconds between asking a step that is over its timeout to stop and killing it."""
RESULT, FACTS = "result.json", "facts.json"


class LocalEngine:
    """Runs the steps of a plan as children of this process, one after the other."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, plan: Plan, reporter: Reporter) -> PlanOutcome:
        """Run every step whose time comes, in the plan's order. Raises as `Engine.run` does."""
        outcomes: dict[str, Outcome] = {}
        for step in plan.steps:
            outcomes[step.name] = self._step(step, outcomes, reporter) if is_due(step, outcomes) else SKIPPED
        return PlanOutcome(outcomes)

    def _step(self, step: Step, outcomes: Mapping[str, Outcome], reporter: Reporter) -> Outcome:
        """Run the step and read what it wrote."""
        if step.image is not None:
            raise UsageError(f"the step {step.name} needs an image, and the local engine runs none")
        folder = self._session.state / step.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        with files.directory(folder) as own:
            _check_new(own, folder)
            said = bytearray()
            code = self._run(step, outcomes, folder, own, said, reporter)
            return _outcome(step, code, own, bytes(said))

    def _run(
        self,
        step: Step,
        outcomes: Mapping[str, Outcome],
        folder: Path,
        own: int,
        said: bytearray,
        reporter: Reporter,
    ) -> int:
        """Start the step, pass on its lines, and wait for its end; its exit code."""
        environment = self.environment()
        listening, speaking = os.pipe()
        output, stdout = os.pipe()
        inherited = [speaking, stdout]
        environment[LINES_FD] = str(speaking)
        passphrase = self._session.passphrases.get(step.role or "")
        if passphrase is not None:
            inherited.append(_pipe_holding(passphrase))
            environment[PASSPHRASE_FD] = str(inherited[-1])
        if not step.sandbox and Service.SIGNING not in step.network:
            environment[CONFINED] = confined(
                network=bool(step.network),
                writable=self._writable(step, folder),
                attributes=any(not mount.read_only for mount in step.mounts),
            )
        try:
            child = subprocess.Popen(
                self._command(step, outcomes, folder),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                env=environment,
                pass_fds=(*(each for each in inherited if each != stdout), *self._session.keep),
                process_group=0,
            )
        except OSError as error:
            os.close(listening)
            os.close(output)
            raise CannotLook(f"the step {step.name} could not be started: {error.strerror}") from error
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        listeners = (
            threading.Thread(target=_listen, args=(listening, reporter), daemon=True),
            threading.Thread(target=_collect, args=(output, said), daemon=True),
        )
        try:
            for listener in listeners:
                listener.start()
            _wait(child, step)
        except KeyboardInterrupt:
            _stop(child, None)
            raise interrupted(_read(own, RESULT, limits.RECORD_BYTES) or {}) from None
        for listener in listeners:
            listener.join(GRACE)
        return child.returncode

    def environment(self) -> dict[str, str]:
        """What every step inherits: no passphrase, also where the person gave one in a variable."""
        secrets = {os.fsdecode(passphrase) for passphrase in self._session.passphrases.values()}
        ours = (PASSPHRASE_FD, LINES_FD, CONFINED)
        return {key: value for key, value in os.environ.items() if key not in ours and value not in secrets}

    def _command(self, step: Step, outcomes: Mapping[str, Outcome], folder: Path) -> list[str]:
        key = self._session.keys.get(step.role or "")
        # -P: the project's folder is no place to import from, and those who write there are no judges.
        program = [sys.executable, "-P", "-m", "tuneguard", step.command]
        own = ["--format", "json", "--output", str(folder / RESULT), "--facts-file", str(folder / FACTS)]
        keys = [] if key is None else ["--key", f"{step.role}={key}"]
        return [*program, *filled(step, outcomes, self._session), *keys, *own]

    def _writable(self, step: Step, folder: Path) -> list[Path]:
        mounts = [mount for mount in step.mounts if not mount.read_only]
        mounted = (self._session.volumes[mount.volume] / mount.subpath for mount in mounts)
        return [folder, *mounted, *fault_counter()]


ENGINE = EngineType("local", "https://tuneguard.dev/builders/local/v1", "SLSA_BUILD_LEVEL_1", LocalEngine)


def _check_new(own: int, folder: Path) -> None:
    """The open folder is the one that was made just now, into which nobody else can write.

    Raises:
        Refused: somebody put another one in its place.
    """
    status = os.fstat(own)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077 or os.listdir(own):
        raise Refused(
            "is another folder than the one that was made for the step",
            where=shown(folder),
            help="find out who can write to the project's folder, and run it again",
        )


def _pipe_holding(secret: bytes) -> int:
    """The reading end of a pipe that holds `secret` and whose writing end is closed.

    A passphrase is shorter than a pipe's buffer (`limits.PASSPHRASE_BYTES`), so this never blocks.
    """
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(secret)
    return reading


def _listen(descriptor: int, reporter: Reporter) -> None:
    """Hand on each line as it comes, and a status, which is one text; what is not one of ours is dropped."""
    with os.fdopen(descriptor, "rb") as pipe:
        while row := pipe.readline(limits.STEP_LINE_BYTES):
            with contextlib.suppress(NotUnderstood):
                line = records.read_json(row, "a step's line")
                if isinstance(line, list) and line and all(isinstance(part, str) for part in line):
                    reporter.emit(*line) if len(line) > 1 else reporter.status(*line)


def _collect(descriptor: int, said: bytearray) -> None:
    """Keep the beginning of what the step prints: an error, where it could write no result."""
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while block := pipe.read(64 << 10):
            said += block[: limits.RECORD_BYTES - len(said)]


def _wait(child: subprocess.Popen[bytes], step: Step) -> None:
    try:
        child.wait(timeout=step.timeout)
    except subprocess.TimeoutExpired:
        _stop(child, GRACE)
        raise CannotLook(
            f"the step {step.name} did not end within {step.timeout:,.0f} s and was stopped"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException:
        _stop(child, GRACE)
        raise


def _stop(child: subprocess.Popen[bytes], patience: float | None) -> None:
    """Ask, wait, kill: after `patience` seconds, or when the person asks again. Leaves no child behind."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(timeout=patience)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()


def _outcome(step: Step, code: int, own: int, said: bytes) -> Outcome:
    """What the step wrote to its folder `own`; where it could not write a result, the error that it `said`.

    Its facts count only where it ended by itself.

    Raises:
        CannotLook: it was killed, or it wrote no result or other facts than the plan states.
        Interrupted: the person stopped it.
    """
    if code < 0:
        raise CannotLook(f"the step {step.name} was killed by {_signal(-code)}", help="run it again")
    result = _read(own, RESULT, limits.RECORD_BYTES)
    if result is None and code != 0:
        result = _object(said, "standard output")
    state = state_of(code, result or {})
    if result is None:
        raise CannotLook(f"the step {step.name} ended with {code} and no result")
    facts = _read(own, FACTS, FACTS_BYTES) or {}
    if facts.keys() - set(step.facts):
        raise CannotLook(f"the step {step.name} wrote facts that the plan does not name")
    for name, value in facts.items():
        if not _is_fact(value):
            raise CannotLook(f"the step {step.name} wrote a fact {name} that cannot be an argument")
    return Outcome(state, code, facts, result)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal, of which only two have names
        return f"signal {number}"


def _is_fact(value: object) -> bool:
    """Whether it can be an argument of a step: no NUL, no half of a character."""
    return isinstance(value, int) or (isinstance(value, str) and value.isprintable())


def _read(folder: int, name: str, most: int) -> Mapping[str, Any] | None:
    """A JSON object that a step wrote to its folder; None where there is none."""
    try:
        return _object(files.read_bounded(name, most, dir_fd=folder), name)
    except (UsageError, Refused):
        return None


def _object(data: bytes, name: str) -> Mapping[str, Any] | None:
    try:
        found = records.read_json(data, name)
    except NotUnderstood:
        return None
    return found if isinstance(found, dict) else None
