"""What long work reports while it runs: a line that stays, or a bar that goes.

Library code takes a `Reporter` and stays silent by default; only ``cli`` and ``output`` know about
terminals.

    >>> from tuneguard.progress import SILENT
    >>> with SILENT.task("Hashed", total=10, unit="bytes") as task:
    ...     task.advance(10)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType


class Task(Protocol):
    """Work under way. A context manager: leaving it removes the bar."""

    def advance(self, amount: int) -> None:
        """Report that `amount` more units are done. Safe to call from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Reporter(Protocol):
    """Where long work reports: what is done, what is being done, and how far it is."""

    def emit(self, verb: str, text: str, *details: str) -> None:
        """One aligned line: a verb in the past tense, what it did, further lines below it."""

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        """Start a bar. `unit` is ``bytes``, ``files``, ``rows`` or ``steps``; `total` may be unknown."""

    def status(self, text: str) -> None:
        """One line in the place of the last one, which says how far long work is; empty ends it."""


class _SilentTask:
    def advance(self, amount: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class _Silent:
    def emit(self, verb: str, text: str, *details: str) -> None:
        pass

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        del verb, total, unit
        return _SilentTask()

    def status(self, text: str) -> None:
        pass


SILENT: Reporter = _Silent()
"""The default: reports nothing."""
