"""A tree's files as a value: path, size and SHA-256 of each, and the digest over them all.

The tree digest is the SHA-256 of what `Manifest.to_checksums` writes, one line a file, sorted by
the bytes of the whole path. That is in-toto's ``dirHash`` (Go's h1, in hex), and ``find``, ``sort``
and ``sha256sum`` recompute it.

    >>> empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    >>> manifest = Manifest((File("a/b.json", 0, empty), File("c.bin", 0, empty)))
    >>> manifest.digest[:12], manifest.size
    ('31b02a0b944a', 0)
    >>> manifest.compare(manifest.without(["c.bin"])).missing
    ('c.bin',)

Two other forms are read and written: ``checksums.sha256`` for ``sha256sum -c``, which is those same
lines, and the ``manifest.json`` that is signed with cosign. Neither is believed: they are compared with
what a verified statement states.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact.tree import fault_of_path
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.records import read_json
from tuneguard.typed import Count, Sha256, Text  # noqa: TC001 - a seal reads `File` by its annotations

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_HEX = re.compile(r"[0-9a-f]{64}").fullmatch
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True)
class File:
    """One file: its path below the tree's root, its size in bytes, its SHA-256 in lower hex."""

    path: Text
    size: Count
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Difference:
    """What a found tree lacks, has too much, or has otherwise: ``changed`` is (path, expected, found).

    It is false where nothing differs.
    """

    missing: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[tuple[str, str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.added or self.changed)


@dataclass(frozen=True)
class Manifest:
    """A tree's files, sorted by the bytes of their paths, each path once.

    Raises:
        NotUnderstood: the files are not such a list; an untrusted statement may have held them.
    """

    files: tuple[File, ...]

    def __post_init__(self) -> None:
        before = ""
        for file in self.files:
            # Code points compare as their UTF-8 bytes do, so this is the order of the bytes.
            if file.path <= before or fault_of_path(file.path) or not _HEX(file.sha256) or file.size < 0:
                raise NotUnderstood(_fault_of(file, before) + " in a manifest", where=printable(file.path))
            before = file.path

    @classmethod
    def of(cls, files: Iterable[File]) -> Manifest:
        """The manifest of `files`, which come in no order."""
        # By code point is by UTF-8 bytes: the encoding keeps the order.
        return cls(tuple(sorted(files, key=attrgetter("path"))))

    @cached_property
    def digest(self) -> str:
        """The tree digest: SHA-256 in lower hex over the lines that `to_checksums` writes."""
        return hashlib.sha256(self.to_checksums()).hexdigest()

    @cached_property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def compare(self, found: Manifest) -> Difference:
        """What `found` has that differs from this, the expected one. Sizes follow from the digests."""
        ours = {file.path: file.sha256 for file in self.files}
        theirs = {file.path: file.sha256 for file in found.files}
        return Difference(
            missing=tuple(path for path in ours if path not in theirs),
            added=tuple(path for path in theirs if path not in ours),
            changed=tuple(
                (path, sha256, theirs[path])
                for path, sha256 in ours.items()
                if theirs.get(path, sha256) != sha256
            ),
        )

    def without(self, paths: Collection[str]) -> Manifest:
        """The same manifest with `paths` left out; a path that is not there changes nothing."""
        left_out = frozenset(paths)
        return Manifest(tuple(file for file in self.files if file.path not in left_out))

    def to_checksums(self) -> bytes:
        """``<hex>  <path>`` lines, as ``sha256sum`` writes and ``sha256sum -c`` reads them."""
        return "".join([f"{file.sha256}  {file.path}\n" for file in self.files]).encode()

    @staticmethod
    def read_checksums(data: bytes, where: str) -> dict[str, str]:
        """Path to SHA-256 in lower hex, of what ``sha256sum`` wrote, in text or binary mode.

        Raises:
            NotUnderstood: a line of another form (``sha256sum`` begins the line of a name that it
                had to escape with a backslash: no tree holds such a name), a path given twice, or
                one that no tree can hold.
        """
        if len(data) > limits.MANIFEST_BYTES:
            raise NotUnderstood(f"is larger than {limits.MANIFEST_BYTES:,} bytes", where=printable(where))
        checksums: dict[str, str] = {}
        for place, line in _lines(data, where):
            match = _LINE(line)
            if match is None:
                raise NotUnderstood("is no line of sha256sum: 64 hex digits, two spaces, a path", where=place)
            sha256, path = match.groups()
            if path in checksums:
                raise NotUnderstood(f"the path {printable(path)} is listed twice", where=place)
            _check_path(path, place)
            checksums[path] = sha256.lower()
        return checksums

    def to_cosign_manifest(self) -> bytes:
        """Cosign's ``manifest.json``, byte for byte as ``json.dump(manifest, f, indent=2)`` writes it.

        Its scripts sort `pathlib` paths, which compare component by component: ``a/b`` comes before
        ``a-b`` there and after it in a manifest.
        """
        ordered = sorted(self.files, key=lambda file: file.path.split("/"))
        document = {"files": {file.path: file.sha256 for file in ordered}, "metadata": {}}
        return json.dumps(document, indent=2).encode()

    @staticmethod
    def read_cosign_manifest(data: bytes, where: str) -> dict[str, str]:
        """Path to SHA-256, of cosign's ``manifest.json``. Its ``metadata`` is unused.

        Raises:
            NotUnderstood: not that form, a key given twice, a digest that is none, or a path that no
                tree can hold (absolute, or leaving the tree by ``..``).
        """
        document = read_json(data, where, limit=limits.MANIFEST_BYTES)
        place = printable(where)
        if not isinstance(document, dict) or document.keys() != {"files", "metadata"}:
            raise NotUnderstood('is no manifest: {"files": {…}, "metadata": {…}}', where=place)
        files = document["files"]
        if not isinstance(files, dict) or not isinstance(document["metadata"], dict):
            raise NotUnderstood("`files` and `metadata` must both be objects", where=place)
        for path, sha256 in files.items():
            _check_path(path, place)
            if not isinstance(sha256, str) or not _HEX(sha256):
                raise NotUnderstood(
                    f"the SHA-256 of {printable(path)} is not 64 lower hex digits", where=place
                )
        return files


def _fault_of(file: File, before: str) -> str:
    fault = fault_of_path(file.path)
    if fault is not None:
        return f"a path that {fault}"
    if file.path <= before:
        return "a path that is listed twice" if file.path == before else "a path out of its bytes' order"
    return "a negative size" if file.size < 0 else "a digest that is not 64 lower hex digits"


def _check_path(path: str, place: str) -> None:
    fault = fault_of_path(path)
    if fault is not None:
        mend = "write the path without ./" if path.startswith("./") else None
        raise NotUnderstood(f"the path {printable(path) or '``'} {fault}", where=place, help=mend)


def _lines(data: bytes, where: str) -> Iterator[tuple[str, str]]:
    """Each line with its place ``file:line``. Only the newline ends a line, as in ``sha256sum``."""
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        place = f"{printable(where)}:{number}"
        try:
            yield place, line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotUnderstood("is not UTF-8", where=place) from error
