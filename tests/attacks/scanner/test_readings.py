"""Attacks by files that are two things at once: one to the scanner, another to what loads them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import pytest

from tuneguard.findings import Verdict
from tuneguard.formats import packed
from tuneguard.formats.reader import Reader
from tuneguard.scanner import readings
from tuneguard.scanner.identify import Identified, Kind
from world import pickles as p
from world import tars, zips

if TYPE_CHECKING:
    from pathlib import Path


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


def old_torch(payload: bytes = p.PAYLOAD) -> bytes:
    """torch's oldest form: a tar archive of three members, the last of which is unpickled."""
    nothing = p.stream(p.integer(0))
    return tars.archive({"storages": nothing + p.stream(b"]"), "tensors": nothing, "pickle": payload})


def pickle_and_tar(form: str, payload: bytes = p.PAYLOAD) -> bytes:
    """One pickle of a byte string, which is clean, and whose bytes are a tar archive."""
    tar = old_torch(payload)
    size = 512 - len(b"\x80\x04B....") + len(tar)
    start = b"\x80\x04B" + struct.pack("<I", size)
    return tars.header(start=start, form=form) + tar + p.STOP


def safetensors(header: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


# --- a tar archive, which torch.load tries first ------------------------------------------------------


@pytest.mark.parametrize("form", tars.FIELDS)
def test_attack_a_pickle_that_is_a_tar_archive_as_well(scan, form: str) -> None:
    result = scan("optimizer.pt", pickle_and_tar(form))

    assert "TG-TWO-READINGS" in rules_of(result)
    assert "is a pickle and a tar archive as well" in {finding.message for finding in result.findings}


@pytest.mark.torch
@pytest.mark.parametrize("form", ["octal", "base-256", "the signed sum", "cut at the first NUL"])
def test_torch_runs_the_pickle_inside_of_such_a_file(tmp_path: Path, form: str) -> None:
    # What the attack above is worth: the payload makes an empty file and nothing else.
    import torch

    made = tmp_path / "made"
    payload = p.stream(p.call(p.named("io", "open"), p.text(str(made)), p.text("w")))
    (tmp_path / "optimizer.pt").write_bytes(pickle_and_tar(form, payload))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(tmp_path / "optimizer.pt", weights_only=False)

    assert made.exists()


@pytest.mark.parametrize("form", ["octal", "the signed sum"])
def test_attack_a_safetensors_file_that_is_a_tar_archive_as_well(scan, form: str) -> None:
    # The numbers of a tar header may be spaces, and so may what stands between the values of JSON.
    text = b'{"__metadata__":{"format":"pt"},"a":{"dtype":"U8","data_offsets":[0,0],"shape":[0,'
    text = (text.ljust(140) + b"      1 ,1]}}").ljust(504)
    block = struct.pack("<Q", len(text)) + text
    sums = {"octal": tars.unsigned, "the signed sum": tars.signed}
    block = block[:148] + b"%7o " % sums[form](block) + block[156:]

    result = scan("model.safetensors", block)

    assert "is safetensors and a tar archive as well" in {finding.message for finding in result.findings}


@pytest.mark.parametrize("length", [512, 1024, 10240])
def test_zeros_are_an_archive_without_members(scan, length: int) -> None:
    result = scan("optimizer.pt", bytes(length))

    assert result.verdict is Verdict.NOT_UNDERSTOOD


def test_attack_a_tar_archive_in_a_picture(scan) -> None:
    # A text chunk in front of everything holds the rest of the header.
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 512 - 16 + 4) + b"tEXt"
    block = bytearray(tars.header(start=start))
    chunk = bytes(block[12:]) + b"more"
    data = bytes(block[:12]) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IEND\xaeB`\x82"

    assert "TG-TWO-READINGS" in rules_of(scan("logo.png", data))


def test_attack_a_zip_that_is_a_tar_archive_as_well(scan) -> None:
    name = tars.header(start=b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 482, 0))
    # The name of the first member is the rest of the header.
    member = zips.Member("x", b"")
    data = name[:30] + name[30:] + zips.archive(member)

    assert "TG-TWO-READINGS" in rules_of(scan("model.pt", data))


def test_attack_torchs_legacy_form_that_is_a_tar_archive_as_well(scan) -> None:
    start = p.MAGIC + p.stream(b"M\xe9\x03") + b"\x80\x02}X\x01\0\0\0aB" + struct.pack("<I", 4000)
    data = tars.header(start=start, form="base-256").ljust(len(start) + 4000, b"\0") + b"s."
    data += p.stream(b"N") + p.stream(b"]")

    assert "TG-TWO-READINGS" in rules_of(scan("pytorch_model.bin", data))


def test_attack_json_that_is_a_tar_archive_as_well(scan) -> None:
    block = b'{"a":"x","b":'.ljust(156) + b"}".ljust(356)
    block = block[:148] + b"%7o " % tars.unsigned(block) + block[156:]

    assert json.loads(block)["a"] == "x"
    assert {finding.message for finding in scan("config.json", block).findings} == {
        "is JSON and a tar archive as well"
    }


@pytest.mark.parametrize("name", ["logo.gif", "tokenizer.model", "photo.jpg"])
def test_attack_other_formats_that_begin_like_a_tar_archive(scan, name: str) -> None:
    start = {
        "logo.gif": b"GIF89a\1\0\1\0\0\0\0!\xfe\xff",
        "tokenizer.model": b"\x0a\x05\x0a\x03abc\x22\xff\x7f",
        "photo.jpg": b"\xff\xd8\xff\xfe\x10\0",
    }[name]
    data = tars.header(start=start, form="the signed sum") + bytes(9000)

    assert "TG-TWO-READINGS" in rules_of(scan(name, data))


# --- a zip archive, which many readers find by its end ------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("a.pkl", lambda zipped: p.stream(p.data(zipped)), id="in a pickle's bytes"),
        pytest.param("a.pkl", lambda zipped: p.stream(p.data(zipped + bytes(69_000))), id="far from it"),
        pytest.param(
            "a.safetensors",
            lambda zipped: safetensors(
                b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % ((len(zipped) + 1,) * 2),
                b"\0" + zipped,
            ),
            id="in a tensor",
        ),
        pytest.param(
            "a.png",
            lambda zipped: (
                b"\x89PNG\r\n\x1a\n"
                + struct.pack(">I", len(zipped))
                + b"tEXt"
                + zipped
                + struct.pack(">I", zlib.crc32(b"tEXt" + zipped))
                + b"\0\0\0\0IEND\xaeB`\x82"
            ),
            id="in a picture's text",
        ),
        pytest.param(
            "tokenizer.model",
            lambda zipped: (
                b"\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02\x22"
                + bytes([0x80 | len(zipped) & 0x7F, len(zipped) >> 7])
                + zipped
            ),
            id="in a tokenizer",
        ),
    ],
)
def test_attack_an_archive_that_is_found_by_its_end(scan, name: str, make) -> None:
    result = scan(name, make(zips.archive(zips.Member("archive/data.pkl", p.PAYLOAD, flags=0x0800))))

    assert any(
        finding.rule == "TG-TWO-READINGS" and "a zip archive as well" in finding.message
        for finding in result.findings
    )


def test_attack_an_archive_by_its_end_inside_of_an_archive(scan) -> None:
    inner = p.stream(p.data(zips.archive(zips.Member("m", b"x"))))
    outer = zips.archive(zips.Member("a/inner.pkl", inner), zips.Member("b.txt", b"hello\n"))

    assert "TG-TWO-READINGS" in rules_of(scan("bundle.zip", outer))


# --- a pickle, which needs no mark --------------------------------------------------------------------


def test_attack_a_safetensors_header_that_unpickles(scan) -> None:
    # The length is PROTO and a string over the brace; the metadata are opcodes.
    system = b"U\x05posixU\x06systemq\xc2\x93(U\x04echotR."
    head = b"\x80\x04X"
    text = b'{"__metadata__":{"' + b"a" * 20
    size = int.from_bytes(head + b"%c" % (len(text) + 1) + b"\0\0\0\0", "little")
    text += system + b'":""}}'
    data = head + bytes([len(text) - len(system) - 6 + 1]) + b"\0\0\0\0" + text.replace(b"\x05", b"\x05")
    assert size < 1 << 32

    result = scan("model.safetensors", data.ljust(8 + 300))

    assert result.verdict is not Verdict.PASSED


def test_attack_a_picture_that_unpickles(scan) -> None:
    # GIF89a is a float to an unpickler, and the screen's size after it is what comes next.
    start = b"GIF89a" + b"00" + b"0" + b"cos\nsystem\n(U\x04echotR."
    assert "TG-TWO-READINGS" in rules_of(scan("logo.gif", start + b";"))


def test_attack_a_zip_that_unpickles_where_persistent_ids_are_loaded(scan) -> None:
    # To an unpickler it begins with a persistent id, which ends at the first line end.
    member = zips.Member("a.txt", b"hello\n" + b"cposix\nsystem\n(S'echo'\ntR.", flags=0x0808)

    result = scan("notes.zip", zips.archive(member))

    assert "is a zip archive and a pickle as well" in {finding.message for finding in result.findings}


def test_attack_a_call_behind_a_string_as_long_as_what_is_looked_at(scan) -> None:
    body = p.text("x" * (1 << 21)) + p.POP + p.SYSTEM + p.STOP

    assert "TG-PKL-CALL" in rules_of(scan("notes.txt", body))


# --- packed, which joblib unpacks by itself -----------------------------------------------------------


PACKED = {
    "zlib": zlib.compress(p.PAYLOAD),
    "zlib, stored": zlib.compress(p.PAYLOAD, 0),
    "gzip": gzip.compress(p.PAYLOAD),
    "bzip2": bz2.compress(p.PAYLOAD),
    "xz": lzma.compress(p.PAYLOAD),
    "lzma": lzma.compress(p.PAYLOAD, lzma.FORMAT_ALONE),
    "ZF": b"ZF" + hex(len(p.PAYLOAD)).encode().ljust(19) + zlib.compress(p.PAYLOAD),
    "ZF on old systems": b"ZF" + hex(len(p.PAYLOAD)).encode().ljust(20) + zlib.compress(p.PAYLOAD),
    "a tar archive": gzip.compress(old_torch()),
    "broken behind the payload": zlib.compress(p.PAYLOAD + bytes(1 << 16), 0)[:-30_000],
}


@pytest.mark.parametrize("form", PACKED)
def test_attack_a_packed_pickle_is_found_by_its_first_bytes(scan, form: str) -> None:
    assert packed.looks_like(PACKED[form])
    assert scan("model.joblib", PACKED[form]).verdict is Verdict.NOT_UNDERSTOOD


@pytest.mark.parametrize("form", PACKED)
def test_attack_another_format_that_is_a_packed_pickle_as_well(form: str) -> None:
    known = Identified(Kind.SAFETENSORS, "model.safetensors")

    [fact] = readings.by_head(PACKED[form], Reader.of_bytes(PACKED[form]), known)

    assert fact.what == "is safetensors and packed for a loader as well"


@pytest.mark.parametrize("length", [0x2078, 0x9C78, 0xDA78, 0x5E78, 0x088B1F, 0x5A42, 0x005D])
@pytest.mark.parametrize("first", ["conv.weight", "a", "blocks.0", "lm_head", "model.embed"])
def test_a_header_length_that_begins_like_something_packed_is_clean(scan, length: int, first: str) -> None:
    text = json.dumps({first: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode().ljust(length)

    result = scan("model.safetensors", safetensors(text, struct.pack("<2f", 1, 2)))

    assert result.verdict is Verdict.PASSED


# --- HDF5, which may stand behind a block of anything -------------------------------------------------


@pytest.mark.parametrize("at", [512, 2048, 1 << 21])
def test_attack_hdf5_behind_a_block_of_something_else(scan, at: int) -> None:
    body = bytes(at - 4096 if at > 4096 else 0)
    start = p.proto(4) + b"B" + struct.pack("<I", at - 7 + 8)
    data = (start + body).ljust(at, b"\0") + b"\x89HDF\r\n\x1a\n" + p.STOP

    assert "TG-TWO-READINGS" in rules_of(scan("model.pkl", data))
