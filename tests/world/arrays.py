"""NumPy's and llama.cpp's files, built by hand."""

from __future__ import annotations

import struct
from typing import Any

HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"


def npy(
    body: bytes, descr: str = "'<f8'", shape: str = "(3,)", *, header: str | None = None, version: int = 1
) -> bytes:
    """A file of one array; `header` replaces the whole literal."""
    text = (HEADER.format(descr, shape) if header is None else header).encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + b"\n" + body


def text(value: str) -> bytes:
    """A text of a GGUF file."""
    data = value.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


def setting(key: str, value: Any) -> bytes:
    """A setting: a number of 32 bits, a text, a list of texts, or (type, bytes)."""
    head = text(key)
    if isinstance(value, tuple):
        return head + struct.pack("<I", value[0]) + value[1]
    if isinstance(value, int):
        return head + struct.pack("<II", 4, value)
    if isinstance(value, str):
        return head + struct.pack("<I", 8) + text(value)
    return head + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))


def tensor(
    name: str, size: int, offset: int, *, kind: int = 24, shape: tuple[int, ...] | None = None
) -> bytes:
    """A row of the table of tensors, by default of bytes."""
    shape = (size,) if shape is None else shape
    return text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", kind, offset)


def gguf(
    settings: dict[str, Any] | list[tuple[str, Any]] = {},  # noqa: B006 (never changed)
    tensors: dict[str, bytes] = {},  # noqa: B006 (never changed)
    *,
    rows: list[bytes] | None = None,
    version: int = 3,
    alignment: int = 32,
    padding: bytes = b"\0",
    behind: bytes = b"",
) -> bytes:
    """A file; `rows` replaces the table of tensors."""
    pairs = list(settings.items()) if isinstance(settings, dict) else settings
    table, body = [], b""
    for name, data in tensors.items():
        table.append(tensor(name, len(data), len(body)))
        body += data + padding * (-len(data) % alignment)
    table = table if rows is None else rows
    head = b"GGUF" + struct.pack("<IQQ", version, len(table), len(pairs))
    head += b"".join(setting(key, value) for key, value in pairs) + b"".join(table)
    return head + bytes(-len(head) % alignment) + body + behind
