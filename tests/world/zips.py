"""Zip archives built by hand, so that each lie that an attacker can tell has a place to be told."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from world import pickles


@dataclass
class Member:
    """A member, and where its two headers lie: ``local_*`` stands in front of the bytes."""

    name: str
    data: bytes
    method: int = 0
    flags: int = 0x0800
    version: int = 0
    attributes: int = 0
    crc: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    local_name: str | None = None
    local_version: int | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_size: int | None = None
    size: int | None = None
    packed: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.packed = self.data
        if self.method == 8:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            self.packed = packer.compress(self.data) + packer.flush()

    @property
    def streamed(self) -> bool:
        return bool(self.flags & 8)

    def sums(self) -> tuple[int, int, int]:
        size = len(self.data) if self.size is None else self.size
        return (zlib.crc32(self.data) if self.crc is None else self.crc, len(self.packed), size)

    def local(self) -> bytes:
        crc, packed, size = (0, 0, 0) if self.streamed else self.sums()
        name = (self.name if self.local_name is None else self.local_name).encode("utf-8", "surrogateescape")
        flags = self.flags if self.local_flags is None else self.local_flags
        method = self.method if self.local_method is None else self.local_method
        crc = crc if self.local_crc is None else self.local_crc
        size = size if self.local_size is None else self.local_size
        version = self.version if self.local_version is None else self.local_version
        sizes = (crc, packed, size, len(name), len(self.extra))
        head = struct.pack("<4s5H3I2H", b"PK\x03\x04", version, flags, method, 0, 0, *sizes)
        tail = b"PK\x07\x08" + struct.pack("<3I", *self.sums()) if self.streamed and self.data else b""
        return head + name + self.extra + self.packed + tail

    def central(self, offset: int) -> bytes:
        name = self.name.encode("utf-8", "surrogateescape")
        how = (0, self.version, self.flags, self.method, 0, 0)
        lengths = (len(name), 0, len(self.comment), 0, 0)
        head = struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", *how, *self.sums(), *lengths, self.attributes, offset
        )
        return head + name + self.comment


def archive(
    *members: Member,
    prefix: bytes = b"",
    gap: bytes = b"",
    before_directory: bytes = b"",
    comment: bytes = b"",
) -> bytes:
    """Members one behind the other and their directory; the keywords put bytes where none belong."""
    body = bytearray(prefix)
    directory = b""
    for member in members:
        directory += member.central(len(body))
        body += member.local() + gap
    body += before_directory
    return bytes(body) + directory + _end(len(members), len(directory), len(body), comment)


def _end(count: int, size: int, offset: int, comment: bytes) -> bytes:
    """The end record, with the 64-bit one in front of it, as torch writes both."""
    long = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 0, 0, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + size, 1)
    count = min(count, 0xFFFF)
    return (
        long
        + locator
        + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, size, offset, len(comment))
        + comment
    )


def torch_members(
    pickle: bytes, storages: dict[str, bytes] | None = None, root: str = "archive"
) -> list[Member]:
    """What ``torch.save`` puts into an archive."""
    flags = 0x0808
    return [
        Member(f"{root}/data.pkl", pickle, flags=flags, extra=b"FB\x06\x00ZZZZZZ"),
        Member(f"{root}/.format_version", b"1", flags=flags),
        Member(f"{root}/.storage_alignment", b"64", flags=flags),
        Member(f"{root}/byteorder", b"little", flags=flags),
        *(Member(f"{root}/data/{key}", data, flags=flags) for key, data in (storages or {}).items()),
        Member(f"{root}/version", b"3\n", flags=flags),
        Member(f"{root}/.data/serialization_id", b"1" * 40, flags=flags),
    ]


def torch_zip(pickle: bytes = pickles.BENIGN, storages: dict[str, bytes] | None = None) -> bytes:
    """An archive as ``torch.save`` writes it."""
    return archive(*torch_members(pickle, storages))
