"""Whether the index of a distributed checkpoint names exactly archives that are there.

The index and the archives are different files, so this is known when the whole tree has been read.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from tuneguard.files import printable
from tuneguard.formats.distributed import Archives, Shard
from tuneguard.scanner.facts import Unmatched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.facts import Fact

INDEX = re.compile(r"(?:__[0-9]{1,9})?\.metadata", re.ASCII)
"""How torch names the index: one for all processes, or one for each."""
PART = re.compile(r"__[0-9]{1,9}_[0-9]{1,9}\.distcp", re.ASCII)
"""How it names a file of archives."""


class Parts:
    """What the indexes of a tree name, and which archives are there, by the path of their file."""

    def __init__(self) -> None:
        self._archives: dict[str, frozenset[tuple[int, int]]] = {}
        self._named: dict[str, list[Shard]] = {}

    def note(self, path: str, fact: Fact) -> None:
        """Keep what one file's fact says of it."""
        if isinstance(fact, Archives):
            self._archives[path] = frozenset(fact.places)
        elif isinstance(fact, Shard) and INDEX.fullmatch(posixpath.basename(path)):
            self._named.setdefault(path, []).append(fact)

    def unmatched(self) -> Iterator[tuple[str, Unmatched]]:
        """The path of an index, and what it names that is no archive of its folder."""
        for index, shards in self._named.items():
            for shard in shards:
                if (why := self._fault(index, shard)) is not None:
                    yield index, Unmatched(why, shard.offset)

    def _fault(self, index: str, shard: Shard) -> str | None:
        if shard.path is None:
            return "names a part of the checkpoint in a form that torch does not write"
        if not PART.fullmatch(shard.path):
            return f"names {printable(shard.path)}, and a part is called __0_0.distcp"
        there = self._archives.get(posixpath.join(posixpath.dirname(index), shard.path))
        if there is None:
            return f"names {shard.path}, which is no file of archives beside it"
        if (shard.start, shard.length) not in there:
            return f"names bytes of {shard.path} that are no whole archive"
        return None
