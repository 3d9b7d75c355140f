"""TensorBoard's event files: records in a frame with checksums, each a protocol buffer of what was measured.

Numbers, texts, pictures, sound and histograms are let through, and pictures are looked at. A graph is code of
TensorFlow's, and so are tensors of resources and variants.

Source: TensorFlow ``lib/io/record_writer.h`` (the frame); TensorBoard ``compat/proto/event.proto``,
``summary.proto``, ``tensor.proto``.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import image, protobuf
from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Content, Fact
from tuneguard.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT
from tuneguard.formats.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHAT = "an event file"
_HELP = "leave it out of the checkpoint: nothing needs it to serve"
_HEADER = 12
"""Bytes in front of a record: its length, and the length's checksum."""

_EVENT = {1: FIXED64, 2: VARINT, **dict.fromkeys((3, 5, 6, 7, 8, 10), BYTES)}
_EVENT_CODE = {4: "a graph", 9: "a graph"}
_SUMMARY = 5
_VALUE = {1: BYTES, 2: FIXED32, **dict.fromkeys((3, 4, 5, 6, 7, 8, 9), BYTES)}
_IMAGE, _AUDIO, _TENSOR = 4, 6, 8
_ENCODED = 4
"""The field of an image and of a sound that holds its bytes."""
_TENSOR_CODE = {14: "a resource", 15: "an object of TensorFlow's"}
_TENSOR_BYTES = (4, 8)
"""The fields of a tensor that hold bytes as they are."""


def looks_like(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes begins with a record: the checksum of its length is right."""
    if len(head) < _HEADER:
        return False
    length, check = struct.unpack_from("<QI", head)
    return bool(length <= size - _HEADER - 4 and _masked(head[:8]) == check)


def read(reader: Reader) -> Iterator[Fact]:
    """Every record of an event file.

    Raises:
        NotUnderstood: a record is cut short, has a wrong checksum, or holds what is no measurement.
    """
    if reader.size > limits.SCAN_EVENTS_BYTES:
        raise NotUnderstood(f"is {_WHAT} of over {limits.SCAN_EVENTS_BYTES:,} bytes")
    for number in range(limits.SCAN_EVENTS):
        if not reader.remaining:
            return
        header = reader.read(_HEADER)
        length, check = struct.unpack("<QI", header)
        if _masked(header[:8]) != check:
            raise NotUnderstood(f"is {_WHAT} whose record {number:,} has no length that can be right")
        data = reader.read(length)
        if _masked(data) != struct.unpack("<I", reader.read(4))[0]:
            raise NotUnderstood(f"is {_WHAT} whose record {number:,} has a wrong checksum")
        yield from _event(data, number)
    if reader.remaining:
        raise NotUnderstood(f"is {_WHAT} of over {limits.SCAN_EVENTS:,} records")


def _event(data: bytes, record: int) -> Iterator[Fact]:
    for number, kind, begin, end in protobuf.fields(data, 0, len(data), _WHAT):
        _check(number, kind, _EVENT, _EVENT_CODE)
        if number == _SUMMARY:
            for each, wire, start, stop in protobuf.fields(data, begin, end, _WHAT):
                _check(each, wire, {1: BYTES})
                yield from _value(data, start, stop, record)


def _value(data: bytes, begin: int, end: int, record: int) -> Iterator[Fact]:
    for number, kind, start, stop in protobuf.fields(data, begin, end, _WHAT):
        _check(number, kind, _VALUE)
        if number in (_IMAGE, _AUDIO):
            for each, wire, first, last in protobuf.fields(data, start, stop, _WHAT):
                if each == _ENCODED and wire == BYTES and first < last:
                    content = Reader.of_bytes(data[first:last])
                    if number == _IMAGE:
                        yield Content(f"image of record {record}{_ending(content)}", content)
                    else:
                        yield from content_of(content, f"sound of record {record}")
        elif number == _TENSOR:
            for each, wire, first, last in protobuf.fields(data, start, stop, _WHAT):
                _check(each, wire, None, _TENSOR_CODE)
                if each in _TENSOR_BYTES and wire == BYTES:
                    yield from content_of(Reader.of_bytes(data[first:last]), f"tensor of record {record}")


def _ending(content: Reader) -> str:
    """The end of name that an image has by its first bytes: TensorFlow writes PNG, JPEG and GIF."""
    head = content.peek(4)
    return ".gif" if head == b"GIF8" else ".jpg" if head.startswith(image.JPEG) else ".png"


def _check(number: int, kind: int, schema: dict[int, int] | None, code: dict[int, str] | None = None) -> None:
    if code is not None and number in code:
        raise NotUnderstood(f"is {_WHAT} that holds {code[number]}, which is code: {_HELP}")
    if schema is not None and schema.get(number) != kind:
        raise NotUnderstood(f"is {_WHAT} with the unknown field {number}: {_HELP}")


# --- CRC-32C, as TFRecord masks it ------------------------------------------------------------------------


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The checksum by Castagnoli's polynomial (RFC 3720, appendix B.4), eight bytes at a step."""
    one, (first, second, third, fourth) = _tables()
    whole = len(data) & ~7
    crc = 0xFFFFFFFF
    for a, b, c, d in struct.iter_unpack("<4H", data[:whole]):
        crc = fourth[crc & 0xFFFF ^ a] ^ third[crc >> 16 ^ b] ^ second[c] ^ first[d]
    for byte in data[whole:]:
        crc = one[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def _tables() -> tuple[list[int], list[list[int]]]:
    """What one byte makes of a checksum; and what two make, with no, two, four and six zeros behind."""
    one = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        one.append(crc)
    two = [one[(one[value & 0xFF] ^ value >> 8) & 0xFF] ^ one[value & 0xFF] >> 8 for value in range(1 << 16)]
    tables = [two]
    for _ in range(3):
        tables.append([two[value & 0xFFFF] ^ value >> 16 for value in tables[-1]])
    return one, tables
