"""The file of a W&B run (``run-*.wandb``): records in the frame of LevelDB's log, each a protocol buffer.

What was measured and said is let through. ``wandb sync`` reads such a file where somebody calls it, and
uploads the files and folders that some of its records name; those are not let through.

Source: wandb ``sdk/internal/datastore.py``, ``proto/wandb_internal.proto`` (Record, FilesItem).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import protobuf
from tuneguard.formats.protobuf import BYTES, VARINT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.facts import Fact
    from tuneguard.formats.reader import Reader

MARK = b":W&B\xe1\xbe\x00"
"""How such a file begins."""

_WHAT = "the file of a W&B run"
_HELP = "leave it out of the checkpoint: nothing needs it to serve"
_BLOCK = 32 * 1024
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4

_SAID = {1: VARINT, **dict.fromkeys((2, 3, 4, 5, 7, 10, 11, 12, 13, 16, 17, 18, 19), BYTES)} | dict.fromkeys(
    (20, 21, 22, 23, 26, 27, 200), BYTES
)
"""The fields of a record that say something: measurements, output, settings, the run, its end."""
_FILES = 6


def read(reader: Reader) -> Iterator[Fact]:
    """A run's file holds no facts; this reads it through.

    Raises:
        NotUnderstood: it is broken or too large, or makes its uploader upload other files.
    """
    if reader.size > limits.SCAN_EVENTS_BYTES:
        raise NotUnderstood(f"is {_WHAT} of over {limits.SCAN_EVENTS_BYTES:,} bytes")
    reader.read(len(MARK))
    if not reader.remaining:
        raise NotUnderstood(f"is {_WHAT} without a record")
    for _ in range(limits.SCAN_EVENTS):
        if not reader.remaining:
            break
        _record(_whole(reader))
    if reader.remaining:
        raise NotUnderstood(f"is {_WHAT} of over {limits.SCAN_EVENTS:,} records")
    yield from ()


def _whole(reader: Reader) -> bytes:
    """The next record, put together from its pieces."""
    kind, data = _piece(reader)
    pieces = [data]
    if kind == _FIRST:
        while kind != _LAST:
            kind, data = _piece(reader)
            pieces.append(data)
            if kind not in (_MIDDLE, _LAST):
                raise NotUnderstood(f"is {_WHAT} with a record that does not end")
    elif kind != _FULL:
        raise NotUnderstood(f"is {_WHAT} with a record that does not begin")
    return b"".join(pieces)


def _piece(reader: Reader) -> tuple[int, bytes]:
    left = _BLOCK - reader.offset % _BLOCK
    if left < _HEADER.size and reader.read(left) != bytes(left):
        raise NotUnderstood(f"is {_WHAT} with bytes between its blocks")
    check, length, kind = _HEADER.unpack(reader.read(_HEADER.size))
    data = reader.read(length)
    if zlib.crc32(data, zlib.crc32(bytes([kind]))) != check:
        raise NotUnderstood(f"is {_WHAT} with a wrong checksum")
    return kind, data


def _record(data: bytes) -> None:
    for number, kind, begin, end in protobuf.fields(data, 0, len(data), _WHAT):
        if number == _FILES and kind == BYTES:
            _files(data, begin, end)
        elif _SAID.get(number) != kind:
            raise NotUnderstood(f"is {_WHAT}, and names what to upload (field {number}): {_HELP}")


def _files(data: bytes, begin: int, end: int) -> None:
    """Files of the run's own folder, by plain names."""
    for number, kind, start, stop in protobuf.fields(data, begin, end, _WHAT):
        if (number, kind) != (1, BYTES):
            continue
        for each, wire, first, last in protobuf.fields(data, start, stop, _WHAT):
            name = data[first:last]
            plain = not name.startswith((b"/", b"\\")) and b".." not in name and b":" not in name
            if (each == 1 and not plain) or (each not in (1, 2, 3)) or (each == 1) != (wire == BYTES):
                raise NotUnderstood(f"is {_WHAT}, and names a file elsewhere to upload: {_HELP}")
