"""SentencePiece models: every byte belongs to a field of the schema, or the file is not understood."""

from __future__ import annotations

import struct

import pytest

from tuneguard.errors import NotUnderstood
from tuneguard.formats import sentencepiece
from tuneguard.formats.reader import Reader


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 0x80
    return bytes([number << 3 | 2, len(data)]) + data


def piece(text: bytes) -> bytes:
    return field(1, field(1, text) + b"\x15" + struct.pack("<f", -1.5) + b"\x18\x01")


MODEL = (
    piece(b"<unk>") + piece(b"a") + field(2, field(2, b"m") + b"\x18\x02") + field(3, field(1, b"nmt_nfkc"))
)


def test_a_model_is_walked_to_its_end() -> None:
    reader = Reader.of_bytes(MODEL)

    assert sentencepiece.looks_like(MODEL)
    assert list(sentencepiece.read(reader)) == []
    assert reader.remaining == 0


@pytest.mark.parametrize(
    "data",
    [
        MODEL[:-1],
        MODEL + b"\0",
        MODEL + field(9, b"hidden"),
        MODEL + b"\x0a\xff\xff\xff\xff\x7f",
        field(1, b"\x0b"),
    ],
    ids=["cut", "a trailer", "an unknown field", "a length beyond the end", "a broken piece"],
)
def test_anything_else_is_not_understood(data: bytes) -> None:
    with pytest.raises(NotUnderstood):
        list(sentencepiece.read(Reader.of_bytes(data)))
