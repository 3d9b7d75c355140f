"""The names in a scanned tree, by which a value that leads to a file is judged, and what its indexes name."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuneguard.scanner.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneguard.formats.onnx import External


@dataclass(frozen=True, slots=True)
class Tree:
    """The names of the files and folders in a scanned tree, each beginning with `prefix`.

    ``numbers`` are the tensors that the ONNX models read so far keep in other files, by the path of these.
    """

    names: frozenset[str]
    prefix: str = ""
    parts: Parts = field(default_factory=Parts, compare=False)
    numbers: dict[str, list[External]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, files: Iterable[str], prefix: str = "") -> Tree:
        """The tree of these files, and of the folders that hold them."""
        names: set[str] = set()
        for file in files:
            name = file
            while name and prefix + name not in names:
                names.add(prefix + name)
                name = posixpath.dirname(name)
        return cls(frozenset(names), prefix)

    def holds(self, value: str, beside: str = "") -> bool:
        """Whether `value` is the name of something there, seen from the folder of the file `beside`."""
        folder = posixpath.dirname(beside)
        return (f"{folder}/{value}" if folder else value) in self.names
