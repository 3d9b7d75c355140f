"""``run.json`` in a run's folder of the project's state: what is known of the run, for people.

It is written when the training starts, when it is dead, and when its checkpoint is signed. Nothing passes
because of it: what counts is the signed provenance.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from tuneguard import files, limits
from tuneguard.errors import TuneguardError
from tuneguard.records import read_json, to_json
from tuneguard.typed import read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "run.json"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ``run.json`` says that is shown again: ``exit`` and ``signal`` are how the training ended.

    ``stopped`` is who stopped it, where it did not end by itself; ``kind`` and ``tree`` are there once it
    is signed.
    """

    run: str
    model: str = ""
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    exit: int | None = None
    signal: int | None = None
    stopped: str | None = None
    kind: str | None = msgspec.field(name="class", default=None)
    tree: str | None = None


def write(work: Path, record: Record, more: Mapping[str, Any] | None = None) -> None:
    """Write a run's record, and `more` beside it; where that fails, the run goes on without."""
    values = {**msgspec.to_builtins(record), **(more or {})}
    with suppress(TuneguardError):
        files.write_replacing(work / FILE, to_json(values) + b"\n", mode=0o600)


def record_of(work: Path) -> Record | None:
    """The record of the run whose folder is `work`; None where there is none, or none that is understood."""
    try:
        return read(read_json(files.read_bounded(work / FILE, limits.RECORD_BYTES), FILE), Record, FILE)
    except TuneguardError:
        return None
