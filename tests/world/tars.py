"""Tar headers by hand, with a checksum written in each way that readers take."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKSUM = slice(148, 156)


def unsigned(block: bytes) -> int:
    return sum(block[:148]) + 8 * 0x20 + sum(block[156:512])


def signed(block: bytes) -> int:
    return 256 + sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:512])


def _base256(value: int) -> bytes:
    return (b"\x80" if value >= 0 else b"\xff") + (value % (1 << 56)).to_bytes(7, "big")


FIELDS: dict[str, Callable[[bytes], bytes]] = {
    "octal": lambda block: b"%06o\0 " % unsigned(block),
    "cut at the first NUL": lambda block: b"%o\0zz" % unsigned(block),
    "base-256": lambda block: _base256(unsigned(block)),
    "the signed sum": lambda block: b"%07o\0" % signed(block),
    "the signed sum in base-256": lambda block: _base256(signed(block)),
    "with a sign": lambda block: b"+%06o\0" % unsigned(block),
    "with a prefix": lambda block: b"0o%05o\0" % unsigned(block),
    "with an underscore": lambda block: b"0_%05o\0" % unsigned(block),
    "between spaces": lambda block: b" \t%05o\n" % unsigned(block),
}
"""How a checksum is written, each a form that ``tarfile`` takes."""


def with_checksum(block: bytes, form: str = "octal") -> bytes:
    """The header with its checksum in one of the `FIELDS`."""
    field = FIELDS[form](block)
    return block[:148] + field.ljust(8, b"\0")[:8] + block[156:]


def header(size: int = 0, *, start: bytes = b"first", kind: bytes = b"0", form: str = "octal") -> bytes:
    """A header whose bytes begin with `start`, at most 100 of them, of a member of `size` bytes."""
    numbers = b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 0
    block = start[:100].ljust(100, b"\0") + numbers + b" " * 8 + kind
    return with_checksum(block.ljust(512, b"\0"), form)


def archive(members: dict[str, bytes]) -> bytes:
    """A plain archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()
