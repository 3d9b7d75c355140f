"""GGUF, the format of llama.cpp: settings by key, a table of tensors, then their bytes.

The format cannot run anything. A chat template among its settings can, and is judged as any other. Every byte
is accounted for: between and behind the tensors stands nothing but the zeros that align them.

Source: ggml ``docs/gguf.md`` and ``src/gguf.cpp``; gguf-py 0.19 ``constants.py`` (``GGML_QUANT_SIZES``).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import msgspec

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.formats import jinja
from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Fact, Hidden, Inside, NotRead, TwoReadings
from tuneguard.formats.json_document import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader

MARK = b"GGUF"
"""How a file begins."""

_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type."""
_U32, _STRING, _ARRAY = 4, 8, 9
_ALIGNMENT = "general.alignment"
_TEMPLATE = "chat_template"

_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Numbers of a block and its bytes, by the type of a tensor."""
_DIMENSIONS = 4


class _Tensor(msgspec.Struct, frozen=True, eq=False):
    name: str
    begin: int
    size: int


def read(reader: Reader) -> Iterator[Fact]:
    """Every fact of a GGUF file.

    Raises:
        NotUnderstood: its header is not one, or tensors reach beyond its end.
    """
    yield from _File(reader).read()


class _File:
    """One file on its way from the header to the last tensor."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._alignment = 32
        self._items = 0

    def read(self) -> Iterator[Fact]:
        self._reader.read(len(MARK))
        version, tensors, settings = struct.unpack("<IQQ", self._reader.read(20))
        if version not in (2, 3):
            raise NotUnderstood(f"is GGUF of version {version:,}, or for a big-endian machine")
        if max(tensors, settings) > limits.GGUF_ENTRIES:
            raise NotUnderstood(f"is GGUF of over {limits.GGUF_ENTRIES:,} settings or tensors")
        yield from self._settings(settings)
        yield from self._tensors(tensors)

    # --- settings ---------------------------------------------------------------------------------------

    def _settings(self, count: int) -> Iterator[Fact]:
        seen: set[str] = set()
        for _ in range(count):
            key = self._text(limits.GGUF_NAME)
            if key in seen:
                yield TwoReadings(f"the setting {shown(key)} comes twice", self._reader.offset)
            seen.add(key)
            (kind,) = struct.unpack("<I", self._reader.read(4))
            yield from self._setting(key, kind)

    def _setting(self, key: str, kind: int) -> Iterator[Fact]:
        if _TEMPLATE in key and kind == _STRING:
            template = self._text(4 * limits.TEMPLATE_CHARACTERS)
            yield Inside(printable(key))
            yield from jinja.read_template(template)
            yield Inside(None)
        elif key == _ALIGNMENT:
            if kind != _U32:
                raise NotUnderstood("is GGUF with an alignment that is no number of 32 bits")
            (self._alignment,) = struct.unpack("<I", self._reader.read(4))
            if self._alignment & (self._alignment - 1) or not 1 <= self._alignment <= limits.GGUF_ALIGNMENT:
                raise NotUnderstood(f"is GGUF with an alignment of {self._alignment:,}")
        elif kind == _ARRAY:
            item, count = struct.unpack("<IQ", self._reader.read(12))
            self._array(item, count)
            if _TEMPLATE in key and item == _STRING and not key.endswith("chat_templates"):
                yield NotRead(f"its chat template {shown(key)} is no text")
        else:
            self._skip(kind)

    def _array(self, kind: int, count: int) -> None:
        if kind in _WIDTHS:
            self._reader.skip(count * _WIDTHS[kind])
            return
        self._items += count
        if self._items > limits.GGUF_ITEMS:
            raise NotUnderstood(f"is GGUF with over {limits.GGUF_ITEMS:,} texts in its settings")
        for _ in range(count):
            if kind != _STRING:
                raise NotUnderstood(f"is GGUF with a list of the unknown type {kind:,}")
            self._skip(kind)

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            (length,) = struct.unpack("<Q", self._reader.read(8))
            self._reader.skip(length)
        elif kind in _WIDTHS:
            self._reader.skip(_WIDTHS[kind])
        else:
            raise NotUnderstood(f"is GGUF with a setting of the unknown type {kind:,}")

    def _text(self, limit: int) -> str:
        (length,) = struct.unpack("<Q", self._reader.read(8))
        if length > limit:
            raise NotUnderstood(f"is GGUF with a text of {length:,} bytes where at most {limit:,} are read")
        try:
            return self._reader.read(length).decode("utf-8")
        except UnicodeDecodeError:
            raise NotUnderstood("is GGUF with a text that is not UTF-8") from None

    # --- tensors ----------------------------------------------------------------------------------------

    def _tensors(self, count: int) -> Iterator[Fact]:
        tensors: list[_Tensor] = []
        names: set[str] = set()
        for _ in range(count):
            tensor = self._tensor()
            if tensor.name in names:
                yield TwoReadings(f"the tensor {shown(tensor.name)} comes twice", self._reader.offset)
            names.add(tensor.name)
            tensors.append(tensor)
        yield from self._padding("the header")
        start = self._reader.offset
        for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.size)):
            name = shown(tensor.name)
            at = self._reader.offset - start
            if tensor.begin + tensor.size > self._reader.size - start:
                raise NotUnderstood(f"tensor {name} reaches beyond the end of the file")
            if tensor.begin < at:
                yield TwoReadings(f"tensor {name} overlaps the one before it", start + tensor.begin)
                continue
            if tensor.begin > at:
                yield Hidden("bytes between the tensors", self._reader.offset, tensor.begin - at)
                self._reader.skip(tensor.begin - at)
            part = self._reader.part(tensor.size)
            yield from content_of(part, f"tensor {name}")
            part.drain()
            yield from self._padding(f"tensor {name}")
        if self._reader.remaining:
            yield Hidden("bytes behind the last tensor", self._reader.offset, self._reader.drain())

    def _tensor(self) -> _Tensor:
        name = self._text(limits.GGUF_NAME)
        (dimensions,) = struct.unpack("<I", self._reader.read(4))
        if dimensions > _DIMENSIONS:
            raise NotUnderstood(f"tensor {shown(name)} has {dimensions:,} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", self._reader.read(8 * dimensions))
        kind, begin = struct.unpack("<IQ", self._reader.read(12))
        if kind not in _BLOCKS:
            raise NotUnderstood(f"tensor {shown(name)} is of the unknown type {kind:,}")
        block, width = _BLOCKS[kind]
        if (shape[0] if shape else 1) % block or begin % self._alignment:
            raise NotUnderstood(f"tensor {shown(name)} is not described as the format says")
        return _Tensor(name, begin, math.prod(shape) // block * width)

    def _padding(self, behind: str) -> Iterator[Fact]:
        """The zeros up to the next aligned byte, as many as are there."""
        at = self._reader.offset
        padding = self._reader.read(min(-at % self._alignment, self._reader.remaining))
        if padding.strip(b"\0"):
            yield Hidden(f"bytes behind {behind} where zeros belong", at, len(padding))
