"""TensorBoard event files: as PyTorch's ``SummaryWriter`` writes them, and as a stranger does."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.formats.event_file import Scalar, length_of_first, read
from world.events import framed, scalar, varint

WRITTEN = bytes.fromhex(
    "4800000000000000fe92489d09dd5f2a7f74c2da411a0d627261696e2e4576656e743a32522e0a2c74656e736f72626f6172642e73"
    "756d6d6172792e7772697465722e6576656e745f66696c655f777269746572b680c2cd200000000000000029eda95009000000c026"
    "4ada4110072a130a110a0a747261696e2f6c6f7373150000003f01d6cf5c1800000000000000a37f4b2209000000c0264ada411008"
    "2a0b0a090a026c721517b75138abbe26c2"
)
"""What tensorboard 2.21 writes: ``train/loss`` 0.5 at step 7, ``lr`` 5e-05 at step 8."""


def test_what_tensorboard_writes() -> None:
    found, end = read(WRITTEN)

    assert [(each.step, each.tag, round(each.value, 6)) for each in found] == [
        (7, "train/loss", 0.5),
        (8, "lr", 5e-05),
    ]
    assert end == len(WRITTEN)


def test_a_record_that_is_not_whole_yet_waits() -> None:
    whole = framed(scalar(1, "loss", 2.0))

    for cut in range(len(whole)):
        assert read(whole + whole[:cut]) == ([Scalar(1, "loss", 2.0)], len(whole))
    assert length_of_first(whole) == len(whole)
    assert length_of_first(whole[:11]) is None


@pytest.mark.parametrize(
    "event",
    [
        b"\xff" * 20,
        b"\x2a\x7f\x00",
        b"\x2b\x00",
        b"\x2a\x03\x0a\x7f\x00",
        b"\x2a\x05\x0a\x03\x0a\x7f\x00",
        b"\x15\x00",
        varint(5 << 3) + b"\x01",
        b"",
    ],
)
def test_what_is_no_event_is_passed_over(event: bytes) -> None:
    assert read(framed(event) + framed(scalar(3, "loss", 1.0)))[0] == [Scalar(3, "loss", 1.0)]


def test_a_length_beyond_everything_ends_it() -> None:
    data = struct.pack("<Q", (1 << 64) - 1) + bytes(100)

    assert read(data) == ([], 0)
    assert length_of_first(data) == (1 << 64) + 15


@given(st.binary(max_size=200))
def test_attack_no_bytes_break_it(data: bytes) -> None:
    _, end = read(framed(data) + data)

    assert len(framed(data)) <= end <= len(framed(data)) + len(data)
