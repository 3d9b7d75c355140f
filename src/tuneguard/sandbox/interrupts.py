"""Turns SIGINT, SIGTERM and SIGHUP into something that a loop can wait for, while it lasts."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """A context in which those signals end nothing but make a descriptor readable.

    The interpreter's C handler writes to the descriptor. A Python handler would run only after the wait,
    where the signal comes a moment before it. Python delivers signals to the main thread only: elsewhere the
    descriptor stays quiet. A signal that was ignored before stays so (``nohup``).
    """

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[signal.Signals, Any] = {}
        self._woken: int | None = None
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, lambda *_: None)
            self._woken = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._woken is not None:
            signal.set_wakeup_fd(self._woken)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """Readable when one has come."""
        return self._reader

    def take(self) -> bool:
        """Whether one has come since the last time."""
        try:
            return any(number in SIGNALS for number in os.read(self._reader, 4096))
        except BlockingIOError:
            return False
