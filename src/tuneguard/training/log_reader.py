"""Reads the log that `training.transcript` writes, also while it is written and after a kill.

A position counts the bytes that the training printed, and not those of a file: what comes after the head goes
round in a second file, and is put behind the head at the end.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from tuneguard import files, limits

if TYPE_CHECKING:
    from pathlib import Path

LOG, TAIL, END = "train.log", "train.log.tail", "train.log.end"
"""The log; while it is written, what goes round, and how many bytes came after the head."""
_LEFT_OUT = re.compile(rb"\n\[(\d{1,20}) bytes of output are left out here\]\n")
_NOTE = 80
"""Bytes that hold the line on what is left out."""


class LogReader:
    """Each call of `read` returns what was printed since the last one. `work` is the run's folder."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._at = 0

    def read(self) -> bytes:
        """At most `limits.OUTPUT_BLOCK` bytes; none where nothing more was printed.

        Raises:
            CannotLook: the log cannot be read.
        """
        try:
            return self._head() or self._after_head()
        except OSError as error:
            raise files.cannot_look(error, self._work / LOG) from error

    def _head(self) -> bytes:
        return self._taken(
            self._pread(LOG, min(limits.LOG_HEAD - self._at, limits.OUTPUT_BLOCK), self._at) or b""
        )

    def _after_head(self) -> bytes:
        """What comes after the head: from what goes round, or from behind the head when the run is over."""
        if self._at < limits.LOG_HEAD:
            return b""
        total = self._total()
        if total is None:
            return self._joined()
        done = self._at - limits.LOG_HEAD
        if total - limits.LOG_TAIL > done:
            return self._passed_over(total - limits.LOG_TAIL - done)
        begin = done % limits.LOG_TAIL
        data = self._pread(TAIL, min(total - done, limits.LOG_TAIL - begin, limits.OUTPUT_BLOCK), begin)
        if data is None:
            return self._joined()  # it was put behind the head meanwhile
        if (self._total() or total) - limits.LOG_TAIL > done:
            return self._after_head()  # it was written over meanwhile
        return self._taken(data)

    def _joined(self) -> bytes:
        size = os.stat(self._work / LOG).st_size
        note = _LEFT_OUT.match(self._pread(LOG, _NOTE, limits.LOG_HEAD) or b"")
        lost, begin = (int(note[1]), note.end()) if note else (0, 0)
        if size - limits.LOG_HEAD - begin != limits.LOG_TAIL:
            lost, begin = 0, 0  # nothing is left out: the training printed that line
        done = self._at - limits.LOG_HEAD
        if done < lost:
            return self._passed_over(lost - done)
        at = limits.LOG_HEAD + begin + done - lost
        return self._taken(self._pread(LOG, min(size - at, limits.OUTPUT_BLOCK), at) or b"")

    def _passed_over(self, lost: int) -> bytes:
        """Go on behind so many bytes, which are not there any more; the line on them."""
        self._at += lost
        return b"\n[%d bytes of output are left out here]\n" % lost

    def _total(self) -> int | None:
        """How many bytes came after the head, while they go round; None where they do not."""
        with suppress(ValueError):
            return int(self._pread(END, 20, 0) or b"")
        return None

    def _pread(self, name: str, most: int, at: int) -> bytes | None:
        """Bytes of a file of the log; None where it is not there."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self._work / name, flags)
        except FileNotFoundError:
            return None
        try:
            return os.pread(descriptor, max(0, most), at)
        finally:
            os.close(descriptor)

    def _taken(self, data: bytes) -> bytes:
        self._at += len(data)
        return data
