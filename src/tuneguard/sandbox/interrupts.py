"""Turns SIGINT, SIGTERM and SIGHUP into something that a loop can wait for, while it lasts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """A context in which those signals end nothing but make a descriptor readable.

    Python delivers signals to the main thread only: elsewhere the descriptor stays quiet. A signal
    that was ignored before stays so (``nohup``).
    """

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"1")

    def fileno(self) -> int:
        """Readable when one has come."""
        return self._reader

    def take(self) -> bool:
        """Whether one has come since the last time."""
        try:
            return bool(os.read(self._reader, 4096))
        except BlockingIOError:
            return False
