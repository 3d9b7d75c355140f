"""Reads what a training says of how far it is, while it runs: shows it, and keeps it beside the log.

The training writes lines to one file (``$TUNEGUARD_METRICS``), which never makes it wait, and TensorBoard
event files to its checkpoint folder. Both are read from outside, as hostile input: so many bytes and
lines at a time, so many in all, no link followed. Nothing of it is signed.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tuneguard import files, limits
from tuneguard.display import counted
from tuneguard.errors import TuneguardError
from tuneguard.formats import event_file
from tuneguard.sandbox.controls import Bind
from tuneguard.training.inputs import INSIDE
from tuneguard.training.metrics import CHANNEL, KEPT, Point, Progress, parse, point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tuneguard.progress import Reporter

METRICS = f"{INSIDE}/metrics"
"""Where the training finds the file that it writes to."""
EVERY = 1.0
"""Seconds between two looks."""
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Relay:
    """Reads a run's metrics until the context ends. `work` is the run's folder, `output` the checkpoint's.

    Whatever goes wrong here, the training goes on: ``fault`` says it at the end.
    """

    def __init__(
        self, work: Path, output: Path, reporter: Reporter, clock: Callable[[], float] = time.time
    ) -> None:
        self._reporter = reporter
        self._clock = clock
        self._channel = _Channel(work / CHANNEL)
        self._events = _EventFiles(output)
        self._kept = _Kept(work / KEPT, clock())
        self._progress = Progress()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="metrics", daemon=True)
        self.fault: str | None = None

    @property
    def bind(self) -> Bind:
        """What the training writes to."""
        return self._channel.bind

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Every process of the training is dead: read what is left, and say how it ended."""
        self._over.set()
        self._thread.join()
        try:
            for _ in range(limits.METRICS_LAST_LOOKS):
                if not self._look_safely():
                    break
        finally:
            self._reporter.status("")
            self._channel.close()
            self._events.close()
            self._kept.close()
        if str(self._progress):
            self._reporter.emit("Trained", str(self._progress), *self._lacking())

    def look(self) -> bool:
        """Read what has come since the last look; whether anything had.

        Raises:
            CannotLook: it cannot be read or kept.
        """
        now, before = self._clock(), self._channel.taken + self._events.taken
        lines = self._channel.read()
        heard = [parse(line, now) for line in lines]
        events = self._events.read()
        found = [*heard, *(point({"step": step} | values, now) for step, values in events)]
        for said in found:
            if said is not None:
                self._progress.take(said)
            self._kept.take(said)
        if any(said is not None for said in found):
            self._reporter.status(str(self._progress))
        return self._channel.taken + self._events.taken > before

    def _follow(self) -> None:
        while not self._over.wait(EVERY) and self.fault is None:
            self._look_safely()

    def _look_safely(self) -> bool:
        try:
            return self.fault is None and self.look()
        except TuneguardError as error:
            self.fault = error.what
        except OSError as error:
            self.fault = (error.strerror or str(error)).lower()
        return False

    def _lacking(self) -> Iterator[str]:
        if self.fault is not None:
            yield f"its metrics were not read to the end: {self.fault}"
        yield from self._kept.lacking()
        if self._channel.unread:
            yield f"{counted(self._channel.unread, 'byte')} of its metrics were not read"


def _most(taken: int) -> int:
    """How many bytes are read at once where `taken` were read before."""
    return max(0, min(limits.METRICS_READ, limits.METRICS_BYTES - taken))


class _Channel:
    """The file that the training writes to, as the lines that have come since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, _NEW, 0o600)
        except OSError as error:
            raise files.cannot_look(error, path) from error
        self._at = 0
        self.taken = self.unread = 0
        self._rest = b""
        self._too_long = False

    @property
    def bind(self) -> Bind:
        status = os.fstat(self._file)
        return Bind(self._path, METRICS, writable=True, identity=(status.st_dev, status.st_ino))

    def read(self) -> list[bytes]:
        """The lines that are complete, none longer than `limits.METRICS_LINE`: longer ones are empty."""
        if os.fstat(self._file).st_size < self._at:  # it was begun anew
            self._at, self._rest = 0, b""
        data = os.pread(self._file, _most(self.taken), self._at)
        self._at += len(data)
        self.taken += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._too_long and lines:
            lines[0], self._too_long = b"", False
        if len(self._rest) > limits.METRICS_LINE:
            self._rest, self._too_long = b"", True
        return [line if len(line) <= limits.METRICS_LINE else b"" for line in lines]

    def close(self) -> None:
        """Remove it: what is kept of it lies beside it."""
        self.unread = max(0, os.fstat(self._file).st_size - self._at)
        os.close(self._file)
        with suppress(OSError):
            self._path.unlink()


class _Kept:
    """What is kept: so many lines a second, so many names, so many bytes. What is not is counted."""

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        try:
            self._file = os.open(path, _NEW, 0o600)
        except OSError as error:
            raise files.cannot_look(error, path) from error
        self._bytes = 0
        self._budget = float(limits.METRICS_AT_ONCE)
        self._then = now
        self._names: set[str] = set()
        self._odd = 0
        self._over = 0

    def take(self, said: Point | None) -> None:
        """Keep a point, as far as the bounds go.

        Raises:
            CannotLook: it cannot be written.
        """
        if said is None:
            self._odd += 1
            return
        passed = max(0.0, said.time - self._then)
        self._budget = min(limits.METRICS_AT_ONCE, self._budget + passed * limits.METRICS_LINES)
        self._then = said.time
        line = self._known(said).line()
        if self._budget < 1 or self._bytes + len(line) > limits.METRICS_KEPT:
            self._over += 1
            return
        self._budget -= 1
        self._bytes += len(line)
        try:
            os.write(self._file, line)
        except OSError as error:
            raise files.cannot_look(error, self._path) from error

    def _known(self, said: Point) -> Point:
        """The point without the names that are too many."""
        room = limits.METRICS_NAMES - len(self._names)
        self._names |= set([name for name in said.values if name not in self._names][:room])
        values = {name: value for name, value in said.values.items() if name in self._names}
        return Point(said.time, said.step, said.steps, values)

    def lacking(self) -> Iterator[str]:
        """What was not kept, for people."""
        if self._odd:
            yield f"{counted(self._odd, 'line')} of its metrics were not understood"
        if self._over:
            yield f"{counted(self._over, 'line')} of its metrics were too many to keep"

    def close(self) -> None:
        os.close(self._file)


class _EventFiles:
    """The event files below the checkpoint's folder, as the scalars that have come since the last look."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self.taken = 0
        self._open: dict[tuple[int, int], tuple[int, int]] = {}

    def read(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Each step with its numbers."""
        self._find()
        for key, (descriptor, at) in self._open.items():
            data = os.pread(descriptor, _most(self.taken), at)
            self.taken += len(data)
            scalars, end = event_file.read(data)
            if end == 0 and len(data) == limits.METRICS_READ:  # larger than is ever read: pass it over
                end = event_file.length_of_first(data) or 0
            self._open[key] = (descriptor, min(at + end, (1 << 62)))
            by_step: dict[int, dict[str, float]] = {}
            for each in scalars:
                by_step.setdefault(each.step, {})[each.tag] = each.value
            yield from by_step.items()

    def close(self) -> None:
        for descriptor, _ in self._open.values():
            os.close(descriptor)

    def _find(self) -> None:
        """Open the event files that are new. What cannot be opened is left: the training changes it."""
        with suppress(OSError):
            root = os.open(self._output, _FOLDER)
            try:
                self._walk(root, limits.EVENT_DEPTH, [limits.EVENT_ENTRIES])
            finally:
                os.close(root)

    def _walk(self, folder: int, depth: int, left: list[int]) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                left[0] -= 1
                if left[0] < 0:
                    return
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False) and depth:
                        below = os.open(entry.name, _FOLDER, dir_fd=folder)
                        try:
                            self._walk(below, depth - 1, left)
                        finally:
                            os.close(below)
                    elif ".tfevents." in entry.name and len(self._open) < limits.EVENT_FILES:
                        self._take(entry.name, folder)

    def _take(self, name: str, folder: int) -> None:
        descriptor = os.open(name, _FILE, dir_fd=folder)
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if stat.S_ISREG(status.st_mode) and key not in self._open:
            self._open[key] = (descriptor, 0)
        else:
            os.close(descriptor)
