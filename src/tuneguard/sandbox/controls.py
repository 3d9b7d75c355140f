"""What a sandbox is asked for, which isolation controls it has, and what became of the command.

A `Confinement` is what runs and what it may see; a `Backend` builds the isolation controls, runs the
command and comes back only when every process of it is dead; the `Outcome` is how the command ended and how
each isolation control was tried in this very run. A policy then decides whether those isolation controls are
enough: nothing here decides.

Isolation controls, always these seven (TRUST.md, rule 12):

=========== ========================================================================================
network     no way out: no route, no host socket, abstract ones and vsock included
filesystem  a root built from nothing; inputs cannot be written; no key, keyring or agent is in reach
pid         no process outside can be seen, and none inside outlives the run
memory      a bound on what all its processes together may use
processes   a bound on how many there may be
deadline    a time after which it is stopped
devices     no device file but harmless ones and the GPUs that were asked for, which nobody else holds
=========== ========================================================================================
"""

from __future__ import annotations

import math
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tuneguard.errors import UsageError
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tuneguard.sandbox.shown import Shown
    from tuneguard.sandbox.state import ControlState

NETWORK, FILESYSTEM, PID = "network", "filesystem", "pid"
MEMORY, PROCESSES, DEADLINE, DEVICES = "memory", "processes", "deadline", "devices"

CONTROLS = (NETWORK, FILESYSTEM, PID, MEMORY, PROCESSES, DEADLINE, DEVICES)
"""Every isolation control, in the order in which they are listed."""

RESERVED = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "dev", "proc", "sys", "old")
"""Top folders of the sandbox's root that no bind may touch."""

OWN = "/run/tuneguard"
"""The folder of the sandbox's root that holds our own inner stage. No bind may touch it."""


SHARED = ("/", "/tmp", "/run")  # noqa: S108 (the sandbox's own)
"""Folders that a bind may be below, and not be."""


@dataclass(frozen=True, slots=True)
class Control:
    """One control of one run: its name, its state, and in a sentence how it was tried or why it is not."""

    name: str
    state: ControlState
    how: str


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of this machine that the command sees at `target`, an absolute path inside.

    With an `identity` (device and inode) only that very file or folder is bound.
    """

    source: Path
    target: str
    writable: bool = False
    identity: tuple[int, int] | None = None


@dataclass(frozen=True)
class Confinement:
    """What runs, and everything that it may see, use and take.

    ``command`` and ``environment`` are exact: nothing is inherited. ``deadline`` and ``grace`` are
    in seconds, ``memory`` and ``scratch`` in bytes, ``processes`` counts processes and threads,
    ``processors`` what may run at one time.
    ``scratch`` bounds the memory-backed ``/scratch``; without it there is none. ``file_size`` bounds each
    file that is written, in bytes, holes included, also those in memory. ``packages`` are
    folders to import Python packages from: they appear read-only at their own paths, and go
    before what ``PYTHONPATH`` the environment has. ``output`` gets each line of standard output
    and error without its end, in pieces of at most ``limits.OUTPUT_LINE`` bytes: untrusted bytes, to be
    printed through ``files.printable`` only. ``blocks`` gets the same bytes as they come, ends included,
    in pieces of at most ``limits.OUTPUT_BLOCK``: for what must keep up with a flood. ``gpus`` are shown with
    what belongs to them; without them no device is.
    """

    command: tuple[str, ...]
    binds: tuple[Bind, ...]
    workdir: str
    environment: Mapping[str, str]
    deadline: float
    grace: float = 10.0
    memory: int | None = None
    processes: int | None = None
    processors: float | None = None
    output: Callable[[bytes], None] | None = field(default=None, compare=False)
    blocks: Callable[[bytes], None] | None = field(default=None, compare=False)
    packages: tuple[Path, ...] = ()
    scratch: int | None = None
    file_size: int | None = None
    gpus: Shown | None = None

    def __post_init__(self) -> None:
        """Refuse what no backend could honour.

        Raises:
            UsageError: an empty command, a bad deadline, or a target that is not a plain absolute
                path, is taken twice, or belongs to the system.
        """
        if not self.command:
            raise UsageError("a sandbox needs a command", help="name the program to run")
        if not (math.isfinite(self.deadline) and self.deadline > 0 and self.grace >= 0):
            raise UsageError(f"the deadline of {self.deadline} s cannot be kept", help="give a time above 0")
        for limit in (self.memory, self.processes, self.processors, self.scratch, self.file_size):
            if limit is not None and limit <= 0:
                raise UsageError(f"the limit {limit} leaves nothing to run in", help="give a number above 0")
        targets = [bind.target for bind in self.binds]
        for target in targets:
            _check_target(target)
        if self.scratch is not None:
            targets.append("/scratch")
        for target in targets:
            if targets.count(target) > 1:
                raise UsageError(f"two things are bound at {printable(target)}", help="bind each elsewhere")


def _check_target(target: str) -> None:
    """A target is absolute, plain, and outside the folders that make up the system."""
    plain = target.startswith("/") and target == posixpath.normpath(target) and "\0" not in target
    reserved = target in SHARED or target.split("/")[1:2] in ([name] for name in RESERVED)
    if not plain or reserved or target == OWN or target.startswith(OWN + "/"):
        raise UsageError(
            f"nothing can be bound at {printable(target)}",
            help="give an absolute path outside the system's folders, such as /inside/data",
        )


@dataclass(frozen=True)
class Outcome:
    """How it ended: exit ``code``, or the ``signal`` that ended it, or both None (it never started).

    ``stopped`` is who ended it, if anyone did. ``controls`` are all, in order.
    ``note`` is a sentence for a person where the plain facts would puzzle: out of memory, for one.
    ``memory`` are the bytes in use at most, None where no control group counted them.
    ``processors`` says what bounded them, where they were to be bounded.
    """

    code: int | None
    signal: int | None
    stopped: str | None
    controls: tuple[Control, ...]
    seconds: float
    note: str | None = None
    memory: int | None = None
    processors: str | None = None

    @property
    def succeeded(self) -> bool:
        """It ended by itself, with exit code 0."""
        return self.code == 0 and self.stopped is None

    def control(self, name: str) -> Control:
        """The isolation control of that name."""
        return next(control for control in self.controls if control.name == name)


class Backend(Protocol):
    """Something that runs a command under isolation controls.

    Duties: build the controls before the command's first instruction, or raise; try each control from
    inside and record what came of it; return only when every process of the run is dead, also
    when it is interrupted and when `Confinement.output` raises.
    """

    @property
    def name(self) -> str:
        """How it is called in messages and evidence."""

    def run(self, confinement: Confinement) -> Outcome:
        """Run the command to its end, its deadline, or an interrupt.

        Raises:
            UsageError: a bind, the command or the machine does not allow it.
            CannotLook: an isolation control did not hold when it was tried; the command was not started.
        """
