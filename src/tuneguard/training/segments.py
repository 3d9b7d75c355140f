"""A training that was ended from outside goes on as the next segment of the same run.

A signal from outside (SIGKILL, SIGTERM, SIGHUP) says nothing about the training: a machine was shut down, or
the kernel needed memory for others. An exit code, a crash, the run's own bound on memory and its deadline do,
and are never retried. The next segment has the same sandbox, inputs and folders, what is left of the one
deadline, and in ``TUNEGUARD_RESUME`` the newest whole ``checkpoint-N`` that it finds in its output.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import stat
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.attest.predicates.provenance import Segment
from tuneguard.errors import TuneguardError

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.progress import Reporter
    from tuneguard.sandbox.controls import Backend, Confinement, Control, Outcome

FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP})
RESUME, NUMBER = "TUNEGUARD_RESUME", "TUNEGUARD_SEGMENT"

_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,12})")
_WHOLE, _INCOMPLETE = "trainer_state.json", "checkpoint-is-incomplete.txt"
"""Trainer writes the first last, and keeps the second while it writes."""


def run(
    backend: Backend,
    confinement: Confinement,
    written: Path,
    inside: str,
    *,
    retries: int,
    reporter: Reporter,
) -> tuple[Outcome, tuple[Segment, ...]]:
    """Run the training, again where it was ended from outside; how it ended, and the segments before that.

    `written` is the output's folder, which the training sees at `inside`. The outcome's seconds are of all
    segments, and each of its controls is as weak as in the weakest of them.
    """
    before: list[Segment] = []
    outcomes = [backend.run(confinement)]
    while len(before) < retries and (left := confinement.deadline - _seconds(outcomes)) > 0:
        last = outcomes[-1]
        if last.stopped is not None or last.signal not in FROM_OUTSIDE or last.note is not None:
            break
        found = newest(written)
        before.append(Segment(seconds=round(last.seconds), signal=last.signal, resumed=found))
        reporter.emit(
            "Retrying",
            f"the training was ended by signal {last.signal}; segment {len(outcomes) + 1} "
            + ("begins anew" if found is None else f"goes on from {found}"),
        )
        more = {NUMBER: str(len(outcomes) + 1)} | ({} if found is None else {RESUME: f"{inside}/{found}"})
        again = dataclasses.replace(
            confinement, deadline=left, environment={**confinement.environment, **more}
        )
        outcomes.append(backend.run(again))
    controls = tuple(map(_weakest, zip(*(each.controls for each in outcomes), strict=True)))
    return dataclasses.replace(outcomes[-1], seconds=_seconds(outcomes), controls=controls), tuple(before)


def newest(written: Path) -> str | None:
    """The whole ``checkpoint-N`` with the greatest N in a folder, where no process of the training lives."""
    found: dict[int, str] = {}
    try:
        with files.directory(written) as root, os.scandir(root) as entries:
            for entry, _ in zip(entries, range(limits.OUTPUT_ENTRIES), strict=False):
                named = _CHECKPOINT.fullmatch(entry.name)
                if named and entry.is_dir(follow_symlinks=False) and _is_whole(root, entry.name):
                    found[int(named[1])] = entry.name
    except (TuneguardError, OSError):
        return None
    return found[max(found)] if found else None


def _is_whole(root: int, name: str) -> bool:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        return _is_file(folder, _WHOLE) and not _is_file(folder, _INCOMPLETE)
    finally:
        os.close(folder)


def _is_file(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _seconds(outcomes: list[Outcome]) -> float:
    return sum(each.seconds for each in outcomes)


def _weakest(controls: tuple[Control, ...]) -> Control:
    """The first of the weakest; one and the same isolation control in each segment."""
    return next(each for each in controls if all(other.state.meets(each.state) for other in controls))
