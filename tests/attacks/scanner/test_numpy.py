"""Attacks by NumPy's arrays: objects in them, bytes behind them, headers that say two things."""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any

import pytest

from tuneguard import limits
from tuneguard.findings import Verdict
from world import pickles as p
from world import zips
from world.arrays import npy
from world.scans import nearly, taken, verdict

NUMBERS = bytes(24)


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


# --- what NumPy writes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("descr", "shape", "size"),
    [
        ("'<f8'", "(3,)", 24),
        ("'<f8'", "()", 8),
        ("'|b1'", "(2, 3)", 6),
        ("'<c16'", "(0, 4)", 0),
        ("'<U5'", "(2,)", 40),
        ("'|S7'", "(2,)", 14),
        ("'<M8[ns]'", "(1,)", 8),
        ("'<m8[25s]'", "(1,)", 8),
        ("'|V3'", "(2,)", 6),
        ("[('x', '<f4'), ('y', '<i8', (2,))]", "(3,)", 60),
        ("[('a', '|i1'), ('', '|V7'), (('title', 'b'), '<f8')]", "(1,)", 16),
        ("[('n', [('m', '<u2')])]", "(2L,)", 4),
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_array_of_numbers_passes(scan, descr: str, shape: str, size: int, version: int) -> None:
    data = npy(bytes(size), descr, shape, version=version)

    assert scan("emb.npy", data).verdict is Verdict.PASSED
    packed = zips.archive(zips.Member("a.npy", data), zips.Member("b.npy", data, method=8))
    assert scan("emb.npz", packed).verdict is Verdict.PASSED


# --- objects -------------------------------------------------------------------------------------------

OBJECTS = [
    "'|O'",
    "'O'",
    "'|O8'",
    "'<O4'",
    "[('a', '<f4'), ('b', '|O')]",
    "[('a', [('b', '|O', (2,))])]",
    "('|O', (1,))",
]


@pytest.mark.parametrize("descr", OBJECTS)
@pytest.mark.parametrize("name", ["emb.npy", "emb.npz"])
def test_attack_a_pickle_in_the_place_of_the_numbers(scan, descr: str, name: str) -> None:
    data = npy(p.PAYLOAD, descr)
    if name == "emb.npz":
        data = zips.archive(zips.Member("emb.npy", data))

    result = scan(name, data)

    assert "TG-PKL-CALL" in rules_of(result)
    assert result.verdict is Verdict.REFUSED


def test_objects_whose_pickle_is_harmless_pass_and_others_do_not(scan) -> None:
    assert scan("a.npy", npy(p.BENIGN, "'|O'")).verdict is Verdict.PASSED
    for body in (p.stream(p.SYSTEM, version=None), b"", b"text", zips.torch_zip(p.PAYLOAD)):
        assert scan("a.npy", npy(body, "'|O'")).verdict is not Verdict.PASSED


# --- what is not plain ---------------------------------------------------------------------------------


def test_attack_bytes_behind_the_numbers(scan) -> None:
    assert "TG-HIDDEN" in rules_of(scan("a.npy", npy(NUMBERS + b"more")))


def test_attack_a_program_in_the_numbers(scan) -> None:
    body = b"\x7fELF\x02\x01\x01" + bytes(57)

    assert "TG-PROGRAM" in rules_of(scan("a.npy", npy(body, "'|u1'", "(64,)")))


def test_attack_a_key_twice_of_which_numpy_takes_the_last(scan) -> None:
    header = "{'descr': '<f8', 'descr': '|O', 'fortran_order': False, 'shape': (3,), }"
    result = scan("a.npy", npy(p.PAYLOAD, header=header))

    assert {"TG-TWO-READINGS", "TG-PKL-CALL"} <= rules_of(result)


@pytest.mark.parametrize(
    "data",
    [
        npy(NUMBERS[:-1]),
        npy(NUMBERS, "'float64'"),
        npy(NUMBERS, "'f8,O'"),
        npy(NUMBERS, "'object'"),
        npy(NUMBERS, "'<f7'"),
        npy(NUMBERS, "'|T16'"),
        npy(NUMBERS, "'<f8'", "(-3,)"),
        npy(NUMBERS, "'<f8'", "3"),
        npy(NUMBERS, "'<f8'", "(True,)"),
        npy(NUMBERS, "'<f8'", "(3,) + (1,)"),
        npy(NUMBERS, "'<f8'", "(9999999999999999999, 9999999999999999999)"),
        npy(NUMBERS, "__import__('os').system('echo')"),
        npy(NUMBERS, "'\\x4f'"),
        npy(NUMBERS, "[('a', '<f8', '<f8', '<f8')]"),
        npy(NUMBERS, "[5]"),
        npy(NUMBERS, "{'a': '<f8'}"),
        npy(NUMBERS, header="{'descr': '<f8', 'fortran_order': False}"),
        npy(NUMBERS, header="{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}"),
        npy(NUMBERS, header="{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'x': 1}"),
        npy(NUMBERS, header="[" * 5_000),
        npy(NUMBERS, "(" * 40 + "'<f8'" + ")" * 40),
        npy(NUMBERS, header="{'descr': '<f8', # text\n'fortran_order': False, 'shape': (3,)}"),
        npy(NUMBERS, header=" " * limits.NUMPY_HEADER, version=2),
        npy(NUMBERS, version=4),
        b"\x93NUMPY\x01\x01" + npy(NUMBERS)[8:],
        b"\x93NUMPY",
    ],
)
def test_an_array_that_is_not_plain_is_not_understood(scan, data: bytes) -> None:
    result = scan("a.npy", data)

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "Tuneguard failed" not in result.skipped[0].reason


def test_attack_a_pickle_called_an_array_which_numpy_unpickles(scan) -> None:
    assert rules_of(scan("a.npy", p.PAYLOAD)) == {"TG-NAME", "TG-PKL-CALL"}


# --- against NumPy -------------------------------------------------------------------------------------

SEEDS = [
    npy(NUMBERS),
    npy(NUMBERS, "[('a', '<f4'), ('b', '|u1', (2,)), ('', '|V2')]"),
    npy(p.PAYLOAD, "'|O'"),
    npy(p.PAYLOAD, "[('a', '<f4'), ('b', '|O')]", version=3),
    npy(p.PAYLOAD, header="{'shape': (3,), 'descr': '|O', 'fortran_order': False}  "),
    npy(NUMBERS, "'<U2'"),
]


class _Called(Exception):
    """NumPy would unpickle."""


@pytest.mark.torch
def test_whatever_numpy_unpickles_is_never_clean_and_what_it_reads_is_an_array_to_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numpy as np

    def called(*_: Any, **__: Any) -> Any:
        raise _Called

    monkeypatch.setattr(pickle, "load", called)
    unpickled = read = neither = 0
    for data in nearly(SEEDS, 1_500, seed=13, reach=120):
        try:
            array = np.load(io.BytesIO(data), allow_pickle=True)
        except _Called:
            unpickled += 1
            assert verdict("a.npy", data) is not Verdict.PASSED, data
        except Exception:  # noqa: BLE001 (NumPy reads no array here)
            neither += 1
        else:
            read += 1
            assert data.startswith(b"\x93NUMPY")
            if verdict("a.npy", data) is Verdict.PASSED:
                form, at = ("<H", 10) if data[6] == 1 else ("<I", 12)
                assert len(data) - at - struct.unpack_from(form, data, 8)[0] == array.nbytes

    assert unpickled > 100
    assert read > 100
    assert neither > 100


@pytest.mark.torch
def test_what_we_pass_numpy_reads_without_a_pickle() -> None:
    import numpy as np

    passed = 0
    for data in nearly(SEEDS, 1_500, seed=14, reach=120):
        if verdict("a.npy", data) is Verdict.PASSED:
            passed += 1
            assert taken(lambda data=data: np.load(io.BytesIO(data), allow_pickle=False) is not None)

    assert passed > 80
