"""Bounds on memory and processes by control groups, version 1 or 2, wherever one can be made.

A control group counts all processes together and cannot be left from inside, since none is mounted
there. It is made below (or, in version 2, beside) the one that we are in, so that a container's or a
session's own limits keep holding. Where none can be made, rlimits take its place, which bound each
process or each user and are recorded as weaker.
"""

from __future__ import annotations

import contextlib
import os
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
_CONTROLLER = {MEMORY: "memory", PROCESSES: "pids"}


@dataclass
class Limits:
    """The limits of one run. `apply` once, before the command starts; `remove` when all is dead."""

    memory: int | None
    processes: int | None
    proc: Path = Path("/proc")
    _folders: dict[str, Path] = field(default_factory=dict)
    _made: set[Path] = field(default_factory=set)
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

    def _confine(self, control: str, limit: int, process: int) -> bool:
        """Try each group that could be made for this controller, until one takes limit and process."""
        controller = _CONTROLLER[control]
        made = [
            (folder, 2) for folder in set(self._folders.values()) if (folder / f"{controller}.max").exists()
        ]
        for folder, version in made or _candidates(controller, self.proc):
            try:
                self._enter(control, folder, version, limit, process)
            except OSError as error:
                self._reasons[control] = (error.strerror or str(error)).lower()
                continue
            return True
        return False

    def _enter(self, control: str, folder: Path, version: int, limit: int, process: int) -> None:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o755)
            self._made.add(folder)
        bound = limit if control == MEMORY else limit + 1  # our own init is one process
        read_back = (
            _set_memory(folder, version, bound) if control == MEMORY else _set(folder, "pids.max", bound)
        )
        (folder / "cgroup.procs").write_text(str(process), "ascii")
        if folder.name not in (self.proc / str(process) / "cgroup").read_text("utf-8", "surrogateescape"):
            raise OSError(f"process {process} did not enter the group")
        self._folders[control] = folder
        unit = "bytes for all processes together" if control == MEMORY else "processes, the init included"
        how = f"control group v{version}: the kernel reads back {read_back:,} {unit}"
        self._controls[control] = Control(control, ControlState.PROVEN, how)

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


def _set_memory(folder: Path, version: int, limit: int) -> int:
    """Bound memory, and swap with it. The kernel rounds to pages; its value is returned."""
    if version == 2:
        with contextlib.suppress(OSError):
            (folder / "memory.swap.max").write_text("0", "ascii")
        return _set(folder, "memory.max", limit)
    read_back = _set(folder, "memory.limit_in_bytes", limit)
    with contextlib.suppress(OSError):
        (folder / "memory.memsw.limit_in_bytes").write_text(str(limit), "ascii")
    return read_back


def _set(folder: Path, name: str, limit: int) -> int:
    (folder / name).write_text(str(limit), "ascii")
    text = (folder / name).read_text("ascii").strip()
    if not text.isdigit() or int(text) > limit + (1 << 16):
        raise OSError(f"{name} reads back {text}")
    return int(text)


def _candidates(controller: str, proc: Path) -> Iterator[tuple[Path, int]]:
    """Groups that could be made for `controller`, with the version of their hierarchy, best first."""
    own = _own_groups(proc)
    for mount_point, mount_root, kind, options in _hierarchies(proc):
        version = 2 if kind == "cgroup2" else 1
        if version == 1 and controller not in options:
            continue
        path = own.get("" if version == 2 else controller)
        if path is None or not (path + "/").startswith(mount_root.rstrip("/") + "/"):
            continue
        here = mount_point / path[len(mount_root.rstrip("/")) :].strip("/")
        parents = [here] if version == 1 else [here, here.parent]
        for parent in parents:
            if parent.is_relative_to(mount_point) and os.access(parent, os.W_OK):
                _sweep(parent)
                yield parent / f"{_NAME}{os.getpid()}-{secrets.token_hex(4)}", version


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
