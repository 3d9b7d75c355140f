"""An assembler for pickle streams. It writes bytes; nothing here, and no test, ever loads one.

Every payload is inert: it names `posix.system` with a harmless `echo`, and no test runs it.
"""

from __future__ import annotations

import struct

MARK = b"("
STOP = b"."
POP = b"0"
DUP = b"2"
REDUCE = b"R"
BUILD = b"b"
NEWOBJ = b"\x81"
NEWOBJ_EX = b"\x92"
OBJ = b"o"
STACK_GLOBAL = b"\x93"
MEMOIZE = b"\x94"
TUPLE = b"t"
EMPTY_TUPLE = b")"
EMPTY_DICT = b"}"
EMPTY_LIST = b"]"
SETITEM = b"s"
APPEND = b"a"
NONE = b"N"
BINPERSID = b"Q"

COMMAND = "echo tuneguard-inert"


def proto(version: int) -> bytes:
    return bytes([0x80, version])


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def short_text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def data(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def put(index: int) -> bytes:
    return b"q" + bytes([index])


def get(index: int) -> bytes:
    return b"h" + bytes([index])


def named(module: str, name: str) -> bytes:
    """GLOBAL."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def stack_named(module: str, name: str) -> bytes:
    """STACK_GLOBAL."""
    return short_text(module) + short_text(name) + STACK_GLOBAL


def row(*items: bytes) -> bytes:
    return MARK + b"".join(items) + TUPLE


def call(target: bytes, *arguments: bytes) -> bytes:
    return target + row(*arguments) + REDUCE


def table(**items: bytes) -> bytes:
    """A dictionary."""
    return EMPTY_DICT + b"".join(text(key) + value + SETITEM for key, value in items.items())


def stream(*parts: bytes, version: int | None = 2) -> bytes:
    head = b"" if version is None else proto(version)
    return head + b"".join(parts) + STOP


SYSTEM = call(named("posix", "system"), text(COMMAND))
"""A call that would run a shell; inert here, since nothing loads it."""

PAYLOAD = stream(SYSTEM)
"""The smallest pickle that does harm."""

BENIGN = stream(table(step=integer(1), name=text("adam")))
"""A pickle that builds a dictionary and touches nothing."""

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""torch's legacy magic number, as torch pickles it."""


def ordered_dict() -> bytes:
    return named("collections", "OrderedDict") + EMPTY_TUPLE + REDUCE


def storage(key: str = "0", count: int = 2, kind: str = "FloatStorage", *, legacy: bool = False) -> bytes:
    """A persistent id as torch writes it, asked for."""
    parts = [text("storage"), named("torch", kind), text(key), text("cpu"), integer(count)]
    return row(*parts, *([NONE] if legacy else [])) + BINPERSID


def tensor(key: str = "0", count: int = 2, kind: str = "FloatStorage", *, legacy: bool = False) -> bytes:
    """A tensor of one dimension as torch writes it."""
    return call(
        named("torch._utils", "_rebuild_tensor_v2"),
        storage(key, count, kind, legacy=legacy),
        integer(0),
        row(integer(count)),
        row(integer(1)),
        b"\x89",
        ordered_dict(),
    )
