"""What a training prints: its beginning and its end are kept, and it is shown as fast as people read.

A training can print gigabytes, by a progress bar or to slow its supervisor down. So its output is taken
in blocks, and what is done for each is a few operations on the whole of it, however many lines it has.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Self

from tuneguard import files, limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneguard.progress import Reporter


class Transcript:
    """Feed blocks of output; a log at `path` and lines on `reporter` come of it.

    A carriage return ends a line as a newline does, so that a progress bar is seen while it moves.
    """

    def __init__(self, path: Path, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = _Log(path)
        self._shown = _Shown(reporter, clock)
        self._after_return = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._shown.end()
        finally:
            self._log.close()

    def hear(self, block: bytes) -> None:
        """Keep and show what has come.

        Raises:
            CannotLook: the log cannot be written.
        """
        if self._after_return and block.startswith(b"\n"):
            block = block[1:]
        self._after_return = block.endswith(b"\r")
        text = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._log.write(text)
        self._shown.take(text)


class _Log:
    """A file with the first `limits.LOG_HEAD` bytes, and after them the last `limits.LOG_TAIL`.

    Each block is written at once, so that a kill loses none. What comes after the head goes round in a
    second file, ``.tail``, which is put behind it at the end; ``.end`` counts it. `training.log_reader` reads
    all three, also after a kill.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tail_path = path.with_name(f"{path.name}.tail")
        self._head = limits.LOG_HEAD
        self._after_head = 0
        self._end_path = path.with_name(f"{path.name}.end")
        self._tail = self._end = -1
        self._file = self._opened(path)

    def write(self, data: bytes) -> None:
        """Add `data`, which may push older bytes out."""
        head, rest = data[: self._head], data[self._head :]
        self._head -= len(head)
        self._put(self._file, head)
        if rest:
            self._go_round(rest)

    def close(self) -> None:
        """Put the end behind the head, with a line on how much was between them."""
        try:
            if self._after_head:
                self._join()
        finally:
            for descriptor in (self._file, self._tail, self._end):
                if descriptor >= 0:
                    os.close(descriptor)

    def _go_round(self, data: bytes) -> None:
        if self._tail < 0:
            self._tail, self._end = self._opened(self._tail_path), self._opened(self._end_path)
        self._after_head += len(data)
        kept = data[-limits.LOG_TAIL :]
        at = (self._after_head - len(kept)) % limits.LOG_TAIL
        upwards = limits.LOG_TAIL - at
        self._put(self._tail, kept[:upwards], at)
        self._put(self._tail, kept[upwards:], 0)
        self._put(self._end, b"%020d" % self._after_head, 0)

    def _join(self) -> None:
        try:
            held = os.pread(self._tail, limits.LOG_TAIL, 0)
        except OSError as error:
            raise files.cannot_look(error, self._path) from error
        lost = self._after_head - len(held)
        if lost:
            self._put(self._file, b"\n[%d bytes of output are left out here]\n" % lost)
        oldest = self._after_head % len(held)
        self._put(self._file, held[oldest:] + held[:oldest])
        self._end_path.unlink()
        self._tail_path.unlink()

    def _opened(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except OSError as error:
            raise files.cannot_look(error, path) from error

    def _put(self, descriptor: int, data: bytes, at: int | None = None) -> None:
        """Write all of `data`, at the end or from the offset `at` on."""
        view = memoryview(data)
        try:
            while view:
                written = os.write(descriptor, view) if at is None else os.pwrite(descriptor, view, at)
                view, at = view[written:], None if at is None else at + written
        except OSError as error:
            raise files.cannot_look(error, self._path) from error


class _Shown:
    """Shows lines while a budget lasts, which time refills; what is not shown is counted."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float]) -> None:
        self._reporter = reporter
        self._clock = clock
        self._budget = float(limits.SHOWN_AT_ONCE)
        self._then = clock()
        self._held = b""
        self._hidden = 0

    def take(self, text: bytes) -> None:
        """Show the lines that `text` completes, as far as the budget goes."""
        now = self._clock()
        self._budget = min(limits.SHOWN_AT_ONCE, self._budget + (now - self._then) * limits.SHOWN_LINES)
        self._then = now
        *lines, rest = (self._held + text).split(b"\n", int(self._budget))
        for line in lines:
            self._say(line)
        above, end, self._held = rest.rpartition(b"\n")
        if end:
            self._hidden += above.count(b"\n") + 1
        if len(self._held) > limits.OUTPUT_LINE:  # a line without end goes on as if it had one
            if self._budget >= 1:
                self._say(self._held)
            else:
                self._hidden += 1
            self._held = b""

    def end(self) -> None:
        """Show what is left, and state how much was not shown."""
        if self._held:
            self._say(self._held)
        self._tell_hidden()

    def _say(self, line: bytes) -> None:
        self._tell_hidden()
        self._budget -= 1
        self._reporter.emit("", files.printable(line[: limits.SHOWN_CHARACTERS]))

    def _tell_hidden(self) -> None:
        if self._hidden:
            self._reporter.emit("", f"({self._hidden:,} lines are not shown here)")
        self._hidden = 0
