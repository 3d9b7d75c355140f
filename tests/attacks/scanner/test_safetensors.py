"""Attacks by safetensors: hidden bytes and headers that readers take differently."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from tuneguard.findings import Verdict
from world import pickles as p
from world.zips import torch_zip


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


def tensor(begin: int, end: int, **changes: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]} | changes


def file(header: dict[str, Any] | bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


PLAIN = {"__metadata__": {"format": "pt"}, "a": tensor(0, 4), "b": tensor(4, 8, dtype="F32", shape=[1])}


def test_a_plain_file_passes(scan) -> None:
    result = scan("model.safetensors", file(PLAIN, b"\0" * 8))

    assert result.verdict is Verdict.PASSED
    assert result.understood == 1


def test_a_header_padded_with_spaces_passes(scan) -> None:
    raw = json.dumps(PLAIN).encode() + b"   "

    assert scan("model.safetensors", file(raw, b"\0" * 8)).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("header", "body", "rule"),
    [
        pytest.param({"a": tensor(0, 4), "b": tensor(6, 8)}, b"\0" * 8, "TG-HIDDEN", id="a gap"),
        pytest.param({"a": tensor(2, 8)}, b"\0" * 8, "TG-HIDDEN", id="a gap in front"),
        pytest.param({"a": tensor(0, 4)}, b"\0" * 8, "TG-HIDDEN", id="a trailer"),
        pytest.param({"a": tensor(0, 4), "b": tensor(2, 8)}, b"\0" * 8, "TG-TWO-READINGS", id="an overlap"),
        pytest.param(
            {"a": tensor(0, 8), "b": tensor(0, 8)}, b"\0" * 8, "TG-TWO-READINGS", id="two names for bytes"
        ),
        pytest.param(
            b'{"a":%b,"a":%b}' % ((json.dumps(tensor(0, 8)).encode(),) * 2),
            b"\0" * 8,
            "TG-TWO-READINGS",
            id="a name twice",
        ),
        pytest.param({"__metadata__": {"a": 1}}, b"", "TG-TWO-READINGS", id="metadata that is no text"),
        pytest.param(
            {"__metadata__": {"a": "<script>alert(1)</script>"}},
            b"",
            "TG-SAFETENSORS-METADATA",
            id="a script",
        ),
        pytest.param(
            {"__metadata__": {"t": "{{ ''.__class__ }}"}}, b"", "TG-SAFETENSORS-METADATA", id="a template"
        ),
        pytest.param({"a": tensor(0, 64)}, b"\x7fELF" + b"\0" * 60, "TG-PROGRAM", id="a program in a tensor"),
        pytest.param({"a": tensor(0, len(p.PAYLOAD))}, p.PAYLOAD, "TG-PKL-CALL", id="a pickle in a tensor"),
    ],
)
def test_what_hides_or_reads_two_ways_is_refused(scan, header: Any, body: bytes, rule: str) -> None:
    assert rule in rules_of(scan("model.safetensors", file(header, body)))


@pytest.mark.parametrize(
    ("header", "body"),
    [
        pytest.param({"a": tensor(0, 16)}, b"\0" * 8, id="beyond the end"),
        pytest.param({"a": tensor(0, 8, shape=[9])}, b"\0" * 8, id="a shape that does not fit"),
        pytest.param({"a": tensor(0, 8, shape=[2**63, 2**63, 0])}, b"\0" * 8, id="a shape that overflows"),
        pytest.param({"a": tensor(0, 8, dtype="X9")}, b"\0" * 8, id="an unknown type"),
        pytest.param({"a": tensor(0, 8, note="x")}, b"\0" * 8, id="an unknown key"),
        pytest.param({"a": tensor(0, 8, data_offsets=[8, 0])}, b"\0" * 8, id="offsets that go backwards"),
        pytest.param(
            {"a": tensor(0, 8, data_offsets=[True, 8])}, b"\0" * 8, id="an offset that is no number"
        ),
        pytest.param({"a": tensor(0, 8, shape=[1] * 1000)}, b"\0" * 8, id="a thousand dimensions"),
        pytest.param(b'{"a":' * 100000, b"", id="a header nested deep"),
        pytest.param(b"{" + b"\xff" * 20, b"", id="a header that is not UTF-8"),
    ],
)
def test_a_header_that_no_reader_takes_is_not_understood(scan, header: Any, body: bytes) -> None:
    assert scan("model.safetensors", file(header, body)).verdict is Verdict.NOT_UNDERSTOOD


def test_a_header_longer_than_the_file_is_refused(scan) -> None:
    assert scan("model.safetensors", file(PLAIN, length=1 << 40)).verdict is not Verdict.PASSED


def test_a_header_over_the_bound_is_not_read(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.SAFETENSORS_HEADER", 10)

    assert "over 10" in scan("model.safetensors", file(PLAIN, b"\0" * 8)).skipped[0].reason


def test_an_archive_behind_the_tensors_is_refused(scan) -> None:
    assert "TG-HIDDEN" in rules_of(scan("m.safetensors", file(PLAIN, b"\0" * 8 + torch_zip(p.PAYLOAD))))


def test_safetensors_under_a_name_for_which_torch_unpickles_is_refused(scan) -> None:
    assert rules_of(scan("pytorch_model.bin", file(PLAIN, b"\0" * 8))) == {"TG-NAME"}


def test_a_pointer_to_large_file_storage_is_not_the_model(scan) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"

    result = scan("model.safetensors", pointer)

    assert result.verdict is not Verdict.PASSED
