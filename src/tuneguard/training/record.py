"""``run.json`` in a run's folder of the project's state: what is known of the run, for people.

It is written when the training starts, when it is dead, and when its checkpoint is signed. Nothing passes
because of it: what counts is the signed provenance.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from tuneguard import files, limits
from tuneguard.artifact import workdir
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


def is_free(work: Path) -> bool:
    """Whether no process holds the run whose folder is `work`: it is over, or was killed."""
    with workdir.left_behind(work) as free:
        return free


def state_of(work: Path) -> str:
    """preparing, running, signed, stopped, failed, unsigned, refused, killed or ended."""
    free = is_free(work)  # before the record is read: a run that ends now has written it
    record = record_of(work) or Record(run=work.name)
    if record.tree is not None:
        return "signed"
    if not free:
        return "preparing" if record.started is None else "running"
    if record.stopped is not None:
        return "stopped"
    if record.finished is None:
        return "killed" if record.started is not None else "refused"
    if record.exit is None and record.signal is None:
        return "ended"  # an earlier version recorded no more
    return "unsigned" if record.exit == 0 else "failed"
