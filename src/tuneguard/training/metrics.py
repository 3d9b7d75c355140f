"""What a training says of how far it is: numbers under short names, a JSON object a line.

The training is hostile. A line is an object of numbers; everything else in it is dropped. Numbers are kept to
six digits and names are few, which bounds what they can carry (docs/metrics.md).

    >>> parse(b'{"step": 10, "steps": 100, "loss": 1.25, "note": "text", "epoch": 0.123456789}', 0.0)
    Point(time=0.0, step=10, steps=100, values={'loss': 1.25, 'epoch': 0.123457})
    >>> parse(b"[1, 2]", 0.0) is None
    True
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneguard import files, limits
from tuneguard.display import duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHANNEL, KEPT = "metrics.channel", "metrics.jsonl"
"""What the training writes to, and what is kept of it, in the run's folder of the project's state."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]{0,63}")
_EXACT = 1 << 53
"""Integers below it are floats without loss."""
_OWN = ("time", "step", "steps")
_LOSSES = ("loss", "train_loss", "train/loss", "training_loss", "eval_loss", "eval/loss")


@dataclass(frozen=True, slots=True)
class Point:
    """What was said at one step: ``time`` in seconds since 1970, by the relay's clock.

    ``steps`` is how many there are to be, as the training says.
    """

    time: float
    step: int | None
    steps: int | None
    values: Mapping[str, float]

    def line(self) -> bytes:
        """The line that is kept. What is no number in JSON is its name as a text."""
        head = {"time": round(self.time, 1), "step": self.step, "steps": self.steps}
        said = {name: value for name, value in head.items() if value is not None}
        numbers = {name: written(value) for name, value in self.values.items()}
        return json.dumps(said | numbers).encode() + b"\n"


def parse(line: bytes, time: float) -> Point | None:
    """What a line says; None where it is no object, or holds neither a step nor a number."""
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return point(found, time)


def point(found: Mapping[str, Any], time: float) -> Point | None:
    """The numbers of `found` under names that are short; None where there are none."""
    values = {
        name: float(f"{value:.6g}")
        for name, value in found.items()
        if name not in _OWN and _NAME.fullmatch(name) and _is_number(value)
    }
    values = dict(list(values.items())[: limits.METRICS_VALUES])
    step, steps = _count(found.get("step")), _count(found.get("steps"))
    return Point(time, step, steps, values) if values or step is not None else None


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= _EXACT)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _EXACT:
        return None
    return int(value)


def written(value: float) -> float | str:
    """A number as JSON can write it: what is none there is its name."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


@dataclass(slots=True)
class Progress:
    """How far a training is, by all that it said."""

    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    _first: tuple[float, int] | None = field(default=None, repr=False)
    _last: float = 0.0

    def take(self, said: Point) -> None:
        """Learn from the next point."""
        self.steps = self.steps if said.steps is None else said.steps
        if said.step is not None:
            self.step, self._last = said.step, said.time
            if self._first is None or said.step < self._first[1]:
                self._first = (said.time, said.step)
        self.loss = next((said.values[name] for name in _LOSSES if name in said.values), self.loss)

    @property
    def left(self) -> float | None:
        """Seconds until the last step, if it goes on as it went; None where nobody can know."""
        if self.step is None or self.steps is None or self._first is None or self.step <= self._first[1]:
            return None
        begun, first = self._first
        return max(0.0, (self._last - begun) * (self.steps - self.step) / (self.step - first))

    def __str__(self) -> str:
        """For people: ``step 120 of 1,000  loss 1.234  12 min left``."""
        parts = []
        if self.step is not None:
            parts.append(f"step {self.step:,}" + (f" of {self.steps:,}" if self.steps is not None else ""))
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4g}")
        if self.left:
            parts.append(f"{duration(self.left)} left")
        return "  ".join(parts)


class KeptReader:
    """Reads the points that were kept of a run, also while they are. `work` is the run's folder.

    With `last`, only of that many bytes at the end of what is there now.
    """

    def __init__(self, work: Path, last: int | None = None) -> None:
        self._path = work / KEPT
        self._at = self._begun = 0 if last is None else max(0, self._size() - last)

    def read(self) -> list[Point]:
        """The next points, of `limits.OUTPUT_BLOCK` bytes at most; none where no more are there yet.

        Raises:
            CannotLook: they cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read(limits.OUTPUT_BLOCK)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise files.cannot_look(error, self._path) from error
        whole = data[: data.rfind(b"\n") + 1]
        first = bool(self._begun) and self._at == self._begun  # the rest of a line
        self._at += len(whole)
        lines = whole.splitlines()[1 if first else 0 :]
        return [said for line in lines if (said := _kept_point(line)) is not None]

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.is_file() else 0


def _kept_point(line: bytes) -> Point | None:
    try:
        numbers = {name: float(value) for name, value in json.loads(line).items()}
    except (ValueError, AttributeError, TypeError):
        return None  # the line at which the supervisor was killed
    return point(numbers, numbers.get("time", 0.0))


def progress(work: Path) -> Progress:
    """How far the run is whose folder is `work`, by the newest that was kept."""
    found = Progress()
    for said in KeptReader(work, limits.METRICS_NEWEST).read():
        found.take(said)
    return found
