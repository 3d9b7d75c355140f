"""Tar archives, read so strictly that every reader must see the same members: files and folders, no links.

Blocks of 512 bytes: a header, the member's bytes, and so on, until a block of zeros, after which only zeros
follow. A header's long name or large size comes in a header of its own in front of it: POSIX's extended one
(``x``, read for ``path`` and ``size``) or GNU's (``L``). A header that is none, which ``tarfile`` takes for
the archive's end, refuses here.

Source: POSIX.1-2017, pax; GNU tar 1.35 ``tar.h``; CPython ``Lib/tarfile.py``, which decodes one header.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tuneguard import limits
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.files import printable
from tuneguard.formats.tar import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZEROS = bytes(BLOCK)
_FILE = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_OTHERS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.GNUTYPE_LONGLINK: "a link with a long target",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.CONTTYPE: "a contiguous file",
}


class Member(NamedTuple):
    """A member whose bytes come next: `size` of them, which must all be read. A folder has none."""

    name: str
    size: int
    folder: bool


Read = Callable[[int], bytes]
"""Exactly so many of the next bytes, none only at the end."""


def read_members(read: Read) -> Iterator[Member]:
    """Each member. Its bytes are read by the caller from the same stream before the next is asked for.

    Raises:
        Refused: a member is neither a file nor a folder.
        NotUnderstood: the archive is no plain one, or ends early.
    """
    while (header := _header(read)) is not None:
        own: dict[str, str] = {}
        while header.type in _IN_FRONT:
            found = _IN_FRONT[header.type](_data(read, header.size))
            if not own.keys().isdisjoint(found):
                raise NotUnderstood("a member of the archive has two names or two sizes")
            own |= found
            header = _header(read)
            if header is None:
                raise NotUnderstood("the archive ends in a header without a member")
        member = _member(header, own)
        yield member
        _pad(read, member.size)
    while rest := read(BLOCK):
        if rest.strip(b"\0"):
            raise NotUnderstood("bytes follow the end of the archive")


def _member(header: tarfile.TarInfo, own: dict[str, str]) -> Member:
    """The member of a header, whose extended headers say `own`."""
    name = own.get("path", header.name)
    size = _number(own["size"]) if "size" in own else header.size
    folder = header.type == tarfile.DIRTYPE
    if not folder and header.type not in _FILE:
        what = _OTHERS.get(header.type, "of a kind that not every reader knows")
        raise Refused(f"is {what}", where=printable(name), help="unpack it, and stage the folder")
    if folder and size:
        raise NotUnderstood(f"the folder {printable(name)} has bytes, which not every reader passes over")
    return Member(name.rstrip("/") if folder else name, size, folder)


def _header(read: Read) -> tarfile.TarInfo | None:
    """The next header; None at the archive's end."""
    block = read(BLOCK)
    if block == _ZEROS:
        return None
    if len(block) != BLOCK:
        raise NotUnderstood("the archive ends early")
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise NotUnderstood(f"the archive has a block that is no header: {error}") from error
    if header.size < 0:
        raise NotUnderstood("a member of the archive has a negative size")
    return header


def _data(read: Read, size: int) -> bytes:
    """The bytes that belong to a header."""
    if size > limits.TAR_HEADER_BYTES:
        raise NotUnderstood(f"a header of the archive is longer than {limits.TAR_HEADER_BYTES:,} bytes")
    data = read(size) if size else b""
    if len(data) != size:
        raise NotUnderstood("the archive ends early")
    _pad(read, size)
    return data


def _pad(read: Read, size: int) -> None:
    """What fills up the last block of `size` bytes."""
    if size % BLOCK and len(read(BLOCK - size % BLOCK)) != BLOCK - size % BLOCK:
        raise NotUnderstood("the archive ends early")


def _records(data: bytes) -> dict[str, str]:
    """The records ``LENGTH KEY=VALUE`` of an extended header, each key once."""
    found: dict[str, str] = {}
    while data:
        length, space, _ = data[:20].partition(b" ")
        count = _number(length.decode("ascii", "replace")) if space else 0
        record, data = data[len(length) + 1 : count], data[count:]
        key, equals, value = record.partition(b"=")
        name = key.decode("utf-8", "surrogateescape")
        if not equals or not value.endswith(b"\n") or len(length) + 1 + len(record) != count or name in found:
            raise NotUnderstood("an extended header of the archive is malformed")
        if name.startswith("GNU.sparse.") or name == "hdrcharset":
            raise NotUnderstood(f"an extended header of the archive has {printable(name)[:40]}")
        found[name] = value[:-1].decode("utf-8", "surrogateescape")
    return found


def _global(data: bytes) -> dict[str, str]:
    """What holds for all members that follow: a comment or a time, which no reader needs."""
    if not {"path", "size", "linkpath"}.isdisjoint(_records(data)):
        raise NotUnderstood("a header of the archive names or sizes all members that follow")
    return {}


def _long_name(data: bytes) -> dict[str, str]:
    return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NotUnderstood("an extended header of the archive has a number that is none")
    return int(text)


_IN_FRONT: dict[bytes, Callable[[bytes], dict[str, str]]] = {
    tarfile.XHDTYPE: _records,
    tarfile.SOLARIS_XHDTYPE: _records,
    tarfile.XGLTYPE: _global,
    tarfile.GNUTYPE_LONGNAME: _long_name,
}
"""The headers in front of a member's own, and what they say of it."""
