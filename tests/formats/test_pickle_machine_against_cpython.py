"""The machine against CPython's own unpickler, on random streams of every opcode.

The unpickler is given a `find_class` that returns recording dummies, so it imports and runs nothing;
what it asks for, calls and sets must all be among the machine's facts.
"""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneguard.formats.facts import NotRead
from tuneguard.formats.pickle.facts import Build, Call, Computed, Ended, Fill, Import, Odd, Persistent
from tuneguard.formats.pickle.machine import Machine
from tuneguard.formats.pickle.values import Global, Made
from tuneguard.formats.reader import Reader

NAMES = st.sampled_from(["inert_a", "inert_b"])


class _Hands:
    """An unpickler with its hands tied: nothing is imported, everything asked for is noted."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.seen: list[tuple[str, str]] = []

    def find_class(self, module: str, name: str) -> Any:
        self.seen.append(("import", f"{module}.{name}"))
        return _dummy(self.seen, f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        self.seen.append(("persistent", ""))
        return object()


class _InPython(_Hands, pickle._Unpickler):
    """The one of ``pickle.py``."""

    def get_extension(self, code: int) -> Any:
        if code > 0:
            self.seen.append(("computed", str(code)))
        raise ValueError


class _InC(_Hands, pickle.Unpickler):
    """The one of ``_pickle.c``, which torch and everybody else uses."""


def _dummy(seen: list[tuple[str, str]], path: str) -> type:
    class Dummy:
        def __new__(cls, *_: Any, **__: Any) -> Any:
            seen.append(("call", path))
            return object.__new__(cls)

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __setstate__(self, state: Any) -> None:
            seen.append(("build", path))

        def append(self, item: Any) -> None:
            seen.append(("fill", path))

        add = append

        def extend(self, items: Any) -> None:
            seen.append(("fill", path))

        def __setitem__(self, key: Any, value: Any) -> None:
            seen.append(("fill", path))

    return Dummy


def _events(data: bytes) -> tuple[list[tuple[str, str]], list[object]]:
    """What the machine saw, in the recorder's words."""
    seen: list[tuple[str, str]] = []
    facts = list(Machine(Reader.of_bytes(data)).run())
    for fact in facts:
        if isinstance(fact, Call):
            seen.append(("call", _path(fact.target)))
        elif isinstance(fact, Build):
            seen.append(("build", _path(fact.target)))
        elif isinstance(fact, Fill):
            seen.append(("fill", _path(fact.target)))
        elif isinstance(fact, Import):
            seen.append(("import", fact.value.path))
        elif isinstance(fact, Persistent):
            seen.append(("persistent", ""))
        elif isinstance(fact, Computed):
            seen.append(("computed", fact.what.removeprefix("extension code ")))
    return seen, list(facts)


def _path(value: object) -> str:
    if isinstance(value, Made) and value.source is not None:
        value = value.source
    return value.path if isinstance(value, Global) else "?"


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


PIECES = st.one_of(
    st.sampled_from(
        [bytes([code]) for code in b"(.012NQRabdeotslu})]\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"]
    ),
    st.builds(lambda a, b: b"c%b\n%b\n" % (a.encode(), b.encode()), NAMES, NAMES),
    st.builds(lambda a, b: b"i%b\n%b\n" % (a.encode(), b.encode()), NAMES, NAMES),
    st.builds(_text, NAMES),
    st.builds(lambda a: b"\x8c" + bytes([len(a)]) + a.encode(), NAMES),
    st.builds(lambda a: b"V%b\n" % a.encode(), NAMES),
    st.builds(lambda a: b"S'%b'\n" % a.encode(), NAMES),
    st.builds(lambda a: b"P%b\n" % a.encode(), NAMES),
    st.builds(lambda n: b"K" + bytes([n]), st.integers(0, 9)),
    st.builds(lambda n: b"q" + bytes([n]), st.integers(0, 5)),
    st.builds(lambda n: b"h" + bytes([n]), st.integers(0, 5)),
    st.builds(lambda n: b"r" + struct.pack("<I", n), st.integers(0, 5)),
    st.builds(lambda n: b"j" + struct.pack("<I", n), st.integers(0, 5)),
    st.builds(lambda n: b"g%d\n" % n, st.integers(0, 5)),
    st.builds(lambda n: b"p%d\n" % n, st.integers(0, 5)),
    st.builds(lambda n: b"C" + bytes([len(n)]) + n, st.binary(max_size=4)),
    st.builds(lambda n: b"\x82" + bytes([n]), st.integers(0, 2)),
    st.builds(lambda n: b"\x80" + bytes([n]), st.integers(0, 6)),
    st.builds(lambda n: b"\x95" + struct.pack("<Q", n), st.integers(0, 40)),
    st.sampled_from([b"cinert_a\ninert_b\n)R", b"cinert_a\ninert_b\n)\x81}b", b"(K\x01K\x02t", b"]("]),
)


@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(st.lists(PIECES, min_size=1, max_size=24), st.booleans(), st.sampled_from([_InC, _InPython]))
def test_the_machine_sees_all_that_an_unpickler_would_do(
    pieces: list[bytes], stop: bool, unpickler: type[_InC | _InPython]
) -> None:
    data = b"".join(pieces) + (b"." if stop else b"")
    recorder = unpickler(data)
    try:
        recorder.load()
        loaded = True
    except RecursionError:
        return
    except Exception:  # noqa: BLE001 (an unpickler raises whatever it likes)
        loaded = False

    seen, facts = _events(data)
    if any(isinstance(fact, Odd) and "frame" in fact.what for fact in facts):
        return  # the readers disagree about frames that do not fit, and the machine says so

    for kind in ("call", "build", "fill", "persistent", "computed"):
        theirs = [event for event in recorder.seen if event[0] == kind]
        ours = [event for event in seen if event[0] == kind]
        assert _is_prefix(theirs, ours), (kind, data)
    assert {event for event in recorder.seen if event[0] == "import"} <= set(seen), data
    if loaded:
        assert isinstance(facts[-1], Ended), data


def _is_prefix(theirs: list[tuple[str, str]], ours: list[tuple[str, str]]) -> bool:
    """Ours goes on where theirs stops; a name that only theirs can know is `?`."""
    if len(theirs) > len(ours):
        return False
    return all(mine[1] in ("?", their[1]) for their, mine in zip(theirs, ours, strict=False))


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200))
def test_no_bytes_make_the_machine_raise(data: bytes) -> None:
    facts = list(Machine(Reader.of_bytes(data)).run())

    assert isinstance(facts[-1], (Ended, NotRead))


@settings(max_examples=120)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(), inner)
            | st.tuples(inner, inner)
            | st.frozensets(st.text())
        ),
        max_leaves=30,
    ),
    st.integers(0, 5),
)
def test_plain_values_of_every_protocol_hold_nothing_but_plain_values(value: Any, version: int) -> None:
    facts = list(Machine(Reader.of_bytes(pickle.dumps(value, protocol=version))).run())

    allowed = {"_codecs.encode", "__builtin__.frozenset", "__builtin__.bytes", "builtins.frozenset"}
    assert isinstance(facts[-1], Ended)
    assert not [fact for fact in facts if isinstance(fact, Odd)]
    assert {fact.value.path for fact in facts if isinstance(fact, Import)} <= allowed


@pytest.mark.parametrize("version", range(6))
def test_a_window_that_ends_inside_any_opcode_changes_nothing(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = [{f"k{i}": (i, i * 70000, 1.5, "täxt" * 9, b"bytes", None, [True])} for i in range(40)]
    data = pickle.dumps(value, protocol=version)
    whole = [fact for fact in Machine(Reader.of_bytes(data)).run() if isinstance(fact, Ended)]

    for window in (17, 18, 23, 64, 257):
        monkeypatch.setattr("tuneguard.formats.pickle.machine.WINDOW", window)
        ended = list(Machine(Reader.of_bytes(data)).run())[-1]
        assert isinstance(ended, Ended)
        assert (ended.opcodes, ended.offset) == (whole[0].opcodes, whole[0].offset)
