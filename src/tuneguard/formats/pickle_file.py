"""A file of pickles: one, several stacked, or torch's legacy form, which begins with a magic pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.formats import torch_legacy
from tuneguard.formats.distributed import shard_of
from tuneguard.formats.facts import Fact, Hidden, NotRead
from tuneguard.formats.pickle.facts import Build, Ended, Stacked
from tuneguard.formats.pickle.machine import Machine
from tuneguard.formats.pickle.opcodes import HIGHEST_PROTOCOL
from tuneguard.formats.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(reader: Reader) -> Iterator[Fact]:
    """Every fact of every pickle in the file, and of what stands between and behind them."""
    for number in range(limits.PICKLE_STACKED):
        machine = Machine(reader)
        for fact in machine.run():
            yield fact
            if isinstance(fact, NotRead):
                reader.drain()
                return
            if isinstance(fact, Build) and (shard := shard_of(fact)) is not None:
                yield shard
        if number == 0 and machine.result == torch_legacy.MAGIC:
            yield from torch_legacy.read_behind_magic(reader)
            return
        if not reader.remaining:
            return
        if not begins_pickle(reader.peek(2)):
            yield Hidden("bytes behind the pickle's end", reader.offset, reader.drain())
            return
        yield Stacked(reader.offset)
    yield NotRead(f"it holds over {limits.PICKLE_STACKED:,} pickles", reader.offset)
    reader.drain()


def probe(head: bytes, size: int) -> bool:
    """Whether `size` bytes that begin with `head`, without a mark of a format, do something to an unpickler.

    Text and numbers are full of opcodes: only a stream that calls something, or ends well having
    imported something, counts. So does one that still goes on where `head` ends and the bytes do not: a
    long line of text may be all that stands in front of a call.
    """
    if head[:1] not in _FIRST_OPCODES:
        return False
    imports = False
    try:
        for fact in Machine(_seen_so_far(head, size)).run():
            kind = type(fact).__name__
            if kind in ("Call", "Build", "Fill"):
                return True
            imports = imports or kind in ("Import", "Persistent", "Computed")
            if imports and isinstance(fact, Ended):
                return True
    except _Unseen:
        return True
    return False


class _Unseen(Exception):
    """The stream goes on behind the bytes that were looked at."""


def _seen_so_far(head: bytes, size: int) -> Reader:
    seen = Reader.of_bytes(head)

    def fetch(amount: int) -> bytes:
        if not seen.remaining:
            raise _Unseen
        return seen.take(amount)

    return Reader(fetch, size)


_FIRST_OPCODES = frozenset(
    bytes([code])
    for code in b"(.FIJKLMNSTUVXcPG})]BC\x80\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96\x97"
)
"""What an unpickler can begin with: anything that needs nothing on the stack."""


def begins_pickle(head: bytes) -> bool:
    """Whether bytes begin with PROTO and a protocol that exists."""
    return head[:1] == b"\x80" and head[1:2] <= bytes([HIGHEST_PROTOCOL])
