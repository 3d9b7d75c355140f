"""Bounds on memory, processes and processors by control groups, version 1 or 2, wherever one can be made.

A control group counts all processes together and cannot be left from inside, since none is mounted
there. It is made below (or, in version 2, beside) the one that we are in, so that a container's or a
session's own limits keep holding. Where none can be made, rlimits take its place, which bound each
process or each user and are recorded as weaker.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.sandbox.controls import MEMORY, PROCESSES, Control
from tuneguard.sandbox.state import ControlState

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "tuneguard-"
_PROCESSORS = "processors"
_CONTROLLER = {MEMORY: "memory", PROCESSES: "pids", _PROCESSORS: "cpu"}
_PERIOD = 100_000
"""Microseconds in which a quota of processors is counted: the kernel's own default."""


@dataclass
class Limits:
    """The limits of one run. `apply` once, before the command starts; `remove` when all is dead."""

    memory: int | None
    processes: int | None
    proc: Path = Path("/proc")
    processors: float | None = None
    processors_how: str | None = None
    _folders: dict[str, Path] = field(default_factory=dict)
    _made: set[Path] = field(default_factory=set)
    _entered: Path | None = None
    _controls: dict[str, Control] = field(default_factory=dict)
    _reasons: dict[str, str] = field(default_factory=dict)
    _instead: dict[str, str] = field(default_factory=dict)

    def apply(self, process: int) -> list[tuple[str, int]]:
        """Put `process` under the limits. Returns the rlimits that the inner stage is to set instead."""
        rlimits = [("RLIMIT_CORE", 1)]  # 1, not 0: a core pattern that is a pipe ignores 0 and obeys 1
        for control, limit in ((MEMORY, self.memory), (PROCESSES, self.processes)):
            if limit is None:
                self._controls[control] = Control(control, ControlState.ABSENT, "no limit was asked for")
            elif not self._confine(control, limit, process):
                rlimits.append(self._bound_each(control, limit))
        if self.processors is not None and not self._confine(_PROCESSORS, self.processors, process):
            self._pin(math.ceil(self.processors), process)
        return rlimits

    def controls(self, *, unprivileged: bool) -> dict[str, Control]:
        """The two controls as they were applied. `unprivileged`: the command's uid was not root's."""
        controls = dict(self._controls)
        if PROCESSES in self._instead and not unprivileged:
            how = f"{self._instead[PROCESSES]}, and RLIMIT_NPROC does not bind root"
            controls[PROCESSES] = Control(PROCESSES, ControlState.ABSENT, how)
        return controls

    def exceeded(self) -> str | None:
        """A sentence if the kernel ended a process for want of memory."""
        folder = self._folders.get(MEMORY)
        if folder is None:
            return None
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                text = (folder / name).read_text("ascii")
                if re.search(r"^oom_kill [1-9]", text, re.MULTILINE):
                    return f"the kernel ended a process at the memory limit of {self.memory:,} bytes"
        return None

    def peak(self) -> int | None:
        """The bytes of memory in use at most, None where no group of ours counts them."""
        folder = self._folders.get(MEMORY)
        if folder is None:
            return None
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                return int((folder / name).read_text("ascii"))
        return None

    def remove(self) -> None:
        """Remove the groups. All processes in them are dead; the kernel may take a moment to see it."""
        for folder in self._made:
            _remove(folder)
        self._made.clear()

    def _confine(self, control: str, limit: float, process: int) -> bool:
        """Try each group that could be made for this controller, until one takes limit and process."""
        for folder, version in self._places(_CONTROLLER[control]):
            try:
                self._enter(control, folder, version, limit, process)
            except OSError as error:
                self._reasons[control] = (error.strerror or str(error)).lower()
                continue
            return True
        return False

    def _places(self, controller: str) -> Iterator[tuple[Path, int]]:
        """Groups to try. Of version 2 only the one that was entered: entering another would leave it."""
        if self._entered is not None:
            yield self._entered, 2
        for folder, version in _candidates(controller, self.proc):
            if version == 1 or self._entered is None:
                yield folder, version

    def _enter(self, control: str, folder: Path, version: int, limit: float, process: int) -> None:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o755)
            self._made.add(folder)
        read_back = _SETTERS[control](folder, version, limit)
        (folder / "cgroup.procs").write_text(str(process), "ascii")
        if folder.name not in (self.proc / str(process) / "cgroup").read_text("utf-8", "surrogateescape"):
            raise OSError(f"process {process} did not enter the group")
        self._folders[control] = folder
        if version == 2:
            self._entered = folder
        how = f"control group v{version}: the kernel reads back {read_back}"
        if control == _PROCESSORS:
            self.processors_how = how
        else:
            self._controls[control] = Control(control, ControlState.PROVEN, how)

    def _pin(self, count: int, process: int) -> None:
        """Let `process` run on `count` processors only. Not the first ones: each run would take the same."""
        reason = self._reasons.get(_PROCESSORS, "none here that this user may change")
        because = f"no control group can be made ({reason})"
        try:
            known = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(process, random.sample(known, min(count, len(known))))
        except OSError as error:
            self.processors_how = f"{because}; nor an affinity set: {(error.strerror or str(error)).lower()}"
        else:
            self.processors_how = f"{because}; an affinity to {count}, which the command can change"

    def _bound_each(self, control: str, limit: int) -> tuple[str, int]:
        """What takes a control group's place: a limit on each process, or on each user."""
        reason = self._reasons.get(control, "none here that this user may change")
        because = self._instead[control] = f"no control group can be made ({reason})"
        if control == MEMORY:
            how = f"{because}; RLIMIT_DATA of {limit:,} bytes holds for each process, not for all together"
            self._controls[control] = Control(control, ControlState.WEAKENED, how)
            return "RLIMIT_DATA", limit
        how = f"{because}; RLIMIT_NPROC of {limit:,} counts all of the user's processes"
        self._controls[control] = Control(control, ControlState.WEAKENED, how)
        return "RLIMIT_NPROC", limit


def _set_memory(folder: Path, version: int, limit: float) -> str:
    """Bound memory, and swap with it. The kernel rounds to pages; its value is returned."""
    if version == 2:
        with contextlib.suppress(OSError):
            (folder / "memory.swap.max").write_text("0", "ascii")
        read_back = _set(folder, "memory.max", int(limit))
    else:
        read_back = _set(folder, "memory.limit_in_bytes", int(limit))
        with contextlib.suppress(OSError):
            (folder / "memory.memsw.limit_in_bytes").write_text(str(limit), "ascii")
    return f"{read_back:,} bytes for all processes together"


def _set_processes(folder: Path, version: int, limit: float) -> str:
    del version  # one name in both
    room = int(limit) + 1  # our own init is one process
    return f"{_set(folder, 'pids.max', room):,} processes, the init included"


def _set_processors(folder: Path, version: int, limit: float) -> str:
    quota = math.ceil(limit * _PERIOD)
    if version == 2:
        (folder / "cpu.max").write_text(f"{quota} {_PERIOD}", "ascii")
    else:
        (folder / "cpu.cfs_period_us").write_text(str(_PERIOD), "ascii")
        (folder / "cpu.cfs_quota_us").write_text(str(quota), "ascii")
    read_back = _quota(folder, version)
    if read_back > limit + 0.01:
        raise OSError(f"the quota reads back {read_back:g} processors")
    return f"a quota of {read_back:g} processors"


_SETTERS = {MEMORY: _set_memory, PROCESSES: _set_processes, _PROCESSORS: _set_processors}


def _quota(folder: Path, version: int) -> float:
    """How many processors a group may use; infinite where it has no quota."""
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text("ascii").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text("ascii").strip() for name in ("quota", "period")
            )
        return int(quota) / int(period) if quota.isdigit() else math.inf
    except (OSError, ValueError):
        return math.inf


def processors(proc: Path = Path("/proc")) -> float:
    """How many processors this process may use: by its affinity, and by the quotas of its control groups."""
    found = float(len(os.sched_getaffinity(0)))
    for mount_point, here, version in _groups("cpu", proc):
        for folder in (here, *here.parents):
            if folder.is_relative_to(mount_point):
                found = min(found, _quota(folder, version))
    return found


def _set(folder: Path, name: str, limit: int) -> int:
    (folder / name).write_text(str(limit), "ascii")
    text = (folder / name).read_text("ascii").strip()
    if not text.isdigit() or int(text) > limit + (1 << 16):
        raise OSError(f"{name} reads back {text}")
    return int(text)


def _candidates(controller: str, proc: Path) -> Iterator[tuple[Path, int]]:
    """Groups that could be made for `controller`, with the version of their hierarchy, best first."""
    for mount_point, here, version in _groups(controller, proc):
        for parent in [here] if version == 1 else [here, here.parent]:
            if parent.is_relative_to(mount_point) and os.access(parent, os.W_OK):
                _sweep(parent)
                yield parent / f"{_NAME}{os.getpid()}-{secrets.token_hex(4)}", version


def _groups(controller: str, proc: Path) -> Iterator[tuple[Path, Path, int]]:
    """Our group in each hierarchy that may have `controller`: its mount point, its folder, its version."""
    own = _own_groups(proc)
    for mount_point, mount_root, kind, options in _hierarchies(proc):
        version = 2 if kind == "cgroup2" else 1
        if version == 1 and controller not in options:
            continue
        path = own.get("" if version == 2 else controller)
        if path is not None and (path + "/").startswith(mount_root.rstrip("/") + "/"):
            yield mount_point, mount_point / path[len(mount_root.rstrip("/")) :].strip("/"), version


def _hierarchies(proc: Path) -> Iterator[tuple[Path, str, str, list[str]]]:
    """Mount point, root, type and options of each mounted cgroup hierarchy: proc(5), mountinfo."""
    for line in (proc / "self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if right[0] in ("cgroup", "cgroup2"):
            yield Path(_unescape(left[4])), _unescape(left[3]), right[0], right[-1].split(",")


def _own_groups(proc: Path) -> dict[str, str]:
    """Controller → path of our group; version 2's has the empty name."""
    own = {}
    for line in (proc / "self/cgroup").read_text("utf-8", "surrogateescape").splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    return own


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _sweep(parent: Path) -> None:
    """Remove empty groups of supervisors that were killed. The kernel refuses to remove one in use."""
    with contextlib.suppress(OSError):
        for folder in parent.glob(f"{_NAME}*-*"):
            if not Path("/proc", folder.name.split("-")[1]).exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _remove(folder: Path) -> None:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return
