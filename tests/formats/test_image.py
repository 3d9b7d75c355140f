"""Pictures: what ends where it should, and what hides behind the end."""

from __future__ import annotations

import struct
import zlib

import pytest

from tuneguard.errors import NotUnderstood
from tuneguard.formats import image
from tuneguard.formats.facts import Hidden
from tuneguard.formats.reader import Reader


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = image.PNG + chunk(b"IHDR", b"\0" * 13) + chunk(b"IDAT", b"x") + chunk(b"IEND")
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xda\0\x02" + b"scan\xff\x00data\xff\xd0more" + b"\xff\xd9"
GIF = b"GIF89a" + b"\1\0\1\0\x80\0\0" + b"\0" * 6 + b"!\xf9\x01a\0" + b"," + b"\0" * 9 + b"\x02\x01a\0" + b";"
WEBP = b"RIFF" + struct.pack("<I", 12) + b"WEBP" + b"VP8 data"
PICTURES = [PNG, JPEG, GIF, WEBP]


@pytest.mark.parametrize("data", PICTURES, ids=["png", "jpeg", "gif", "webp"])
def test_a_plain_picture_holds_nothing_else(data: bytes) -> None:
    reader = Reader.of_bytes(data)

    assert list(image.read(reader)) == []
    assert reader.remaining == 0


@pytest.mark.parametrize("data", PICTURES, ids=["png", "jpeg", "gif", "webp"])
def test_bytes_behind_the_end_are_told(data: bytes) -> None:
    [fact] = image.read(Reader.of_bytes(data + b"PK\x03\x04hidden"))

    assert isinstance(fact, Hidden)
    assert (fact.offset, fact.size) == (len(data), 10)


@pytest.mark.parametrize("data", PICTURES, ids=["png", "jpeg", "gif", "webp"])
def test_a_picture_cut_anywhere_is_not_understood(data: bytes) -> None:
    for length in range(4, len(data)):
        with pytest.raises(NotUnderstood):
            list(image.read(Reader.of_bytes(data[:length])))


def test_a_png_with_a_wrong_checksum_is_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="checksum"):
        list(image.read(Reader.of_bytes(PNG.replace(b"IDATx", b"IDATy"))))


def test_a_huge_picture_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.SCAN_PICTURE_BYTES", 10)

    with pytest.raises(NotUnderstood, match="over 10 bytes"):
        list(image.read(Reader.of_bytes(PNG)))


@pytest.mark.parametrize(
    "data",
    [
        image.PNG + chunk(b"teXt") * 20 + chunk(b"IEND"),
        b"\xff\xd8" + b"\xff\xfe\0\2" * 20 + b"\xff\xd9",
        b"\xff\xd8" + b"\xff\xda\0\2" * 20 + b"\xff\xd9",
        b"GIF89a" + b"\0" * 7 + b"!\xfe" + b"\1a" * 20 + b"\0;",
        b"GIF89a" + b"\0" * 7 + b"!\xfe\0" * 20 + b";",
    ],
    ids=["PNG", "JPEG segments", "JPEG scans", "GIF parts", "GIF blocks"],
)
def test_attack_a_picture_of_so_many_blocks_that_the_walk_does_not_end(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    assert list(image.read(Reader.of_bytes(data))) == []
    monkeypatch.setattr("tuneguard.limits.SCAN_PICTURE_BLOCKS", 10)

    with pytest.raises(NotUnderstood, match="over 10 blocks"):
        list(image.read(Reader.of_bytes(data)))
