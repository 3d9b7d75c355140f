"""Zip archives, read so strictly that every reader must see the same members.

A zip names its members twice: in front of each member's bytes, and in a directory at the end. Lax
readers disagree on what to do when the two differ, when a name comes twice, when bytes stand between
members or in front of the archive. torch's reader (miniz) takes the first of two equal names, ignores
CRCs and compares names without case; Python's ``zipfile`` takes the last, checks CRCs and minds case.
So each departure from the plain form is reported as `TwoReadings` or `Hidden`, with both sides read on as
far as they can be.

The plain form: members one behind the other from byte 0 in any order, the directory, nothing else.
The archive is read front to back; the directory, which must be seen first, is compared with the
bytes that pass in the end.

Source: PKWARE APPNOTE 6.3.10; torch ``caffe2/serialize/inline_container.cc`` and miniz 3.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tuneguard import limits
from tuneguard.errors import ChangedWhileRead, NotUnderstood
from tuneguard.files import printable
from tuneguard.formats.facts import Fact, Hidden, TwoReadings
from tuneguard.formats.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL = b"PK\x03\x04"
CENTRAL = b"PK\x01\x02"
END = b"PK\x05\x06"
END64 = b"PK\x06\x06"
LOCATOR64 = b"PK\x06\x07"
DESCRIPTOR = b"PK\x07\x08"

STORED = 0
DEFLATED = 8
_METHODS = {STORED: "stored", DEFLATED: "deflated", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd"}

ENCRYPTED = 0x0001 | 0x0040 | 0x2000
PATCHED = 0x0020
STREAMED = 0x0008
_KNOWN_FLAGS = 0x0006 | STREAMED | 0x0800  # compression level, sizes behind the data, UTF-8 names
_MAX32 = 0xFFFFFFFF
_MAX16 = 0xFFFF
_LINK = 0xA
"""A symbolic link, in the highest bits of a member's Unix mode."""
_SEARCHED = 22 + _MAX16 + 4096
"""Bytes at the end in which an end record is sought: its size, the longest comment, one block of miniz."""
_NEWEST = 63
"""The newest version of the specification: Python refuses a member that wants a newer one, torch does not."""

_local = struct.Struct("<4s5H3I2H")
_central = struct.Struct("<4s6H3I5H2I")
_end = struct.Struct("<4s4H2IH")
_end64 = struct.Struct("<4sQ2H2I4Q")
_locator64 = struct.Struct("<4sIQI")


class Entry(msgspec.Struct, frozen=True, eq=False):
    """A member as the directory lists it. ``name`` is printable only through ``files.printable``."""

    name: str
    raw_name: bytes
    version: int
    flags: int
    method: int
    time: tuple[int, int]
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def shown(self) -> str:
        """The name, safe to print."""
        return printable(self.name)

    @property
    def how(self) -> str:
        """The method of compression in a word."""
        return _METHODS.get(self.method, f"method {self.method}")


class Directory(msgspec.Struct, frozen=True, eq=False):
    """An archive's directory: its entries in their own order, where it begins, its bytes to the end."""

    entries: list[Entry]
    offset: int
    raw: bytes
    faults: list[Fact]


class Member(msgspec.Struct, frozen=True, eq=False):
    """A member whose bytes come next. ``content`` is None where they cannot be unpacked."""

    entry: Entry
    content: Reader | None


# --- what other readers take for an archive ---------------------------------------------------------------


def found_at_end(tail: bytes, size: int) -> int | None:
    """Where in `size` bytes that end with `tail` a reader of zip finds an archive's end record, or None.

    Most readers (``zipfile``, miniz and so ``torch.jit.load``) search for the record from the end and mind
    neither what stands in front of the archive nor, within the longest comment, what stands behind it. Some
    refuse the archive afterwards; here the record alone counts.
    """
    at = len(tail)
    while (at := tail.rfind(END, max(0, len(tail) - _SEARCHED), at)) >= 0:
        if len(tail) - at >= _end.size:
            return size - len(tail) + at
    return None


class Place(NamedTuple):
    """An archive among several: where it begins in the file, its length, where its directory begins."""

    start: int
    length: int
    directory: int


def archives(reader: Reader) -> tuple[Place, ...]:
    """The archives that `reader` consists of, one behind the other: none where it is a single one.

    Several are what torch writes, each with a 64-bit end record and without a comment: from the last
    one's record follows where it begins, and so where the one before it ends. They count only if the first
    one begins with the file.
    """
    places: list[Place] = []
    end = reader.size
    while end and len(places) < limits.ZIP_ARCHIVES:
        place = _place_before(reader, end)
        if place is None:
            break
        places.append(place)
        end = place.start
    return tuple(reversed(places)) if len(places) > 1 and not end else ()


def _place_before(reader: Reader, end: int) -> Place | None:
    """The archive that ends before `end`, if it ends as torch's do."""
    size = _end64.size + _locator64.size + _end.size
    raw = reader.look(end - size, size) if end >= size else b""
    if len(raw) != size:
        return None
    record = _end64.unpack_from(raw)
    locator = _locator64.unpack_from(raw, _end64.size)
    last = _end.unpack_from(raw, _end64.size + _locator64.size)
    if (record[0], locator[0], last[0], last[7]) != (END64, LOCATOR64, END, 0):
        return None
    directory: int = end - size - record[8]
    start: int = directory - record[9]
    whole = start >= 0 and locator[2] == end - size - start
    return Place(start, end - start, directory) if whole and reader.look(start, 4) == LOCAL else None


def in_a_row(reader: Reader, places: tuple[Place, ...]) -> TwoReadings | None:
    """What a reader finds that takes several archives for one: only a directory that is one of theirs.

    It counts the last archive's offsets from the beginning of the file.
    """
    last = places[-1]
    at = last.directory - last.start
    if reader.look(at, 4) == CENTRAL and at not in {place.directory for place in places}:
        return TwoReadings("a second directory, for a reader that takes all archives for one", at)
    return None


# --- the directory --------------------------------------------------------------------------------------


def read_directory(reader: Reader) -> Directory:
    """The directory, looked at ahead of its time.

    Raises:
        NotUnderstood: there is none, or it is no plain one.
    """
    end_at, end = _find_end(reader)
    faults: list[Fact] = []
    behind = reader.size - end_at - _end.size
    if behind:
        faults.append(Hidden("a comment or other bytes behind the archive", end_at + _end.size, behind))
    count, size, offset, directory_end = _directory_place(reader, end, end_at)
    if count > limits.ZIP_MEMBERS or size > limits.ZIP_DIRECTORY:
        raise NotUnderstood(f"an archive of {count:,} members is over the limit of {limits.ZIP_MEMBERS:,}")
    if offset + size != directory_end:
        faults.append(TwoReadings("the archive's directory is not where its end says", offset))
    if offset + size > reader.size:
        raise NotUnderstood("the archive's directory lies outside of the file")
    if reader.size - offset > limits.ZIP_DIRECTORY:
        raise NotUnderstood("the archive's directory is not at its end")
    raw = reader.look(offset, reader.size - offset)
    entries = _read_entries(raw, count, size, faults)
    if sum(entry.size for entry in entries if entry.method != STORED) > limits.ZIP_INFLATED_IN_ALL:
        raise NotUnderstood(f"an archive that unpacks to over {limits.ZIP_INFLATED_IN_ALL:,} bytes")
    return Directory(entries, offset, raw, faults)


def _find_end(reader: Reader) -> tuple[int, tuple[int, ...]]:
    """Where the end record is, and its numbers: the last one in the file, as every reader seeks it."""
    tail_at = max(0, reader.size - _end.size - _MAX16)
    tail = reader.look(tail_at, reader.size - tail_at)
    found = tail.rfind(END)
    while found >= 0:
        if len(tail) - found >= _end.size:
            return tail_at + found, _end.unpack_from(tail, found)[1:]
        found = tail.rfind(END, 0, found)
    raise NotUnderstood("begins like a zip archive and has no directory")


def _directory_place(reader: Reader, end: tuple[int, ...], end_at: int) -> tuple[int, int, int, int]:
    """(count, size, offset, where it must end) of the directory, of the 64-bit end record if there is one."""
    disk, first_disk, count_here, count, size, offset, _ = end
    if disk or first_disk or count_here != count:
        raise NotUnderstood("is one of several volumes of an archive")
    locator_at = end_at - _locator64.size
    raw = reader.look(locator_at, _locator64.size) if locator_at >= 0 else b""
    if not raw.startswith(LOCATOR64):
        return count, size, offset, end_at
    _, volume, record_at, volumes = _locator64.unpack(raw)
    if volume or volumes > 1 or record_at + _end64.size > reader.size:
        raise NotUnderstood("the archive's 64-bit end record lies outside of the file")
    record = _end64.unpack(reader.look(record_at, _end64.size))
    plain = record[0] == END64 and record[1] == _end64.size - 12 and record_at + _end64.size == locator_at
    if not plain or record[4] or record[5] or record[6] != record[7]:
        raise NotUnderstood("the archive's 64-bit end record is not a plain one")
    long = record[7:10]
    for here, there, most in zip((count, size, offset), long, (_MAX16, _MAX32, _MAX32), strict=True):
        if here not in (there, most):
            raise NotUnderstood("the archive's two end records disagree")
    return long[0], long[1], long[2], record_at


def _read_entries(raw: bytes, count: int, size: int, faults: list[Fact]) -> list[Entry]:
    entries: list[Entry] = []
    at = 0
    for _ in range(count):
        if at + _central.size > size or raw[at : at + 4] != CENTRAL:
            raise NotUnderstood("the archive's directory ends before its last entry")
        fields = _central.unpack_from(raw, at)
        name_at = at + _central.size
        extra_at = name_at + fields[10]
        comment_at = extra_at + fields[11]
        at = comment_at + fields[12]
        if at > size:
            raise NotUnderstood("an entry of the archive's directory is cut short")
        entry = _entry(fields, raw[name_at:extra_at], raw[extra_at:comment_at])
        if fields[12]:
            faults.append(Hidden(f"a comment on member {entry.shown}", entry.offset, fields[12]))
        if fields[11] and not _plain_extra(raw[extra_at:comment_at]):
            faults.append(Hidden(f"an extra field on member {entry.shown}", entry.offset, fields[11]))
        if fields[13] or fields[15] >> 28 == _LINK:
            faults.append(TwoReadings(f"member {entry.shown} is a link or on another volume", entry.offset))
        entries.append(entry)
    if at != size:
        faults.append(Hidden("bytes in the archive's directory", at, size - at))
    return entries


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> Entry:
    packed, size, offset = fields[8], fields[9], fields[16]
    wide = _extra_fields(extra).get(0x0001, b"")
    values = [value for (value,) in struct.iter_unpack("<Q", wide[: len(wide) // 8 * 8])]
    # The 64-bit values stand in this order, and only those whose 32-bit field is full.
    if size == _MAX32 and values:
        size = values.pop(0)
    if packed == _MAX32 and values:
        packed = values.pop(0)
    if offset == _MAX32 and values:
        offset = values.pop(0)
    name = raw_name.decode("utf-8", "surrogateescape")
    time = fields[5], fields[6]
    return Entry(name, raw_name, fields[2], fields[3], fields[4], time, fields[7], packed, size, offset)


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    """Extra fields by their number; what does not parse is under -1."""
    fields: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<HH", extra, at)
        if at + 4 + length > len(extra) or number in fields:
            break
        fields[number] = extra[at + 4 : at + 4 + length]
        at += 4 + length
    if at != len(extra):
        fields[-1] = extra[at:]
    return fields


# --- the members ------------------------------------------------------------------------------------------


def read_members(reader: Reader, directory: Directory) -> Iterator[Member | Fact]:
    """Each member as its bytes come, and every departure from the plain form.

    A member's content must be read before the next is asked for; what is left of it passes unread.

    Raises:
        NotUnderstood: the members overlap or are cut short.
        ChangedWhileRead: the directory is not what it was when it was looked at.
    """
    yield from directory.faults
    yield from _name_faults(directory.entries)
    for entry in sorted(directory.entries, key=lambda entry: entry.offset):
        gap = entry.offset - reader.offset
        if gap < 0:
            raise NotUnderstood(f"member {entry.shown} overlaps the one before it")
        if gap:
            yield Hidden("bytes between the archive's members", reader.offset, gap)
            reader.skip(gap)
        yield from _read_member(reader, entry)
    gap = directory.offset - reader.offset
    if gap < 0:
        raise NotUnderstood("the last member overlaps the archive's directory")
    if gap:
        yield Hidden("bytes in front of the archive's directory", reader.offset, gap)
        reader.skip(gap)
    _compare_directory(reader, directory)


def _compare_directory(reader: Reader, directory: Directory) -> None:
    at = 0
    while reader.remaining:
        passing = reader.take(reader.remaining)
        if directory.raw[at : at + len(passing)] != passing:
            raise ChangedWhileRead("the archive's directory changed while it was read")
        at += len(passing)


def _name_faults(entries: list[Entry]) -> Iterator[Fact]:
    seen: dict[str, str] = {}
    for entry in entries:
        # Without case, as torch's reader compares; `lower` is what it does for ASCII.
        other = seen.setdefault(entry.name.lower(), entry.name)
        if other is not entry.name:
            same = "twice" if other == entry.name else f"as {printable(other)} as well"
            yield TwoReadings(f"member {entry.shown} comes {same}: readers take different ones", entry.offset)
        if not _plain_name(entry):
            yield TwoReadings(f"the member name {entry.shown} is no plain relative path", entry.offset)


def _plain_name(entry: Entry) -> bool:
    name = entry.name
    if not name.isprintable() or "\\" in name or (not name.isascii() and not entry.flags & 0x0800):
        return False
    if not entry.size:
        name = name.removesuffix("/")  # a folder, which some writers list
    return all(part not in ("", ".", "..") for part in name.split("/"))


def _read_member(reader: Reader, entry: Entry) -> Iterator[Member | Fact]:
    """A member's header, bytes and descriptor."""
    at = reader.offset
    fields = _local.unpack(reader.read(_local.size))
    if fields[0] != LOCAL:
        raise NotUnderstood(f"member {entry.shown} is not where the archive's directory says")
    name = reader.read(fields[9])
    extra = reader.read(fields[10])
    yield from _header_faults(entry, fields, name, extra, at)
    summed = _Crc()
    part = reader.part(entry.packed, watch=summed)
    yield from _unpacked(part, entry, at)
    part.drain()
    if entry.flags & STREAMED:
        yield from _read_descriptor(reader, entry, fields)
    if entry.method == STORED and summed.value != entry.crc:
        yield TwoReadings(f"the checksum of {entry.shown} is wrong, which torch ignores and others mind", at)


def _unpacked(part: Reader, entry: Entry, at: int) -> Iterator[Member | Fact]:
    if entry.method == STORED and not entry.flags & ENCRYPTED:
        yield Member(entry, part)
        return
    if entry.method == DEFLATED and not entry.flags & ENCRYPTED and entry.size <= limits.ZIP_INFLATED:
        data = _inflate(part, entry.size)
        if data is not None and zlib.crc32(data) == entry.crc:
            yield Member(entry, Reader.of_bytes(data))
            return
        yield TwoReadings(f"member {entry.shown} does not unpack to what the archive says", at)
    yield Member(entry, None)


def _inflate(part: Reader, size: int) -> bytes | None:
    """The unpacked bytes if they are exactly `size`; never more than that is held."""
    unpacker = zlib.decompressobj(-15)
    pieces: list[bytes] = []
    left = size + 1
    try:
        while left and part.remaining:
            packed = part.take(part.remaining)
            while packed and left:
                piece = unpacker.decompress(packed, left)
                left -= len(piece)
                pieces.append(piece)
                packed = unpacker.unconsumed_tail
    except zlib.error:
        return None
    return b"".join(pieces) if left == 1 and unpacker.eof and not unpacker.unused_data else None


def _header_faults(
    entry: Entry, fields: tuple[int, ...], name: bytes, extra: bytes, at: int
) -> Iterator[Fact]:
    member = f"member {entry.shown}"
    if name != entry.raw_name:
        yield TwoReadings(f"{member} has another name in front of its bytes than in the directory", at)
    if entry.version > _NEWEST or fields[1] != entry.version or fields[4:6] != entry.time:
        yield TwoReadings(f"{member} wants another version of zip, or has two dates", at)
    if fields[2] != entry.flags or fields[3] != entry.method:
        yield TwoReadings(f"{member} is packed one way in front of its bytes, another in the directory", at)
    if entry.flags & ENCRYPTED:
        yield TwoReadings(f"{member} is marked as encrypted, which torch ignores and others mind", at)
    elif entry.flags & ~_KNOWN_FLAGS:
        yield TwoReadings(f"{member} has the flags 0x{entry.flags:04x}, on which readers differ", at)
    if entry.method == STORED and entry.packed != entry.size:
        yield TwoReadings(f"{member} is not compressed and has two lengths", at)
    if not entry.flags & STREAMED and not _same_sizes(entry, fields, _extra_fields(extra)):
        yield TwoReadings(f"{member} has another length or checksum in front of its bytes", at)
    if extra and not _plain_extra(extra):
        yield Hidden(f"an extra field in front of {member}", at, len(extra))


def _same_sizes(entry: Entry, fields: tuple[int, ...], extra: dict[int, bytes]) -> bool:
    crc, packed, size = fields[6:9]
    wide = extra.get(0x0001)
    if wide is not None and len(wide) == 16 and packed == size == _MAX32:
        size, packed = struct.unpack("<QQ", wide)
    return (crc, packed, size) == (entry.crc, entry.packed, entry.size)


def _plain_extra(extra: bytes) -> bool:
    """Only what writers put there: 64-bit sizes, times, owners, and torch's padding of the letter Z."""
    fields = _extra_fields(extra)
    if b"Z" * len(fields.get(0x4246, b"")) != fields.get(0x4246, b""):
        return False
    longest = {0x0001: 32, 0x4246: _MAX16, 0x5455: 13, 0x7875: 11}
    return all(len(value) <= longest.get(number, -1) for number, value in fields.items())


def _read_descriptor(reader: Reader, entry: Entry, fields: tuple[int, ...]) -> Iterator[Fact]:
    """The sizes behind a member's bytes: with or without a mark, of 32 or 64 bits."""
    at = reader.offset
    if any(fields[6:9]) and not _same_sizes(entry, fields, {}) and fields[7] != _MAX32:
        yield TwoReadings(f"member {entry.shown} has another length or checksum in front of its bytes", at)
    if not entry.size and not reader.peek(4).startswith(DESCRIPTOR):
        return  # torch's writer announces a descriptor for an empty member and leaves it out
    head = reader.peek(24)
    mark = DESCRIPTOR if head.startswith(DESCRIPTOR) else b""
    for form, most in (("<I2I", _MAX32), ("<I2Q", (1 << 64) - 1)):
        raw = mark + struct.pack(form, entry.crc, entry.packed & most, entry.size & most)
        if head.startswith(raw) and reader.peek(len(raw) + 2)[len(raw) :] == b"PK":
            reader.read(len(raw))
            return
    yield TwoReadings(f"member {entry.shown} has another length or checksum behind its bytes", at)


class _Crc:
    """Sums what passes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def __call__(self, chunk: bytes) -> None:
        self.value = zlib.crc32(chunk, self.value)
