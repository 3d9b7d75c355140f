"""TensorBoard event files, byte by byte."""

from __future__ import annotations

import struct


def framed(event: bytes) -> bytes:
    """An event as a record. Its check sums are zero: nobody compares them."""
    return struct.pack("<Q", len(event)) + bytes(4) + event + bytes(4)


def scalar(step: int, tag: str, value: float) -> bytes:
    """An event with one number."""
    entry = b"\x0a" + varint(len(tag.encode())) + tag.encode() + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + varint(len(entry)) + entry
    return b"\x10" + varint(step) + b"\x2a" + varint(len(summary)) + summary


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    said = b""
    while number > 0x7F:
        said += bytes([number & 0x7F | 0x80])
        number >>= 7
    return said + bytes([number])
