"""The values that the abstract pickle machine handles: what stands for what would be built.

Scalars and tuples stand for themselves. Everything that could hold itself, be called, or be large
is a stand-in that keeps no more than somebody asks about: a list keeps its length, a dictionary
its keys, a call what was called. Nothing here is hashed or compared, since a tuple of tuples of
tuples takes exponential time to hash.
"""

from __future__ import annotations

import msgspec

from tuneguard.files import printable

DICT_KEYS = 20_000
"""Keys that a dictionary's stand-in keeps. An object's state has fewer."""
DICT_VALUES = 8
"""Items up to which it keeps values too."""


class Global(msgspec.Struct, eq=False):
    """A name that the stream imports: ``offset`` is where it was first named.

    ``called`` is whether anything was done with it beyond naming it.
    """

    module: str
    name: str
    offset: int
    opcode: str
    called: bool = False

    @property
    def path(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.name}"


class Made(msgspec.Struct, frozen=True, eq=False):
    """What a call or a construction would return. ``source`` is None where that is itself computed."""

    source: Global | None


class Stored(msgspec.Struct, frozen=True, eq=False):
    """What a persistent id would fetch from outside the stream."""

    id: object


class List(msgspec.Struct, eq=False):
    """A list: its length, and its items where the machine was asked to keep them."""

    length: int
    items: list[object] | None = None


class Dict(msgspec.Struct, eq=False):
    """A dictionary: its first keys. ``sealed`` once it has been handed to an object as its state.

    ``values`` are those of its first items, if these are few: as many as keys where nothing came later.
    """

    length: int = 0
    keys: list[object] | None = None
    values: list[object] | None = None
    sealed: bool = False


class Set(msgspec.Struct, eq=False):
    """A set or frozen set: its length."""

    length: int


class Long(msgspec.Struct, frozen=True, eq=False):
    """A string or bytes too long to keep: its kind, its length in bytes, and how it begins."""

    kind: str
    length: int
    head: bytes


class Unknown(msgspec.Struct, frozen=True, eq=False):
    """A value that no reader could have: a memo slot never filled, a number not written by a pickler."""


UNKNOWN = Unknown()

SHOWN = 60
"""Characters of one scalar that a description repeats."""


def describe(value: object, depth: int = 3) -> str:
    """A value as text for people, bounded in length whatever it holds, safe to print.

    >>> describe(("echo hello", 1, None))
    '("echo hello", 1, None)'
    >>> describe(Made(Global("os", "getcwd", 0, "GLOBAL")))
    'os.getcwd(…)'
    """
    if isinstance(value, tuple):
        return _describe_tuple(value, depth)
    if isinstance(value, Global):
        return shortened(printable(value.path))
    if isinstance(value, Made):
        return "…(…)" if value.source is None else f"{describe(value.source)}(…)"
    if isinstance(value, Stored):
        return "persistent object"
    return _describe_scalar(value)


def _describe_tuple(value: tuple[object, ...], depth: int) -> str:
    if not value:
        return "()"
    if depth == 0:
        return "(…)"
    shown = [describe(item, depth - 1) for item in value[:4]]
    if len(value) > len(shown):
        shown.append("…")
    return f"({', '.join(shown)})" if len(value) > 1 else f"({shown[0]},)"


def _describe_scalar(value: object) -> str:
    if isinstance(value, str):
        return f'"{shortened(printable(value))}"'
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, Long):
        return f"{value.kind} of {value.length:,} bytes"
    if isinstance(value, List):
        return "[…]" if value.length else "[]"
    if isinstance(value, Dict):
        return "{…}" if value.length else "{}"
    if isinstance(value, Set):
        return "{…}"
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() < 200 else "a huge integer"
    return "?"


def shortened(text: str) -> str:
    """At most `SHOWN` characters, with an ellipsis for the rest."""
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
