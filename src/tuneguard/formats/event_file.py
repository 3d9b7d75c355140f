"""The scalars of a TensorBoard event file that still grows; `formats.tensorboard` judges one that is whole.

PyTorch's ``SummaryWriter.add_scalar`` writes each as a ``simple_value``. Anything else is passed over. The
checksums are not compared: the writer of the file computes them.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tuneguard.errors import NotUnderstood
from tuneguard.formats import protobuf
from tuneguard.formats.protobuf import BYTES, FIXED32, VARINT

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER, _FOOTER = 12, 4
_WHAT = "an event"
_STEP, _SUMMARY, _VALUE, _TAG, _SIMPLE_VALUE = (2, VARINT), (5, BYTES), (1, BYTES), (1, BYTES), (2, FIXED32)


class Scalar(NamedTuple):
    """One number under a tag, at a step."""

    step: int
    tag: str
    value: float


def read(data: bytes) -> tuple[list[Scalar], int]:
    """The scalars in the whole records that `data` begins with, and where the next record begins.

    A record that is no event is passed over.

        >>> event = b"\\x10\\x07\\x2a\\x0d\\x0a\\x0b\\x0a\\x04loss\\x15\\x00\\x00\\x00\\x3f"
        >>> framed = struct.pack("<Q", len(event)) + bytes(4) + event + bytes(4)
        >>> read(framed + framed[:5])
        ([Scalar(step=7, tag='loss', value=0.5)], 33)
    """
    found: list[Scalar] = []
    at = 0
    while (length := length_of_first(data[at : at + _HEADER])) is not None and at + length <= len(data):
        with suppress(NotUnderstood):
            found += _scalars(data[at + _HEADER : at + length - _FOOTER])
        at += length
    return found, at


def length_of_first(data: bytes) -> int | None:
    """How many bytes the first record takes with its frame; None where `data` does not hold its length."""
    if len(data) < _HEADER:
        return None
    return int(struct.unpack_from("<Q", data)[0]) + _HEADER + _FOOTER


def _scalars(event: bytes) -> Iterator[Scalar]:
    step = 0
    for field, begin, end in _fields(event, 0, len(event)):
        if field == _STEP:
            step, _ = protobuf.varint(event, begin, end, _WHAT)
        elif field == _SUMMARY:
            for each, first, last in _fields(event, begin, end):
                if each == _VALUE:
                    yield from _scalar(step, event, first, last)


def _scalar(step: int, event: bytes, begin: int, end: int) -> Iterator[Scalar]:
    tag, value = None, None
    for field, first, last in _fields(event, begin, end):
        if field == _TAG:
            tag = event[first:last].decode("utf-8", "replace")
        elif field == _SIMPLE_VALUE:
            (value,) = struct.unpack_from("<f", event, first)
    if tag is not None and value is not None:
        yield Scalar(step, tag, value)


def _fields(event: bytes, begin: int, end: int) -> Iterator[tuple[tuple[int, int], int, int]]:
    for number, kind, first, last in protobuf.fields(event, begin, end, _WHAT):
        yield (number, kind), first, last
