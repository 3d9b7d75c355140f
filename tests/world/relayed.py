"""A run's folders and the relay that reads its metrics, without a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuneguard.progress import SILENT
from tuneguard.training import metrics
from tuneguard.training.relay import Relay

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tuneguard.progress import Task


class Kept:
    """A reporter that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []
        self.states: list[str] = []

    def emit(self, verb: str, text: str, *details: str) -> None:
        self.lines.append((verb, text, *details))

    def status(self, text: str) -> None:
        self.states.append(text)

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        return SILENT.task(verb, total=total, unit=unit)


class Run:
    """A run's folders and its relay, whose clock a test moves and whose thread sleeps."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tuneguard.training.relay.EVERY", 3600.0)
        self.work, self.output = folder / "work", folder / "output"
        self.work.mkdir()
        self.output.mkdir()
        self.now = 1000.0
        self.said = Kept()
        self.relay = Relay(self.work, self.output, self.said, lambda: self.now)
        self.channel = self.work / metrics.CHANNEL

    def write(self, data: bytes) -> None:
        with self.channel.open("ab") as file:
            file.write(data)

    def end(self) -> list[Any]:
        """What is kept when the run is over."""
        with self.relay:
            pass
        return [json.loads(line) for line in (self.work / metrics.KEPT).read_text().splitlines()]
