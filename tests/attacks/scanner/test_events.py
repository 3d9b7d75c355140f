"""Attacks by what training measured: TensorBoard's event files and W&B's run files."""

from __future__ import annotations

import struct

import pytest

from tuneguard import limits
from tuneguard.findings import Verdict
from tuneguard.formats import tensorboard
from world import frames
from world import pickles as p
from world.frames import VERSION, event, field, record, run, value
from world.scans import nearly, verdict

NAME = "runs/events.out.tfevents.1795804771.host.1.0"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IEND\xaeB`\x82"
SCALAR = value(b"loss", field(2, 0.5))
TEXT = value(
    b"t", field(9, field(1, field(1, b"text"))), field(8, field(1, 7) + field(2, b"") + field(8, b"hello"))
)
IMAGE = value(b"i", field(4, field(1, 8) + field(2, 8) + field(3, 3) + field(4, PNG)))
HISTOGRAM = value(b"h", field(5, field(6, struct.pack("<2d", 1, 2))))
AUDIO = value(b"a", field(6, field(4, b"RIFF....WAVE") + field(5, b"audio/wav")))


def test_what_is_measured_passes(scan) -> None:
    data = VERSION + SCALAR + TEXT + IMAGE + HISTOGRAM + AUDIO + event(field(7, field(1, 1)))

    assert scan(NAME, data).verdict is Verdict.PASSED


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert tensorboard.crc32c(b"123456789") == 0xE3069283  # RFC 3720, and every catalogue of checksums
    assert tensorboard.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    for length in range(20):
        data = bytes(range(200, 200 + length))
        assert tensorboard.crc32c(data) == frames.crc32c(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (event(field(4, b"graph")), "a graph, which is code"),
        (event(field(9, b"meta graph")), "a graph, which is code"),
        (value(b"x", field(8, field(14, b"handle"))), "a resource, which is code"),
        (value(b"x", field(8, field(15, b"variant"))), "an object of TensorFlow's, which is code"),
        (event(field(11, b"new")), "the unknown field 11"),
        (event(field(5, field(2, b"x"))), "the unknown field 2"),
        (value(b"x", field(10, b"new")), "the unknown field 10"),
        (record(b"an example of a data set"), ""),
        (record(b"\x0b"), ""),
    ],
)
def test_attack_an_event_that_is_no_measurement(scan, data: bytes, said: str) -> None:
    result = scan(NAME, VERSION + data)

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert said in result.skipped[0].reason


def test_attack_an_image_that_is_something_else(scan) -> None:
    for payload in (p.PAYLOAD, b"\x7fELF\x02\x01\x01" + bytes(60), b"<svg onload=x>"):
        data = VERSION + value(b"i", field(4, field(4, payload)))

        assert scan(NAME, data).verdict is not Verdict.PASSED


@pytest.mark.parametrize("number", [4, 8])
def test_attack_a_payload_in_a_tensor(scan, number: int) -> None:
    result = scan(NAME, VERSION + value(b"x", field(8, field(number, p.PAYLOAD))))

    assert result.verdict is Verdict.REFUSED
    assert "TG-PKL-CALL" in {finding.rule for finding in result.findings}


@pytest.mark.parametrize(
    "data",
    [
        SCALAR[:-1],
        SCALAR[:-1] + b"\0",
        SCALAR[:20] + b"\xff" + SCALAR[21:],
        SCALAR + b"\0",
        SCALAR + b"\0" * 12,
        SCALAR + struct.pack("<Q", 1 << 60) + bytes(8),
    ],
)
def test_an_event_file_that_is_damaged_is_not_understood(scan, data: bytes) -> None:
    assert scan(NAME, VERSION + data).verdict is Verdict.NOT_UNDERSTOOD


def test_more_records_than_are_read_are_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCAN_EVENTS", 3)

    assert verdict(NAME, SCALAR * 3) is Verdict.PASSED
    assert verdict(NAME, SCALAR * 4) is Verdict.NOT_UNDERSTOOD
    assert verdict("run-1.wandb", run(*[HISTORY] * 3)) is Verdict.PASSED
    assert verdict("run-1.wandb", run(*[HISTORY] * 4)) is Verdict.NOT_UNDERSTOOD


# --- W&B -----------------------------------------------------------------------------------------------

HISTORY = field(1, 1) + field(2, field(1, field(1, b"loss") + field(16, b"0.5")))
OUTPUT = field(1, 2) + field(13, field(3, b"step " * 20_000))


def files(*parts: bytes) -> bytes:
    return field(1, 3) + field(6, field(1, b"".join(parts)))


def test_a_run_passes_also_where_a_record_takes_several_blocks(scan) -> None:
    data = run(HISTORY, OUTPUT, files(field(1, b"media/a.png"), field(2, 1)), HISTORY, field(18, b""))

    assert len(data) > 3 * 32768
    assert scan("run-1.wandb", data).verdict is Verdict.PASSED


def test_a_record_may_end_just_before_a_block_does(scan) -> None:
    for left in range(9):
        filler = 32768 - 7 - 7 - left
        head = field(13, b"x" * (filler - 4))
        data = run(head, HISTORY)

        assert scan("run-1.wandb", data).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    "record",
    [
        files(field(1, b"/etc/passwd")),
        files(field(1, b"../../.ssh/id_rsa")),
        files(field(1, b"a"), field(16, b"/etc/passwd")),
        files(field(1, b"C:\\x")),
        field(8, field(12, field(4, field(6, b"/etc/passwd")))),
        field(9, field(1, b"/home")),
        field(24, b""),
        field(25, b""),
        field(100, field(12, b"")),
        field(31, b""),
    ],
    ids=["absolute", "outside", "external", "drive", "artifact", "folder", "link", "use", "request", "new"],
)
def test_attack_a_run_that_has_whoever_uploads_it_upload_other_files(scan, record: bytes) -> None:
    result = scan("run-1.wandb", run(HISTORY, record))

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "upload" in result.skipped[0].reason
    assert "leave it out of the checkpoint" in result.skipped[0].reason


@pytest.mark.parametrize(
    "data",
    [
        run(),
        run(HISTORY)[:-1],
        run(HISTORY) + b"\0",
        run(HISTORY)[:-1] + b"\0",
        run(OUTPUT)[: 32768 * 2],
        run(HISTORY)[:13] + b"\x02" + run(HISTORY)[14:],
    ],
)
def test_a_run_that_is_damaged_is_not_understood(scan, data: bytes) -> None:
    assert scan("run-1.wandb", data).verdict is Verdict.NOT_UNDERSTOOD


def test_no_damage_to_a_frame_goes_unnoticed() -> None:
    whole = {NAME: VERSION + SCALAR + TEXT, "run-1.wandb": run(HISTORY, files(field(1, b"a")), HISTORY)}
    for name, data in whole.items():
        assert verdict(name, data) is Verdict.PASSED
        for changed in nearly([data], 1_000, seed=12):
            if verdict(name, changed) is Verdict.PASSED:
                assert changed == data
