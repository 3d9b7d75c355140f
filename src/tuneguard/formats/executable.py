"""What runs by itself or is loaded as code: programs, libraries and byte code, by how they begin."""

from __future__ import annotations

import struct

from tuneguard.formats.facts import Fact


class Program(Fact, frozen=True, eq=False):
    """The bytes are a program, a library or byte code: ``what``, in words."""

    what: str


_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x7fELF", "an ELF program or library"),
    (b"\xfe\xed\xfa\xce", "a Mach-O program or library"),
    (b"\xfe\xed\xfa\xcf", "a Mach-O program or library"),
    (b"\xce\xfa\xed\xfe", "a Mach-O program or library"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program or library"),
    (b"\xca\xfe\xba\xbe", "a Mach-O library or Java class"),
    (b"\0asm", "a WebAssembly module"),
    (b"dex\n0", "an Android program"),
    (b"BC\xc0\xde", "LLVM byte code"),
    (b"!<arch>\n", "an archive of object code"),
    (b"#!", "a script"),
)


def program_of(head: bytes) -> Program | None:
    """What program a file is that begins with `head` (its first kilobytes), or None."""
    for start, what in _STARTS:
        if head.startswith(start):
            return Program(what)
    if head.startswith(b"MZ") and _is_pe(head):
        return Program("a Windows program or library")
    # CPython byte code: a version number, then CR LF, then flags of which only two bits exist.
    if head[2:4] == b"\r\n" and len(head) >= 16 and struct.unpack_from("<I", head, 4)[0] <= 3:
        return Program("Python byte code")
    return None


def _is_pe(head: bytes) -> bool:
    """Two letters are no proof; the header they point to is. One out of sight is taken at its word."""
    if len(head) < 0x40:
        return False
    (at,) = struct.unpack_from("<I", head, 0x3C)
    return bool(head[at : at + 4] == b"PE\0\0")
