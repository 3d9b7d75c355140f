"""Protocol buffers, walked and never decoded: the fields of a message, whose bytes must end where it ends.

Source: protobuf encoding (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.errors import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types. Groups, the other two, are in no schema that is read here."""


def fields(data: bytes, at: int, end: int, what: str) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, begin, end) of each field of the message in `data` from `at` to `end`.

    Raises:
        NotUnderstood: the bytes are no fields; `what` says what they belong to.
    """
    while at < end:
        tag, at = varint(data, at, end, what)
        kind = tag & 7
        begin = at
        if kind == VARINT:
            _, at = varint(data, at, end, what)
        elif kind == BYTES:
            length, begin = varint(data, at, end, what)
            at = begin + length
        elif kind in (FIXED32, FIXED64):
            at += 4 if kind == FIXED32 else 8
        else:
            raise NotUnderstood(f"is {what} with a broken field")
        if at > end:
            raise NotUnderstood(f"is {what} that is cut short")
        yield tag >> 3, kind, begin, at


def varint(data: bytes, at: int, end: int, what: str) -> tuple[int, int]:
    """The number at `at`, and where it ends.

    Raises:
        NotUnderstood: it does not end before `end`, or is none.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise NotUnderstood(f"is {what} that is cut short")
