"""Pictures, as far as to know that nothing else hides in the file: PNG, JPEG, GIF and WebP.

The pictures themselves are not decoded. Each format is a list of blocks with an end mark; what
matters is that the blocks follow each other to the end mark and that nothing stands behind it.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats.facts import Fact, Hidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_MARK = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
"""A JPEG's mark that is not part of entropy-coded bytes."""


def read(reader: Reader) -> Iterator[Fact]:
    """Whatever picture it is.

    Raises:
        NotUnderstood: it is cut short, broken, or too large.
    """
    if reader.size > limits.SCAN_PICTURE_BYTES:
        raise NotUnderstood(f"is a picture of over {limits.SCAN_PICTURE_BYTES:,} bytes")
    head = reader.peek(len(PNG))
    for start, read_kind in ((PNG, _read_png), (JPEG, _read_jpeg), (b"GIF8", _read_gif)):
        if head.startswith(start):
            return read_kind(reader)
    return _read_webp(reader)


def _read_png(reader: Reader) -> Iterator[Fact]:
    """A PNG's chunks, each with its CRC (PNG third edition, section 5)."""
    reader.read(len(PNG))
    for _ in _blocks():
        length, kind = struct.unpack(">I4s", reader.read(8))
        if not kind.isalpha():
            raise NotUnderstood("is a PNG picture with a broken chunk")
        data = reader.read(length)
        if struct.unpack(">I", reader.read(4))[0] != zlib.crc32(kind + data):
            raise NotUnderstood("is a PNG picture with a wrong checksum")
        if kind == b"IEND":
            break
    yield from _behind(reader)


def _read_jpeg(reader: Reader) -> Iterator[Fact]:
    """A JPEG's segments up to its end mark (ITU T.81, annex B)."""
    reader.read(2)
    for _ in _blocks():
        mark = reader.read(2)
        if mark[:1] != b"\xff" or mark[1:] in (b"\x00", b"\xff"):
            raise NotUnderstood("is a JPEG picture with a broken segment")
        if mark == b"\xff\xd9":
            break
        if b"\xff\xd0" <= mark <= b"\xff\xd8" or mark == b"\xff\x01":
            continue
        (length,) = struct.unpack(">H", reader.read(2))
        reader.skip(max(length, 2) - 2)
        if mark == b"\xff\xda":
            _skip_scan(reader)
    yield from _behind(reader)


def _skip_scan(reader: Reader) -> None:
    """Entropy-coded bytes, up to the next mark that is not part of them."""
    while True:
        ahead = reader.peek(1 << 16)
        mark = _MARK.search(ahead)
        if mark is not None:
            reader.skip(mark.start())
            return
        if len(ahead) < 2:
            raise NotUnderstood("is a JPEG picture without an end")
        reader.skip(len(ahead) - 1)


def _read_gif(reader: Reader) -> Iterator[Fact]:
    """A GIF's blocks up to its trailer (GIF89a, section 17 onwards)."""
    _skip_colours(reader, reader.read(13)[10])
    blocks = _blocks()
    while (kind := reader.read(1)) != b";":
        if kind == b"!":
            reader.read(1)
        elif kind == b",":
            _skip_colours(reader, reader.read(9)[8])
            reader.read(1)
        else:
            raise NotUnderstood("is a GIF picture with a broken block")
        for _ in blocks:
            length = reader.read(1)[0]
            if length == 0:
                break
            reader.skip(length)
    yield from _behind(reader)


def _blocks() -> Iterator[None]:
    """One step for each block that may be walked.

    Raises:
        NotUnderstood: there are more.
    """
    for _ in range(limits.SCAN_PICTURE_BLOCKS):
        yield
    raise NotUnderstood(f"is a picture of over {limits.SCAN_PICTURE_BLOCKS:,} blocks")


def _skip_colours(reader: Reader, flags: int) -> None:
    if flags & 0x80:
        reader.skip(3 << ((flags & 7) + 1))


def _read_webp(reader: Reader) -> Iterator[Fact]:
    """A WebP's one RIFF chunk."""
    (length,) = struct.unpack("<4xI4x", reader.read(12))
    reader.skip(length + length % 2 - 4)
    yield from _behind(reader)


def _behind(reader: Reader) -> Iterator[Fact]:
    if reader.remaining:
        yield Hidden("bytes behind the picture", reader.offset, reader.drain())
