"""ONNX models: a protocol buffer of a graph, its operators and its numbers. Walked, and never decoded.

A graph names its operators, and a runtime looks each up: in its own list, or in a library that it was given.
Functions are operators that the file itself makes of others. Numbers may lie in another file, which the
runtime opens by the path that stands here. All of these are facts, at every depth: graphs stand in the
attributes of nodes, in functions, and in what trains a model.

Source: ONNX 1.23 ``onnx.proto``; ONNX ``docs/ExternalData.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.formats import protobuf
from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Fact, TwoReadings
from tuneguard.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT
from tuneguard.formats.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WHAT = "an ONNX model"
_Schema = dict[int, tuple[int, ...]]


def _schema(*, numbers: str = "", messages: str = "", several: str = "") -> _Schema:
    """The fields of a message: numbers, texts and messages, and lists of numbers, packed or not."""
    every = (VARINT, FIXED32, FIXED64, BYTES)
    return (
        dict.fromkeys(map(int, numbers.split()), (VARINT, FIXED32))
        | dict.fromkeys(map(int, messages.split()), (BYTES,))
        | dict.fromkeys(map(int, several.split()), every)
    )


_MODEL = _schema(numbers="1 5", messages="2 3 4 6 7 8 14 20 25 26")
_GRAPH_IN_MODEL, _OPERATOR_SET, _TRAINING, _FUNCTION = 7, 8, 20, 25
_GRAPH = _schema(messages="1 2 5 10 11 12 13 14 15 16")
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
_NODES = _schema(messages="1 2 3 4 5 6 7 8 9 10")
_OPERATOR, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_ATTRIBUTES = _schema(numbers="2 3 20", messages="1 4 5 6 9 10 11 13 14 15 21 22 23", several="7 8")
_TENSORS, _GRAPHS, _SPARSES = (5, 10), (6, 11), (22, 23)
_TENSOR = _schema(numbers="2 14", messages="3 6 8 9 12 13 16", several="1 4 5 7 10 11")
_STRING, _RAW, _EXTERNAL = 6, 9, 13
_SPARSE_TENSOR = _schema(messages="1 2", several="3")
_TRAININGS = _schema(messages="1 2 3 4")
_FUNCTIONS = _schema(messages="1 4 5 6 7 8 9 10 11 12 13 14")
_F_NAME, _F_NODE, _F_DOMAIN, _F_DEFAULT = 1, 7, 10, 11
_KEY, _VALUE = 1, 2
_KEYS = ("location", "offset", "length", "checksum")
"""What is said of numbers in another file."""
STANDARD = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training")
"""The domains of the standard's own operators; the first two are the same."""


class Operator(Fact, frozen=True, eq=False):
    """An operator that a node asks its runtime for, and that is none of the file's own functions."""

    domain: str
    name: str


class External(Fact, frozen=True, eq=False):
    """Numbers that lie in another file, at a path that is seen from the folder of this one.

    ``length`` is None where they reach to the end of the file.
    """

    location: str
    offset: int = 0
    length: int | None = None


def looks_like(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes begins like a model: a version, then fields, and a graph among them."""
    if head[:1] != b"\x08":
        return False
    at, graph = 0, False
    while at < min(len(head), size):
        hop = _hop(head[at : at + _TAG], size - at)
        if hop is None:
            return graph and at > len(head) - _TAG
        number, kind, _, length = hop
        if kind not in _MODEL.get(number, ()):
            return False
        graph = graph or number == _GRAPH_IN_MODEL
        at += length
    return graph


def parses(size: int, bytes_at: Callable[[int, int], bytes]) -> bool:
    """Whether `size` bytes are fields of a protocol buffer to the last one, and a graph of ONNX among them.

    What no schema knows is let through, as by every reader of protocol buffers. `bytes_at` gives at most so
    many bytes at a place.
    """
    try:
        return any(
            _walk(begin, end, bytes_at, {_NODE, _INITIALIZER, _SPARSE})
            for begin, end in _walk(0, size, bytes_at, {_GRAPH_IN_MODEL})
        )
    except _Endless:
        return True


class _Endless(Exception):
    """There are more fields than are walked, and all so far are some."""


_TAG = 20
"""Bytes of the longest tag and length."""
_START, _END = 3, 4
"""The marks of a group, which readers skip."""


def _walk(
    at: int, end: int, bytes_at: Callable[[int, int], bytes], wanted: set[int]
) -> list[tuple[int, int]]:
    """Where messages of the `wanted` numbers lie from `at` to `end`; none where the bytes are no fields."""
    found: list[tuple[int, int]] = []
    groups: list[int] = []
    for _ in range(limits.ONNX_HOPS):
        if at >= end:
            return [] if groups else found
        hop = _hop(bytes_at(at, _TAG), end - at)
        if hop is None:
            return []
        number, kind, begin, length = hop
        if kind == _START:
            groups.append(number)
        elif kind == _END and (not groups or groups.pop() != number):
            return []
        elif kind == BYTES and number in wanted:
            found.append((at + begin, at + length))
        at += length
    raise _Endless


def _hop(data: bytes, left: int) -> tuple[int, int, int, int] | None:
    """(number, wire type, where its content begins, where it ends) of the field that `data` begins with.

    None where that is no field, or one of more than `left` bytes.
    """
    stop = len(data)
    try:
        tag, at = protobuf.varint(data, 0, stop, _WHAT)
        number, kind = tag >> 3, tag & 7
        begin = at
        if kind == VARINT:
            _, at = protobuf.varint(data, at, stop, _WHAT)
        elif kind == BYTES:
            length, begin = protobuf.varint(data, at, stop, _WHAT)
            at = begin + length
        elif kind in (FIXED32, FIXED64):
            at += 4 if kind == FIXED32 else 8
        elif kind not in (_START, _END):
            return None
    except NotUnderstood:
        return None
    return (number, kind, begin, at) if number and at <= left else None


def read(reader: Reader) -> Iterator[Fact]:
    """Every fact of a model.

    Raises:
        NotUnderstood: a byte does not belong to the schema, or there is more than is walked.
    """
    yield from _Model().read(reader)


class _Model:
    """One model: the operators that its nodes ask for, and the functions that it makes itself."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], None] = {}
        self._made: set[tuple[str, str]] = set()
        self._fields = 0

    def read(self, reader: Reader) -> Iterator[Fact]:
        graphs = sets = 0
        for number, part in self._parts(reader, _MODEL):
            sets += number == _OPERATOR_SET
            if number == _GRAPH_IN_MODEL:
                graphs += 1
                yield from self._graph(part, 0)
            elif number == _TRAINING:
                yield from self._training(part)
            elif number == _FUNCTION:
                yield from self._function(part)
        if not sets:  # every model has one (onnx.proto, opset_import)
            raise NotUnderstood(f"is {_WHAT} that names no set of operators: its end may be missing")
        if graphs != 1:
            yield TwoReadings(f"it holds {graphs} graphs: readers put them together, or take the last")
        for domain, name in self._asked:
            if (domain, name) not in self._made:
                yield Operator(domain, name)

    def _training(self, reader: Reader) -> Iterator[Fact]:
        for number, part in self._parts(reader, _TRAININGS):
            if number <= 2:  # what initialises and what trains
                yield from self._graph(part, 0)

    def _parts(self, reader: Reader, schema: _Schema) -> Iterator[tuple[int, Reader]]:
        """The fields of a message: each with its bytes, which are none for a number."""
        while reader.remaining:
            self._fields += 1
            if self._fields > limits.ONNX_FIELDS:
                raise NotUnderstood(f"is {_WHAT} of over {limits.ONNX_FIELDS:,} fields")
            tag = _number(reader)
            number, kind = tag >> 3, tag & 7
            if kind not in schema.get(number, ()):
                raise NotUnderstood(f"is {_WHAT} with the unknown field {number} at byte {reader.offset:,}")
            if kind == VARINT:
                _number(reader)
                yield number, _NOTHING
                continue
            length = _number(reader) if kind == BYTES else 4 if kind == FIXED32 else 8
            part = reader.part(length)
            yield number, part
            part.drain()

    def _graph(self, reader: Reader, depth: int) -> Iterator[Fact]:
        if depth > limits.ONNX_DEPTH:
            raise NotUnderstood(f"is {_WHAT} with graphs inside of each other, over {limits.ONNX_DEPTH} deep")
        for number, part in self._parts(reader, _GRAPH):
            if number == _NODE:
                yield from self._node(part, depth)
            elif number == _INITIALIZER:
                yield from self._tensor(part)
            elif number == _SPARSE:
                yield from self._sparse(part)

    def _node(self, reader: Reader, depth: int) -> Iterator[Fact]:
        reader = self._short(reader)
        names = {_OPERATOR: "", _DOMAIN: ""}
        for number, part in self._parts(reader, _NODES):
            if number in names:
                names[number] = _text(part)
            elif number == _ATTRIBUTE:
                yield from self._attribute(part, depth)
        self._asked[names[_DOMAIN], names[_OPERATOR]] = None

    def _attribute(self, reader: Reader, depth: int) -> Iterator[Fact]:
        for number, part in self._parts(reader, _ATTRIBUTES):
            if number in _TENSORS:
                yield from self._tensor(part)
            elif number in _SPARSES:
                yield from self._sparse(part)
            elif number in _GRAPHS:
                yield from self._graph(part, depth + 1)

    def _function(self, reader: Reader) -> Iterator[Fact]:
        names = {_F_NAME: "", _F_DOMAIN: ""}
        for number, part in self._parts(reader, _FUNCTIONS):
            if number in names:
                names[number] = _text(part)
            elif number == _F_NODE:
                yield from self._node(part, 0)
            elif number == _F_DEFAULT:
                yield from self._attribute(part, 0)
        domain, name = names[_F_DOMAIN], names[_F_NAME]
        if domain in STANDARD:
            yield TwoReadings(f"its function {printable(name)} bears the name of a standard operator")
        self._made.add((domain, name))

    def _sparse(self, reader: Reader) -> Iterator[Fact]:
        for number, part in self._parts(reader, _SPARSE_TENSOR):
            if number in (1, 2):  # values and indices
                yield from self._tensor(part)

    def _tensor(self, reader: Reader) -> Iterator[Fact]:
        said: dict[str, str] = {}
        for number, part in self._parts(reader, _TENSOR):
            if number in (_STRING, _RAW):
                yield from content_of(part, "numbers")
            elif number == _EXTERNAL:
                texts = dict.fromkeys((_KEY, _VALUE), "")
                for each, text in self._parts(part, {_KEY: (BYTES,), _VALUE: (BYTES,)}):
                    texts[each] = _text(text)
                if texts[_KEY] not in _KEYS:  # some readers set any of these on an object of theirs
                    raise NotUnderstood(
                        f"is {_WHAT} with the unknown key {printable(texts[_KEY][:80])} of numbers"
                    )
                if said.setdefault(texts[_KEY], texts[_VALUE]) != texts[_VALUE]:
                    yield TwoReadings(f"a tensor gives two {texts[_KEY]}s of its numbers in another file")
        if said:
            length = _place(said["length"]) if "length" in said else None
            yield External(said.get("location", ""), _place(said.get("offset", "0")), length)

    def _short(self, reader: Reader) -> Reader:
        """A part in memory, where its many small fields are read faster; larger ones stay where they are."""
        return reader if reader.size > _SHORT else Reader.of_bytes(reader.read(reader.remaining))


_DIGITS = 18
_SHORT = 1 << 20
_NOTHING = Reader.of_bytes(b"")


def _number(reader: Reader) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = reader.read(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise NotUnderstood(f"is {_WHAT} with a broken field")


def _place(written: str) -> int:
    if not (written.isascii() and written.isdigit() and len(written) <= _DIGITS):
        raise NotUnderstood(f"is {_WHAT} whose numbers lie at no place that is a number")
    return int(written)


def _text(reader: Reader) -> str:
    if reader.size > limits.ONNX_NAME:
        raise NotUnderstood(f"is {_WHAT} with a name of over {limits.ONNX_NAME:,} bytes")
    try:
        return reader.read(reader.remaining).decode("utf-8")
    except UnicodeDecodeError:
        raise NotUnderstood(f"is {_WHAT} with a name that is not UTF-8") from None
