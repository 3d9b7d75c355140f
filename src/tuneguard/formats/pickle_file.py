"""A file of pickles: one, several stacked, or torch's legacy form, which begins with a magic pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.formats import torch_legacy
from tuneguard.formats.facts import Fact, Hidden, NotRead, TwoReadings
from tuneguard.formats.pickle.facts import Ended, Stacked
from tuneguard.formats.pickle.machine import Machine
from tuneguard.formats.pickle.opcodes import HIGHEST_PROTOCOL
from tuneguard.formats.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(reader: Reader) -> Iterator[Fact]:
    """Every fact of every pickle in the file, and of what stands between and behind them."""
    if _is_tar(reader.peek(512)):
        # torch tries its oldest form, a tar archive, before it tries a pickle.
        yield TwoReadings("is a pickle and a tar archive as well", 0)
    for number in range(limits.PICKLE_STACKED):
        machine = Machine(reader)
        for fact in machine.run():
            yield fact
            if isinstance(fact, NotRead):
                reader.drain()
                return
        if number == 0 and machine.result == torch_legacy.MAGIC:
            yield from torch_legacy.read_behind_magic(reader)
            return
        if not reader.remaining:
            return
        if not _begins_pickle(reader.peek(2)):
            yield Hidden("bytes behind the pickle's end", reader.offset, reader.drain())
            return
        yield Stacked(reader.offset)
    yield NotRead(f"it holds over {limits.PICKLE_STACKED:,} pickles", reader.offset)
    reader.drain()


def probe(head: bytes, *, more: bool = False) -> bool:
    """Whether bytes without any mark of a format do something to an unpickler that is given them.

    Text and numbers are full of opcodes: only a stream that calls something, or ends well having
    imported something, counts. So does one that is still going on at the end of `head` where there
    is `more` of it: a long line of text may be all that stands in front of a call.
    """
    if head[:1] not in _FIRST_OPCODES:
        return False
    imports = calls = False
    machine = Machine(Reader.of_bytes(head))
    for fact in machine.run():
        kind = type(fact).__name__
        imports = imports or kind in ("Import", "Persistent", "Computed")
        calls = calls or kind in ("Call", "Build", "Fill")
        if calls or (imports and isinstance(fact, Ended)):
            return True
    return more and machine.starved


_FIRST_OPCODES = frozenset(
    bytes([code])
    for code in b"(.FIJKLMNSTUVXcPG})]BC\x80\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96"
)
"""What an unpickler can begin with: anything that needs nothing on the stack."""


def _begins_pickle(head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] <= bytes([HIGHEST_PROTOCOL])


def _is_tar(block: bytes) -> bool:
    """Whether a block's checksum is that of a tar header (POSIX.1-1988 ustar, and the older v7)."""
    if len(block) < 512:
        return False
    text = block[148:156].strip(b" \0")
    try:
        stated = int(text, 8)
    except ValueError:
        return False
    return stated == sum(block[:148]) + 8 * 0x20 + sum(block[156:512])
