"""A tree's files as a value: path, size and SHA-256 of each, and the digest over them all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class File:
    """One file: its path below the tree's root, its size in bytes, its SHA-256 in lower hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What a found tree lacks, has too much, or has otherwise: ``changed`` is (path, expected, found)."""

    missing: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[tuple[str, str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.added or self.changed)


@dataclass(frozen=True)
class Manifest:
    """A tree's files, sorted by the bytes of their paths, each path once."""

    files: tuple[File, ...]

    @cached_property
    def digest(self) -> str:
        """The tree digest: SHA-256 in lower hex over the lines that `to_checksums` writes."""
        return hashlib.sha256(self.to_checksums()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def compare(self, found: Manifest) -> Difference:
        """What `found` has that differs from this, the expected one."""
        raise NotImplementedError

    def without(self, paths: Collection[str]) -> Manifest:
        """The same manifest with `paths` left out; a path that is not there changes nothing."""
        left_out = frozenset(paths)
        return Manifest(tuple(file for file in self.files if file.path not in left_out))

    def to_checksums(self) -> bytes:
        """``<hex>  <path>`` lines, as ``sha256sum -c`` reads them."""
        return "".join(f"{file.sha256}  {file.path}\n" for file in self.files).encode()

    @staticmethod
    def read_checksums(data: bytes, where: str) -> dict[str, str]:
        """Path to SHA-256, of what ``sha256sum`` wrote."""
        raise NotImplementedError

    def to_seed_json(self) -> bytes:
        """The seed's ``manifest.json``, byte for byte as ``json.dump(manifest, f, indent=2)`` writes it."""
        raise NotImplementedError

    @staticmethod
    def read_seed_json(data: bytes, where: str) -> dict[str, str]:
        """Path to SHA-256, of the seed's ``manifest.json``."""
        raise NotImplementedError
