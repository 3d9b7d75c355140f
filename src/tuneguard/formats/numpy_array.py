"""NumPy's arrays (``.npy``, and the members of an ``.npz``): a header that is a Python literal, then numbers.

An array of objects holds a pickle in their place, which is looked at as any other. NumPy evaluates the header
as a literal; here the few literals that it writes are read, and nothing is evaluated.

Source: NumPy 2.4 ``lib/_format_impl.py`` (``read_magic``, ``_read_array_header``, ``read_array``,
``descr_to_dtype``).
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Content, Fact, Hidden, NotRead, TwoReadings
from tuneguard.formats.pickle_file import begins_pickle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader

MARK = b"\x93NUMPY"
"""How a file of an array begins."""

_LENGTH = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}
"""How the length of the header is written, by version."""
_KEYS = {"descr", "fortran_order", "shape"}
_TOKEN = re.compile(
    r"""[ \t\r\n\f]*(?:(?P<text>'[^'\\\n]*'|"[^"\\\n]*")|(?P<number>[0-9]{1,19})L?|(?P<word>True|False)"""
    r"|(?P<mark>[][(){},:])|(?P<end>$))",
    re.ASCII,
)
_TYPE = re.compile(r"[<>|=]?([biufcSUVmMO])([0-9]{0,9})(?:\[[0-9A-Za-z/]{1,32}\])?", re.ASCII)
_WIDTHS = {
    "b": (1,),
    "i": (1, 2, 4, 8),
    "u": (1, 2, 4, 8),
    "f": (2, 4, 8, 12, 16),
    "c": (8, 16, 24, 32),
    "m": (8,),
    "M": (8,),
}
"""Bytes of the types that have a few widths; texts and raw bytes have any."""
_DEPTH = 16
_DIMENSIONS = 64


def read(reader: Reader) -> Iterator[Fact]:
    """Every fact of an array.

    Raises:
        NotUnderstood: its header is none that NumPy writes, or announces more than is there.
    """
    reader.read(len(MARK))
    major, minor = reader.read(2)
    if (major, minor) not in _LENGTH:
        raise NotUnderstood(f"is a NumPy array in version {major}.{minor} of its format")
    length = _LENGTH[major, minor]
    (size,) = struct.unpack(length, reader.read(struct.calcsize(length)))
    if size > limits.NUMPY_HEADER:
        raise NotUnderstood(
            f"is a NumPy array whose header of {size:,} bytes is over {limits.NUMPY_HEADER:,}"
        )
    try:
        literal = _Literal(reader.read(size).decode("latin-1" if major < 3 else "utf-8"))
    except UnicodeDecodeError:
        raise _broken() from None
    header = literal.whole()
    if not isinstance(header, dict) or header.keys() != _KEYS or type(header["fortran_order"]) is not bool:
        raise _broken()
    for key in literal.doubled:
        yield TwoReadings(f"its header gives {key} twice", len(MARK))
    item = _item_size(header["descr"], 0)
    count = _product(header["shape"])
    if item is None:
        yield from _objects(reader)
        return
    numbers = reader.part(count * item)
    yield from content_of(numbers, "numbers")
    numbers.drain()
    if reader.remaining:
        yield Hidden("bytes behind the array", reader.offset, reader.drain())


def _objects(reader: Reader) -> Iterator[Fact]:
    """An array of objects, which NumPy unpickles."""
    if begins_pickle(reader.peek(2)):
        yield Content("objects", reader.part(reader.remaining))
    else:
        yield NotRead("holds objects, and they are no pickle of protocol 2 to 5", reader.offset)
        reader.drain()


def _item_size(described: Any, depth: int) -> int | None:
    """Bytes of one item; None where it holds objects."""
    if depth > _DEPTH:
        raise _broken()
    if isinstance(described, str):
        return _scalar_size(described)
    if isinstance(described, tuple) and len(described) == 2:
        return _times(_item_size(described[0], depth + 1), described[1])
    if not isinstance(described, list):
        raise _broken()
    sizes = [_field_size(field, depth) for field in described]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _field_size(field: Any, depth: int) -> int | None:
    if not isinstance(field, tuple) or len(field) not in (2, 3):
        raise _broken()
    name = field[0]
    if not isinstance(name, str) and not (isinstance(name, tuple) and tuple(map(type, name)) == (str, str)):
        raise _broken()
    return _times(_item_size(field[1], depth + 1), field[2] if len(field) == 3 else ())


def _scalar_size(described: str) -> int | None:
    found = _TYPE.fullmatch(described)
    if found is None:
        raise NotUnderstood("is a NumPy array of a type that is not known")
    kind, width = found[1], int(found[2] or 0)
    if kind == "O":
        return None
    if kind in _WIDTHS and width not in _WIDTHS[kind]:
        raise NotUnderstood("is a NumPy array of a type that is not known")
    return width * 4 if kind == "U" else width


def _times(size: int | None, shape: Any) -> int | None:
    count = _product((shape,) if type(shape) is int else shape)
    return None if size is None else size * count


def _product(shape: Any) -> int:
    if (
        not isinstance(shape, tuple)
        or len(shape) > _DIMENSIONS
        or any(type(each) is not int for each in shape)
    ):
        raise _broken()
    return math.prod(shape)


def _broken() -> NotUnderstood:
    return NotUnderstood("is a NumPy array with a header that NumPy does not write")


class _Literal:
    """A Python literal of texts, natural numbers, truth values, lists, tuples and dictionaries."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._kind = self._written = ""
        self.doubled: list[str] = []

    def whole(self) -> Any:
        """The value of the whole text."""
        self._next()
        value = self._value(0)
        if self._kind != "end":
            raise _broken()
        return value

    def _next(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise _broken()
        self._at = found.end()
        self._kind = found.lastgroup or ""
        self._written = found[self._kind]

    def _take(self, mark: str) -> bool:
        if self._kind != "mark" or self._written != mark:
            return False
        self._next()
        return True

    def _value(self, depth: int) -> Any:
        if depth > _DEPTH:
            raise _broken()
        kind, written = self._kind, self._written
        self._next()
        if kind == "text":
            return written[1:-1]
        if kind == "number":
            return int(written)
        if kind == "word":
            return written == "True"
        if written == "[":
            return self._items("]", depth)[0]
        if written == "(":
            items, commas = self._items(")", depth)
            return items[0] if len(items) == 1 and not commas else tuple(items)
        if written == "{":
            return self._pairs(depth)
        raise _broken()

    def _items(self, end: str, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        commas = 0
        while not self._take(end):
            if commas < len(items):
                raise _broken()
            items.append(self._value(depth + 1))
            commas += self._take(",")
        return items, commas

    def _pairs(self, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        more = True
        while not self._take("}"):
            if not more or self._kind != "text":
                raise _broken()
            key = self._value(depth + 1)
            if not self._take(":"):
                raise _broken()
            if key in pairs and key in _KEYS:
                self.doubled.append(key)
            pairs[key] = self._value(depth + 1)
            more = self._take(",")
        return pairs
