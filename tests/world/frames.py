"""TensorBoard's event files and W&B's run files, built by hand: protocol buffers in frames with checksums."""

from __future__ import annotations

import struct
import zlib


def field(number: int, value: bytes | float) -> bytes:
    """One field of a message: bytes, a number, or a 32-bit float."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    """A number in groups of seven bits."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def crc32c(data: bytes) -> int:
    """By the definition, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def event(*parts: bytes) -> bytes:
    """A record with an event at step 1."""
    return record(b"\x09" + struct.pack("<d", 1.8e9) + field(2, 1) + b"".join(parts))


def value(tag: bytes, *parts: bytes) -> bytes:
    """An event with one value."""
    return event(field(5, field(1, field(1, tag) + b"".join(parts))))


VERSION = event(field(3, b"brain.Event:2"))
"""The first record of a file."""


def run(*records: bytes) -> bytes:
    """A W&B run's file."""
    data = bytearray(b":W&B\xe1\xbe\x00")
    for each in records:
        rest, first = each, True
        while first or rest:
            left = 32768 - len(data) % 32768
            if left < 7:
                data += bytes(left)
                left = 32768
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = bytes([(1 if first else 4) if not rest else (2 if first else 3)])
            data += struct.pack("<IH", zlib.crc32(kind + piece), len(piece)) + kind + piece
            first = False
    return bytes(data)
