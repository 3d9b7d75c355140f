"""safetensors: a JSON header that names byte ranges, then the bytes.

The format cannot run anything. What it can do is hide bytes (between tensors, behind them, in the
header) and mean different things to different readers, so every departure from the specification
is a fact, although the reference implementation refuses most of them: others do not.

Source: safetensors 0.8 ``README.md`` (Format) and ``safetensors/src/tensor.rs`` (``validate``).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import msgspec

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import json_document
from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Fact, Hidden, TwoReadings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader

_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
"""Bits of one element by type, as the reference implementation knows them."""
_SPACE = b" \t\n\r"
"""What JSON lets stand between values."""


class Metadata(Fact, frozen=True, eq=False):
    """One entry of ``__metadata__``: free text that tools show and parse."""

    key: str
    value: str


class _Tensor(msgspec.Struct, frozen=True, eq=False):
    name: str
    begin: int
    end: int


def looks_like(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins with `head` can be a safetensors file.

    The format wants a brace behind the length; the reference implementation lets space stand in front of it.
    """
    if len(head) < 10:
        return False
    (length,) = struct.unpack_from("<Q", head)
    return 2 <= length <= size - 8 and _opens(head[8 : 8 + length])


def _opens(text: bytes) -> bool:
    """Whether a header's first bytes can open an object: with nothing else in sight, perhaps."""
    return text.lstrip(_SPACE)[:1] in (b"{", b"")


def read(reader: Reader) -> Iterator[Fact]:
    """Every fact of a safetensors file.

    Raises:
        NotUnderstood: its header is not one.
    """
    (length,) = struct.unpack("<Q", reader.read(8))
    if length > limits.SAFETENSORS_HEADER:
        raise NotUnderstood(f"its header of {length:,} bytes is over {limits.SAFETENSORS_HEADER:,}")
    raw = reader.read(length)
    tensors: list[_Tensor] = []
    for fact in _read_header(raw):
        if isinstance(fact, _Tensor):
            tensors.append(fact)
        else:
            yield fact
    yield from _read_tensors(reader, sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end)))


def _read_header(raw: bytes) -> Iterator[Fact | _Tensor]:
    document = json_document.parse(raw)
    if raw[:1] != b"{":
        yield TwoReadings("its header does not begin with a brace", 8)
    if raw.rstrip(b" ")[-1:] != b"}":
        yield TwoReadings("its header is not padded with spaces", 8)
    for duplicate in document.duplicates:
        yield TwoReadings(f"its header names {duplicate} twice", 8)
    if not isinstance(document.value, dict):
        raise NotUnderstood("its header is not an object")
    for name, entry in document.value.items():
        if name == "__metadata__":
            yield from _read_metadata(entry)
        elif (tensor := _read_tensor(name, entry)) is not None:
            yield tensor
        else:
            raise NotUnderstood(f"tensor {json_document.shown(name)} is not described as the format says")


def _read_metadata(entry: object) -> Iterator[Fact]:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        yield TwoReadings("its metadata holds more than text", 8)
        return
    for key, value in entry.items():
        yield Metadata(key, value)


def _read_tensor(name: str, entry: object) -> _Tensor | None:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        return None
    shape, offsets = entry["shape"], entry["data_offsets"]
    bits = _BITS.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if bits is None or not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        return None
    begin, end = offsets
    # Bounded before it is multiplied out: a thousand huge factors make a huge number.
    if len(shape) > 64 or end < begin or math.prod(shape) * bits != (end - begin) * 8:
        return None
    return _Tensor(name, begin, end)


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 64 for item in value)


def _read_tensors(reader: Reader, tensors: list[_Tensor]) -> Iterator[Fact]:
    """The tensors' bytes in their order, which must follow each other without gap or overlap."""
    start = reader.offset
    for tensor in tensors:
        name = json_document.shown(tensor.name)
        at = reader.offset - start
        if tensor.end > reader.size - start:
            raise NotUnderstood(f"tensor {name} reaches beyond the end of the file")
        if tensor.begin < at:
            yield TwoReadings(f"tensor {name} overlaps the one before it", start + tensor.begin)
        elif tensor.begin > at:
            yield Hidden("bytes between the tensors", start + at, tensor.begin - at)
            reader.skip(tensor.begin - at)
        part = reader.part(max(0, tensor.end - (reader.offset - start)))
        yield from content_of(part, f"tensor {name}")
        part.drain()
    if reader.remaining:
        yield Hidden("bytes behind the last tensor", reader.offset, reader.drain())
