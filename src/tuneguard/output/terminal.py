"""Progress on a terminal: lines that stay and a bar that goes; and the two that never show a bar.

Bars are drawn with rich, imported when the first one starts, only where the error stream is a
terminal. Lines go where the caller states: with results in text, nowhere else in JSON.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Self, TextIO

from tuneguard import limits
from tuneguard.output import text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tuneguard.progress import Reporter, Task

BAR_AFTER = 0.3
"""Seconds that work must take before its bar appears: short work does not flicker."""

STATUS_EVERY = 30.0
"""Seconds between two lines that say how far long work is, where no terminal shows it."""


class Lines:
    """A reporter that prints lines to `stream` and draws bars on the error stream's terminal."""

    def __init__(self, stream: TextIO, style: text.Style, *, bars: bool) -> None:
        self._stream = stream
        self._style = style
        self._bars = bars
        self._status = ""
        self._told = -STATUS_EVERY

    def emit(self, verb: str, text_: str, *details: str) -> None:
        """Print the line, above the status."""
        self._draw("")
        print(text.line(self._style, verb, text_, details), file=self._stream, flush=True)
        self._draw(self._status)

    def status(self, text_: str) -> None:
        """Draw the status over the last one; where no terminal is, print it as a line now and then."""
        self._draw("")
        self._status = text_
        self._draw(text_)
        now = time.monotonic()
        if text_ and not self._bars and now - self._told >= STATUS_EVERY:
            self._told = now
            self.emit("", text_)

    def _draw(self, status: str) -> None:
        """Draw a status on the terminal, or remove the one that is there."""
        if self._bars and self._status:
            width = shutil.get_terminal_size().columns - text.VERB_WIDTH - 2
            shown = f"{'':>{text.VERB_WIDTH}} {status[:width]}" if status else ""
            sys.stderr.write(f"\r\x1b[2K{shown}")
            sys.stderr.flush()

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        """Start a bar, drawn where this reporter draws any."""
        return Bar(verb, total, unit, shown=self._bars)


class Recorder:
    """A reporter that keeps its lines, for JSON, and draws bars as `Lines` does.

    `passed_on` gets each line at once: a step of a plan passes it to its engine that way. Lines
    beyond `limits.LINES_KEPT` are passed on, and the last kept one counts them.
    """

    def __init__(self, *, bars: bool, passed_on: Callable[[list[str]], None] | None = None) -> None:
        self.lines: list[list[str]] = []
        self._bars = bars
        self._passed_on = passed_on

    def emit(self, verb: str, text_: str, *details: str) -> None:
        """Keep the line, and hand it on."""
        line = [verb, text_, *details]
        if len(self.lines) < limits.LINES_KEPT:
            self.lines.append(line)
        elif len(self.lines) == limits.LINES_KEPT:
            self.lines.append(["", "further lines are left out"])
        if self._passed_on is not None:
            self._passed_on(line)

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        """Start a bar, drawn where this reporter draws any."""
        return Bar(verb, total, unit, shown=self._bars)

    def status(self, text_: str) -> None:
        """Hand it on; it is no line that is kept."""
        if self._passed_on is not None:
            self._passed_on([text_])


class Bar:
    """One bar on the error stream, by bytes or by count; nothing where none is shown."""

    def __init__(self, verb: str, total: int | None, unit: str, *, shown: bool) -> None:
        self._verb = verb
        self._total = total
        self._unit = unit
        self._shown = shown
        self._done = 0
        self._started = time.monotonic()
        self._progress: Any = None
        self._task: Any = None

    def advance(self, amount: int) -> None:
        """Draw the bar that much further."""
        self._done += amount
        if self._progress is not None:
            self._progress.advance(self._task, amount)
        elif self._shown and time.monotonic() - self._started > BAR_AFTER:
            self._draw()

    def _draw(self) -> None:
        from rich import progress
        from rich.console import Console

        in_bytes = self._unit == "bytes"
        amount: list[Any] = (
            [progress.DownloadColumn(binary_units=True), progress.TransferSpeedColumn()]
            if in_bytes
            else [progress.MofNCompleteColumn(), progress.TextColumn(self._unit)]
        )
        self._progress = progress.Progress(
            progress.TextColumn(f"{{task.description:>{text.VERB_WIDTH}}}"),
            progress.BarColumn(bar_width=24),
            *amount,
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task(self._verb, total=self._total, completed=self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def reporter(
    form: str,
    style: text.Style,
    *,
    quiet: bool,
    stream: TextIO | None = None,
    passed_on: Callable[[list[str]], None] | None = None,
) -> Reporter:
    """The reporter for a format: lines on `stream` (standard output) for text, a recorder for all others."""
    bars = sys.stderr.isatty() and not quiet
    if form == "text" and not quiet:
        return Lines(stream or sys.stdout, style, bars=bars)
    return Recorder(bars=bars, passed_on=passed_on)
