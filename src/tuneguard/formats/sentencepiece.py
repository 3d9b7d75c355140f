"""SentencePiece models (``tokenizer.model``): a protocol buffer of pieces and settings.

Walked, not decoded: every byte must belong to a field of the schema, so that nothing else hides there.

Source: sentencepiece ``src/sentencepiece_model.proto`` (ModelProto), protobuf encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import protobuf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.facts import Fact
    from tuneguard.formats.reader import Reader

_VARINT, _BYTES, _FIXED32 = protobuf.VARINT, protobuf.BYTES, protobuf.FIXED32
_WHAT = "a tokenizer model"

_PIECE = {1: _BYTES, 2: _FIXED32, 3: _VARINT}
_NORMALIZER = {1: _BYTES, 2: _BYTES, 3: _VARINT, 4: _VARINT, 5: _VARINT, 6: _BYTES}
_SELF_TEST = {1: _BYTES}
_TRAINER = (
    dict.fromkeys([1, 2, 5, 7, 30, 31, 36, 44, 45, 46, 47, 48, 53, 54], _BYTES)
    | dict.fromkeys([3, 4, 6, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26], _VARINT)
    | dict.fromkeys([32, 33, 34, 35, 40, 41, 42, 43, 49, 50, 52, 55], _VARINT)
    | dict.fromkeys([10, 15, 51, 56], _FIXED32)
)
_MODEL = {1: _PIECE, 2: _TRAINER, 3: _NORMALIZER, 4: None, 5: _NORMALIZER}


def looks_like(head: bytes) -> bool:
    """Whether a file begins like a model: its first field is a short piece that begins with its text."""
    return len(head) > 8 and head[0] == 0x0A and 2 < head[1] < 0x80 and head[2] == 0x0A


def read(reader: Reader) -> Iterator[Fact]:
    """Walks a model. It holds no facts beyond being one.

    Raises:
        NotUnderstood: a byte does not belong to the schema.
    """
    if reader.size > limits.SCAN_TOKENIZER_BYTES:
        raise NotUnderstood(f"is a tokenizer model of over {limits.SCAN_TOKENIZER_BYTES:,} bytes")
    data = reader.read(reader.remaining)
    for number, kind, begin, end in protobuf.fields(data, 0, len(data), _WHAT):
        if number not in _MODEL or kind != _BYTES:
            raise NotUnderstood(f"is {_WHAT} with the unknown field {number}")
        schema = _MODEL[number]
        if schema is not None:
            _check(data, begin, end, schema)
    yield from ()


def _check(data: bytes, begin: int, end: int, schema: dict[int, int]) -> None:
    for number, kind, _, _ in protobuf.fields(data, begin, end, _WHAT):
        if schema.get(number) != kind:
            raise NotUnderstood(f"is {_WHAT} with the unknown field {number} at byte {begin:,}")
