"""torch's zip form (and other zips): the pickle in it, its storages, and whether the two agree.

``torch.save`` writes a folder ``<name>/`` with ``data.pkl``, one member ``data/<key>`` for each storage,
and a few small notes. What a tensor asks for must be there in the right length, and what is there
must be asked for: anything else is a place to hide bytes. Members that torch does not write are
content to identify in their own right.

Source: torch ``serialization.py`` ``_save`` and ``_load``; ``caffe2/serialize/inline_container.cc``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.formats import zip as zipped
from tuneguard.formats.distributed import Archives
from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Content, Fact, Hidden, Inside, NotRead, TwoReadings
from tuneguard.formats.pickle.facts import Call, Ended, Persistent
from tuneguard.formats.pickle.machine import Machine
from tuneguard.formats.torch_storage import Storage, StorageMismatch, storage_of, tensor_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader

_NOTES = {
    "version": re.compile(rb"[0-9]{1,4}\n?"),
    "byteorder": re.compile(rb"little|big"),
    ".format_version": re.compile(rb"[0-9]{1,4}"),
    ".storage_alignment": re.compile(rb"[0-9]{1,6}"),
    ".data/serialization_id": re.compile(rb"[0-9]{1,64}"),
    ".data/version": re.compile(rb"[0-9]{1,4}\n?"),
}
"""The small notes beside the pickle, and all that they may state."""
_KEY = re.compile(r"data/(0|[1-9][0-9]{0,17})", re.ASCII)
_DATA = "data.pkl"
_OF_SCRIPT = {"constants.pkl": "constants/", "traced_inputs.pkl": "traced_inputs/"}
"""TorchScript's own pickles, and where the storages lie that they ask for."""
_DEBUG = ".debug_pkl"


class Torch(Fact, frozen=True, eq=False):
    """The archive is one of torch's, and its pickle is read as such."""


class TorchScript(Fact, frozen=True, eq=False):
    """The archive is a TorchScript module: ``torch.load`` hands it to the TorchScript interpreter."""

    member: str


def read(reader: Reader) -> Iterator[Fact]:
    """Every fact of a zip archive, torch's or not, or of several archives of torch behind each other.

    Raises:
        NotUnderstood: it is no archive, or a broken one.
    """
    places = zipped.archives(reader)
    if not places:
        yield Archives(((0, reader.size),))
        yield from _read_one(reader, zipped.read_directory(reader))
        return
    yield Archives(tuple((place.start, place.length) for place in places))
    if (fault := zipped.in_a_row(reader, places)) is not None:
        yield fault
    for number, place in enumerate(places):
        part = reader.section(place.length)
        directory = zipped.read_directory(part)
        first = directory.entries[0] if directory.entries else None
        if first is None or first.offset or first.name != f"{first.name.split('/', 1)[0]}/{_DATA}":
            yield TwoReadings("one of several archives does not begin with its pickle", place.start)
        for fact in _read_one(part, directory):
            yield _numbered(fact, number)


def _numbered(fact: Fact, number: int) -> Fact:
    """A fact about one archive of several, whose members have the same names."""
    if isinstance(fact, Inside) and fact.member is not None:
        return Inside(f"{number}: {fact.member}")
    if isinstance(fact, Content):
        return Content(f"{number}: {fact.member}", fact.reader, fact.guess)
    return fact


def _read_one(reader: Reader, directory: zipped.Directory) -> Iterator[Fact]:
    root = _torch_root(directory.entries)
    members = zipped.read_members(reader, directory)
    if root is not None:
        yield Torch()
        yield from _Torch(root, directory.entries).read(members)
    elif any(entry.name.endswith("/archive_format") for entry in directory.entries):
        yield from _read_exported(members)
    else:
        yield from _read_other(members)


def _torch_root(entries: list[zipped.Entry]) -> str | None:
    """The folder that torch's reader looks in, the first entry's, if a pickle that it reads is there."""
    if not entries or "/" not in entries[0].name:
        return None
    root = entries[0].name.split("/", 1)[0]
    wanted = f"{root}/{_DATA}".lower()
    return root if any(entry.name.lower() == wanted for entry in entries) else None


def _read_other(members: Iterator[zipped.Member | Fact]) -> Iterator[Fact]:
    for member in members:
        if isinstance(member, zipped.Member):
            yield from _unknown_member(member)
        else:
            yield member


def _read_exported(members: Iterator[zipped.Member | Fact]) -> Iterator[Fact]:
    """A program of ``torch.export``: its members are looked at for content that they must not be."""
    yield NotRead(
        "it is a program of torch.export (.pt2), which a loader compiles and runs: save the weights, "
        "model.state_dict(), with torch.save or safetensors"
    )
    for member in members:
        if not isinstance(member, zipped.Member):
            yield member
        elif member.content is not None:
            yield from content_of(member.content, member.entry.shown)


def _unknown_member(member: zipped.Member) -> Iterator[Fact]:
    name = member.entry.shown
    if member.content is not None:
        yield Content(name, member.content)
        return
    yield Inside(name)
    yield NotRead(f"the member is packed in a way that is not read ({member.entry.how})")
    yield Inside(None)


class _Torch:
    """One archive of torch's: what its pickle asks for against what is there."""

    def __init__(self, root: str, entries: list[zipped.Entry]) -> None:
        self._prefix = root + "/"
        names = {entry.name.removeprefix(self._prefix) for entry in entries}
        # What its compiler writes: source, and beside it a pickle of where each line came from.
        self._script = {name for name in names if f"{name}{_DEBUG}" in names or name.endswith(_DEBUG)}
        self._script = {name for name in self._script if name.startswith("code/")}
        self._asked: dict[str, Storage] = {}
        self._there: dict[str, tuple[int, int]] = {}
        self._broken = False

    def read(self, members: Iterator[zipped.Member | Fact]) -> Iterator[Fact]:
        for member in members:
            if isinstance(member, zipped.Member):
                yield from self._member(member)
            else:
                yield member
        if not self._broken:
            yield from self._compare()

    def _member(self, member: zipped.Member) -> Iterator[Fact]:
        entry, content = member.entry, member.content
        name = entry.name.removeprefix(self._prefix)
        if name in _OF_SCRIPT or name.startswith("code/"):
            yield TorchScript(entry.shown)
        if entry.method != zipped.STORED and name not in self._script:
            # torch's reader unpacks what torch never packs; another reader may not.
            yield TwoReadings(f"member {entry.shown} is {entry.how}, as torch never writes it", entry.offset)
        if content is None or not entry.name.startswith(self._prefix):
            yield from _unknown_member(member)
        elif key := _KEY.fullmatch(name):
            yield from self._storage(key[1], content, entry)
        elif name == _DATA:
            yield from self._pickle(content, entry)
        elif name in _NOTES:
            yield from _note(name, content, entry)
        elif name in self._script and name.endswith(".py"):
            content.drain()  # the code that a `TorchScript` fact reports
        elif name.startswith(tuple(_OF_SCRIPT.values())) and self._script:
            yield from content_of(content, entry.shown)
        elif name in _OF_SCRIPT:
            yield from _beside_script(content, entry)
        else:
            yield Content(entry.shown, content)

    def _storage(self, key: str, content: Reader, entry: zipped.Entry) -> Iterator[Fact]:
        self._there[key] = (entry.size, entry.offset)
        yield from content_of(content, entry.shown)

    def _pickle(self, content: Reader, entry: zipped.Entry) -> Iterator[Fact]:
        yield Inside(entry.shown)
        for fact in Machine(content).run():
            if type(fact) is Persistent and (storage := storage_of(fact, legacy=False)):
                yield from self._ask(storage)
            elif not isinstance(fact, Ended):
                if type(fact) is Call and (fault := tensor_fault(fact)):
                    yield fault
                self._broken = self._broken or isinstance(fact, NotRead)
                yield fact
        if not self._broken:
            yield from _rest(content)
        yield Inside(None)

    def _ask(self, storage: Storage) -> Iterator[Fact]:
        known = self._asked.setdefault(storage.key, storage)
        if known.size != storage.size:
            yield StorageMismatch(f"storage {storage.key} is asked for in two lengths", storage.offset)

    def _compare(self) -> Iterator[Fact]:
        for key, storage in self._asked.items():
            size, offset = self._there.pop(key, (-1, None))
            if size < 0:
                yield StorageMismatch(f"storage {key} is asked for and not there", None)
            elif size != storage.size:
                yield StorageMismatch(
                    f"storage {key} holds {size:,} bytes where its tensors say {storage.size:,}", offset
                )
        for key, (size, offset) in self._there.items():
            yield Hidden(f"storage {key}, which no tensor asks for", offset, size)


def _beside_script(content: Reader, entry: zipped.Entry) -> Iterator[Fact]:
    """A pickle of TorchScript's own. Its storages are members beside it, which are looked at like any."""
    yield Inside(entry.shown)
    for fact in Machine(content).run():
        stored = type(fact) is Persistent and storage_of(fact, legacy=False) is not None
        if not stored and not isinstance(fact, Ended):
            yield fact
    yield from _rest(content)
    yield Inside(None)


def _rest(content: Reader) -> Iterator[Fact]:
    if content.remaining:
        yield Hidden("bytes behind the pickle's end", content.offset, content.drain())


def _note(name: str, content: Reader, entry: zipped.Entry) -> Iterator[Fact]:
    if content.size > 64 or not _NOTES[name].fullmatch(content.peek(64)):
        yield Hidden(f"the note {name} does not say what torch writes there", entry.offset, entry.size)
