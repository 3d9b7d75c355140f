"""Our answer to "is it one of these?" against that of the loaders, on files that are nearly one.

Whatever a loader takes, the scanner must take as well, or refuse. The other way round it may be wider.
Every loader here only recognises, or has its hands tied: nothing is imported or called.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import resource
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.findings import Verdict
from tuneguard.formats import pickle_file, safetensors, tar
from tuneguard.formats import zip as zipped
from tuneguard.formats.reader import TAIL
from tuneguard.scanner.identify import Kind, identify
from world import pickles as p
from world import tars, zips
from world.scans import nearly, taken, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator


# --- tar: torch's first question about everything that is no zip -----------------------------------------


def _opens_as_tar(data: bytes) -> bool:
    return taken(lambda: tarfile.open(fileobj=io.BytesIO(data), mode="r:"), tarfile.ReadError)


def _tar_seeds() -> list[bytes]:
    kinds = (b"0", b"\0", b"5", b"L", b"K", b"S", b"x", b"g", b"X", b"1", b"~")
    blocks = [tars.header(600, kind=kind, form=form) for kind in kinds for form in tars.FIELDS]
    pickles = [tars.header(start=b"\x80\x04B\xff\xff\0\0", form=form) for form in tars.FIELDS]
    longs = [tars.header(1 << 30, kind=kind) for kind in (b"L", b"x", b"g")]
    behind = [tars.header() + bytes(1024), b"20 GNU.sparse.map=x\n".ljust(512, b"\0") + tars.header()]
    return [block + end for block in blocks + pickles + longs for end in behind] + [
        bytes(512),
        bytes(1024),
        b"",
    ]


def test_whatever_tarfile_opens_is_tar_to_us() -> None:
    opened = 0
    for data in nearly(_tar_seeds(), 6_000, seed=1, reach=520):
        for block in (data, tars.with_checksum(data[:512].ljust(512, b"\0"), "base-256") + data[512:]):
            if _opens_as_tar(block):
                opened += 1
                assert tar.looks_like(block), block[:512]

    assert opened > 1_000


@pytest.mark.parametrize("number", range(0, 256, 5))
def test_every_checksum_field_that_tarfile_takes_is_taken(number: int) -> None:
    # One byte of the field in every place: spaces, signs, letters, NULs.
    block = bytearray(tars.header())
    for at in range(148, 156):
        changed = block[:at] + bytes([number]) + block[at + 1 :]
        assert tar.looks_like(bytes(changed)) >= _opens_as_tar(bytes(changed) + bytes(1024))


def test_no_file_of_a_kind_that_we_read_is_clean_where_tarfile_opens_it() -> None:
    numbers = random.Random(2)
    for _ in range(200):
        start = b"\x80\x04B" + struct.pack("<I", 505 + 1024)
        start += numbers.randbytes(numbers.randint(0, 60))
        form = numbers.choice(list(tars.FIELDS))
        data = tars.header(start=start, form=form) + bytes(1024) + p.STOP
        if _opens_as_tar(data):
            assert verdict("optimizer.pt", data) is not Verdict.PASSED


# --- zip: by the first bytes, or by the end ------------------------------------------------------------


def _zip_seeds() -> list[bytes]:
    inner = zips.archive(zips.Member("a/data.pkl", b"N."))
    return [
        inner,
        b"junk" + inner,
        p.stream(p.data(inner)),
        inner + b"junk" * 100,
        inner + bytes(65_535),
        b"\0" * 30 + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0),
    ]


def test_whatever_zipfile_takes_is_a_zip_to_us() -> None:
    found = 0
    for data in nearly(_zip_seeds(), 3_000, seed=3):
        if taken_as_zip(data):
            found += 1
            assert data.startswith(b"PK") or zipped.found_at_end(data[-TAIL:], len(data)) is not None

    assert found > 1_000


def taken_as_zip(data: bytes) -> bool:
    try:
        return zipfile.is_zipfile(io.BytesIO(data))
    except Exception:  # noqa: BLE001 (a loader that stumbles has not refused)
        return True


@pytest.mark.torch
def test_whatever_torchs_reader_opens_is_a_zip_to_us() -> None:
    import torch

    seeds = [zips.torch_zip(), b"\x80\x04B" + zips.torch_zip(), zips.torch_zip() + bytes(68_000)]
    for data in nearly(seeds, 800, seed=4):
        if taken(lambda data=data: torch._C.PyTorchFileReader(io.BytesIO(data)), RuntimeError):
            assert data.startswith(b"PK") or zipped.found_at_end(data[-TAIL:], len(data)) is not None


@pytest.mark.torch
def test_torchs_question_for_a_zip_is_ours() -> None:
    from torch.serialization import _is_zipfile

    for data in nearly([zips.torch_zip(), b"PK\x03\x04", b"PK\x05\x06"], 500, seed=5, reach=6):
        if _is_zipfile(io.BytesIO(data)):
            assert identify(data, len(data), "m.pt").kind is Kind.ZIP


# --- pickle: by its first opcodes -----------------------------------------------------------------------


class _Called(Exception):
    """An unpickler called what it had asked for."""


class _Dummy:
    def __new__(cls, *_: Any, **__: Any) -> Any:
        raise _Called


class _Tied:
    def find_class(self, module: str, name: str) -> Any:
        return _Dummy

    def persistent_load(self, pid: Any) -> Any:
        return pid


class _InC(_Tied, pickle.Unpickler):
    pass


class _InPython(_Tied, pickle._Unpickler):
    pass


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """A gibibyte more at most: the unpickler in C makes a memo of twice the largest index that it is told."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _calls_something(data: bytes) -> bool:
    for unpickler in (_InC, _InPython):
        try:
            with _bounded_memory():
                unpickler(io.BytesIO(data)).load()
        except _Called:
            return True
        except Exception:  # noqa: BLE001 (a loader that stumbles has not refused)
            continue
    return False


NAMES = (
    "a.txt",
    "a.yaml",
    "a.toml",
    "a.log",
    "a.html",
    "a.npy",
    "a.gguf",
    "events.out.tfevents.1.h",
    "a.json",
    "a.jinja",
    "a.safetensors",
    "a.gif",
    "a.png",
    "tokenizer.model",
    "LICENSE",
    "a.pkl",
)


@pytest.mark.parametrize("first", range(256))
def test_no_first_opcode_hides_a_call(first: int) -> None:
    # Behind each first byte stand enough bytes for whatever argument it takes.
    for filler in (
        b"",
        b"\0",
        b"1\n",
        b"'x'\n",
        b"\x01\0\0\0x",
        b"\x01x",
        b"x\ny\n",
        b"\x01\0\0\0\0\0\0\0x",
        b"\0" * 8,
    ):
        for call in (p.SYSTEM, p.MARK + b"iposix\nsystem\n"):
            data = bytes([first]) + filler + call + p.STOP
            if _calls_something(data):
                for name in NAMES:
                    assert verdict(name, data) is not Verdict.PASSED, (name, data)


def test_no_pickle_with_a_few_other_bytes_is_clean_where_it_calls_something() -> None:
    seeds = [
        p.PAYLOAD,
        p.stream(p.SYSTEM, version=None),
        b"GIF89a\0\0\0" + p.SYSTEM + p.STOP,
        p.MAGIC + p.stream(b"M\xe9\x03") + p.stream(b"}") + p.PAYLOAD + p.stream(b"]"),
        b"S'" + b"text " * 20 + b"'\n" + p.SYSTEM + p.STOP,
    ]
    for data in nearly(seeds, 1_500, seed=6):
        if _calls_something(data):
            for name in ("a.txt", "a.gif", "a.safetensors", "a.pt"):
                assert verdict(name, data) is not Verdict.PASSED, (name, data)


@pytest.mark.parametrize("protocol", [6, 7, 0x7F, 0x80, 0xFF])
def test_a_protocol_that_does_not_exist_is_never_clean(protocol: int) -> None:
    # pickle refuses it; torch's own unpickler warns and goes on.
    data = bytes([0x80, protocol]) + p.BENIGN[2:]

    assert not pickle_file.begins_pickle(data)
    assert verdict("a.pt", data) is not Verdict.PASSED


@pytest.mark.parametrize(
    "magic",
    [
        b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little"),
        b"\x8a\x10" + (0x1950A86A20F9469CFC6C).to_bytes(16, "little"),
        b"\x8b\x0a\0\0\0" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little"),
        b"\x8b\0\x10\0\0" + (0x1950A86A20F9469CFC6C).to_bytes(4096, "little"),
        b"L%dL\n" % 0x1950A86A20F9469CFC6C,
        b"I%d\n" % 0x1950A86A20F9469CFC6C,
        b"I+%d\n" % 0x1950A86A20F9469CFC6C,
        b"L 0_0%d\n" % 0x1950A86A20F9469CFC6C,
        b"N0I%d\n" % 0x1950A86A20F9469CFC6C,
    ],
)
def test_torchs_magic_number_by_another_opcode_hides_no_call(magic: bytes) -> None:
    data = magic + p.STOP + p.stream(b"M\xe9\x03") + p.stream(b"}") + p.PAYLOAD + p.stream(b"]")

    assert verdict("a.pt", data) is not Verdict.PASSED


# --- safetensors and JSON -------------------------------------------------------------------------------


def _safetensors_seeds() -> list[bytes]:
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    files = []
    for text in (
        json.dumps({"a": entry}),
        json.dumps({"a": entry}, indent=1),
        " " + json.dumps({"a": entry}),
        "{}",
    ):
        raw = text.encode()
        files.append(struct.pack("<Q", len(raw)) + raw + (b"" if text == "{}" else b"\0" * 4))
    return files


@pytest.mark.torch
def test_whatever_safetensors_takes_is_safetensors_to_us() -> None:
    from safetensors import SafetensorError, deserialize

    read = 0
    for data in nearly(_safetensors_seeds(), 4_000, seed=7):
        if taken(lambda data=data: deserialize(data), SafetensorError):
            read += 1
            assert safetensors.looks_like(data[:1000], len(data)), data

    assert read > 300


def test_a_header_that_begins_with_a_space_is_safetensors_to_us_and_not_clean() -> None:
    # The format forbids it, and its own reader takes it.
    data = _safetensors_seeds()[2]

    assert identify(data, len(data), "m.safetensors").kind is Kind.SAFETENSORS
    assert verdict("m.safetensors", data) is Verdict.REFUSED


DANGEROUS = {"auto_map": {"AutoModel": "m.M"}, "x": [1.5, None, "é"]}
JSON_SEEDS = [
    json.dumps(DANGEROUS, ensure_ascii=False, indent=indent).encode(encoding)
    for indent in (None, 1)
    for encoding in (
        "utf-8",
        "utf-8-sig",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-32-le",
        "utf-32-be",
    )
] + [b'{"auto_map": "m.M", "x": NaN, "y": [-Infinity, Infinity, 1e999]}', b'{"auto_map": "\xed\xa0\x80.M"}']


def test_no_json_that_any_reader_takes_is_clean_where_it_names_code() -> None:
    read = 0
    for data in nearly(JSON_SEEDS, 4_000, seed=8):
        try:
            value = json.loads(data)
        except ValueError:
            continue
        except RecursionError:
            pass
        if isinstance(value, dict) and isinstance(value.get("auto_map"), (str, dict)) and value["auto_map"]:
            read += 1
            assert verdict("config.json", data) is not Verdict.PASSED, data

    assert read > 300
