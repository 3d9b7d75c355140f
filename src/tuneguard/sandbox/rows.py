"""A command in the sandbox that reports how many rows it is through, and how its end is judged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import CannotLook, Interrupted
from tuneguard.files import printable

if TYPE_CHECKING:
    from tuneguard.progress import Task
    from tuneguard.sandbox.controls import Outcome

_PROGRESS = re.compile(rb"rows ([0-9]{1,9})")


class Rows:
    """Receives the sandbox's lines: moves the bar, by `most` rows at most, and keeps the last other line."""

    def __init__(self, task: Task, most: int) -> None:
        self.last = ""
        self._task, self._left = task, most

    def hear(self, line: bytes) -> None:
        """An untrusted line."""
        found = _PROGRESS.fullmatch(line)
        if found is None:
            self.last = printable(line[: limits.EVALUATION_FAULT]).strip() or self.last
            return
        step = min(int(found[1]), self._left)
        self._left -= step
        self._task.advance(step)

    def check_ended(self, outcome: Outcome, what: str, deadline: float, help: str) -> None:
        """The command ended by itself, with exit code 0. `help` is for one that took too long.

        Raises:
            Interrupted, CannotLook: it did not.
        """
        if outcome.stopped == "interrupt":
            raise Interrupted(f"the {what} was interrupted")
        if outcome.stopped == "deadline":
            raise CannotLook(f"the {what} was stopped after {deadline:,.0f} s", help=help)
        if not outcome.succeeded:
            ended = f"exit code {outcome.code}" if outcome.signal is None else f"signal {outcome.signal}"
            because = outcome.note or self.last
            raise CannotLook(f"the {what} ended with {ended}" + (f": {because}" if because else ""))
