"""The reader: each byte passes once, in order, whatever a format peeks at, gives back or skips."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.errors import ChangedWhileRead, NotUnderstood
from tuneguard.formats.reader import Reader, Truncated

if TYPE_CHECKING:
    from pathlib import Path

STEPS = st.lists(
    st.tuples(st.sampled_from(["peek", "read", "take", "skip", "unread", "part"]), st.integers(0, 9))
)


@given(st.binary(max_size=60), STEPS, st.integers(1, 7))
def test_every_byte_is_watched_once_and_in_order(
    data: bytes, steps: list[tuple[str, int]], chunk: int
) -> None:
    watched = bytearray()
    position = 0

    def fetch(amount: int) -> bytes:
        nonlocal position
        piece = data[position : position + min(amount, chunk)]
        position += len(piece)
        return piece

    reader = Reader(fetch, len(data), watch=watched.extend)
    at = 0
    for step, amount in steps:
        at = _step(reader, data, at, step, amount)
        assert reader.offset == at
    reader.drain()

    assert bytes(watched) == data


def _step(reader: Reader, data: bytes, at: int, step: str, amount: int) -> int:
    """Do one thing and say where the reader must stand then."""
    if step == "peek":
        assert reader.peek(amount) == data[at : at + amount]
        return at
    if step == "take":
        taken = reader.take(amount)
        assert taken == data[at : at + len(taken)]
        return at + len(taken)
    if step == "unread":
        back = data[max(0, at - amount) : at]
        reader.unread(back)
        return at - len(back)
    if amount > len(data) - at:
        with pytest.raises(Truncated):
            getattr(reader, step)(amount)
        return at
    if step == "skip":
        reader.skip(amount)
    elif step == "part":
        part = reader.part(amount)
        assert part.read(amount // 2) == data[at : at + amount // 2]
        part.drain()
    else:
        assert reader.read(amount) == data[at : at + amount]
    return at + amount


def test_bytes_appended_meanwhile_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = Reader.of_descriptor(descriptor, 4, name="file")

        assert reader.peek(10) == b"0123"
        assert reader.drain() == 4
    finally:
        os.close(descriptor)


def test_a_file_cut_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(ChangedWhileRead):
            Reader.of_descriptor(descriptor, 10, name="file").read(10)
    finally:
        os.close(descriptor)


def test_a_part_cannot_be_looked_into_out_of_order() -> None:
    part = Reader.of_bytes(b"abcdef").part(3)

    assert not part.can_look
    with pytest.raises(NotUnderstood):
        part.look(0, 1)


def test_a_length_beyond_the_file_is_refused_before_anything_is_held() -> None:
    with pytest.raises(Truncated, match="1,099,511,627,776 more bytes are announced, 4 are there"):
        Reader.of_bytes(b"0123").read(1 << 40)
