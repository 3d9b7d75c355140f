"""A checkpoint of ``torch.distributed.checkpoint``: archives of torch in a row, and an index of them.

``FileSystemWriter`` writes each tensor and each other value with ``torch.save``, one behind the other into
``__RANK_NUMBER.distcp``. The index, ``.metadata``, is a pickle that names for each value the file, and where
in it the archive begins and how long it is. A reader opens just these bytes, so an index could make it
open others: what the index names is compared with the archives that are there (``scanner/parts.py``).

Source: torch ``distributed/checkpoint/filesystem.py``, ``_StorageInfo``, ``_write_item`` and ``read_data``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.formats.facts import Fact
from tuneguard.formats.pickle.values import Dict, Made

if TYPE_CHECKING:
    from tuneguard.formats.pickle.facts import Build

PACKAGE = "torch.distributed.checkpoint."
"""Where the classes are that the index is made of."""
SHARD = f"{PACKAGE}filesystem._StorageInfo"
_KEYS = ["relative_path", "offset", "length"]


class Archives(Fact, frozen=True, eq=False):
    """The archives of torch that a file consists of, one behind the other: where each begins, its length."""

    places: tuple[tuple[int, int], ...]


class Shard(Fact, frozen=True, eq=False):
    """An index names bytes to open: `length` bytes from `start` of the file `path`.

    ``path`` is None where the pickle states this in another form than torch writes.
    """

    path: str | None
    start: int
    length: int
    offset: int


def shard_of(fact: Build) -> Shard | None:
    """What the object names whose state is set: a `_StorageInfo`, or what would serve the reader as one."""
    target, state = fact.target, fact.state
    exact = isinstance(target, Made) and target.source is not None and target.source.path == SHARD
    keys = state.keys if isinstance(state, Dict) else None
    if not exact and not any(type(key) is str and key in _KEYS[:1] for key in keys or ()):
        return None
    values = state.values if isinstance(state, Dict) and exact and keys == _KEYS else None
    if values is not None and tuple(map(type, values)) == (str, int, int):
        path, start, length = values
        return Shard(str(path), int(str(start)), int(str(length)), fact.offset)
    return Shard(None, 0, 0, fact.offset)
