"""torch's legacy form: five pickles, then the numbers of each storage, one after the other.

The pickles are a magic number, a protocol version, a description of the writing machine, the object
itself, and the keys of the storages in the order in which their numbers follow.

Source: torch ``serialization.py``, ``_legacy_save`` and ``_legacy_load``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Fact, Hidden, NotRead
from tuneguard.formats.pickle.facts import Call, Ended, Persistent
from tuneguard.formats.pickle.machine import Machine
from tuneguard.formats.pickle.values import Dict, List
from tuneguard.formats.torch_storage import Storage, StorageMismatch, storage_of, tensor_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def read_behind_magic(reader: Reader) -> Iterator[Fact]:
    """The facts of a legacy file of which the first pickle, the magic number, has been read."""
    storages: dict[str, Storage] = {}
    results: list[object] = []
    for number in range(2, 6):
        machine = Machine(reader, keep_lists=number == 5)
        for fact in machine.run():
            if isinstance(fact, NotRead):
                yield fact
                reader.drain()
                return
            if isinstance(fact, Persistent) and (storage := storage_of(fact, legacy=True)):
                yield from _remember(storages, storage)
            elif not isinstance(fact, Ended):
                if isinstance(fact, Call) and (fault := tensor_fault(fact)):
                    yield fault
                yield fact
        results.append(machine.result)
    if results[0] != PROTOCOL or type(results[1]) is not Dict:
        yield NotRead("the pickles behind torch's magic number are not what torch writes")
    yield from _storages(reader, results[3], storages)


def _remember(storages: dict[str, Storage], storage: Storage) -> Iterator[Fact]:
    known = storages.setdefault(storage.key, storage)
    if known.item_size != storage.item_size or known.count != storage.count:
        yield StorageMismatch(f"storage {storage.key} is asked for in two forms", storage.offset)


def _storages(reader: Reader, keys: object, storages: dict[str, Storage]) -> Iterator[Fact]:
    if not isinstance(keys, List) or keys.items is None:
        yield NotRead("torch's list of storages is not a list", reader.offset)
        reader.drain()
        return
    for key in keys.items:
        storage = storages.pop(key, None) if type(key) is str else None
        if storage is None:
            yield StorageMismatch("a storage is listed that no tensor asks for", reader.offset)
            break
        offset = reader.offset
        (count,) = struct.unpack("<q", reader.read(8))
        if count != storage.count:
            yield StorageMismatch(
                f"storage {key} holds {count:,} numbers where its tensors say {storage.count:,}", offset
            )
            break
        part = reader.part(storage.size)
        yield from content_of(part, f"storage {key}")
        part.drain()
    else:
        if storages:
            yield StorageMismatch(f"{len(storages):,} storages are asked for and not there", reader.offset)
    if reader.remaining:
        yield Hidden("bytes behind the last storage", reader.offset, reader.drain())
