"""Follows symbolic links on paper: a tree is listed once, and links are read against that list.

The kernel follows none of them, so nobody can lead a reader elsewhere by swapping what a link says. A link
that leaves the tree leads nowhere here, and so does one that goes round in a circle.

    >>> listing = Listing(names={"": ["latest", "step-2"], "step-2": ["w"]}, files={"step-2/w": File(4)})
    >>> listing.links["latest"] = "./step-2"
    >>> Resolver(listing).resolve("latest").folder
    'step-2'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tuneguard import limits
from tuneguard.artifact.tree import fault_of_path

if TYPE_CHECKING:
    from collections.abc import Sequence

OUT = "leads out of the output"
NOWHERE = "leads to nothing that is kept"
CIRCLE = "leads round in a circle"
TOO_MANY = "there are too many links to follow"
_HOPS = 40
"""Links on the way of one, as for Linux."""


class File(NamedTuple):
    """A regular file: its size, how many names it has, and which file that is where it has several."""

    size: int
    links: int = 1
    inode: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Where a link leads: a file, a folder, or neither, for a reason."""

    file: str | None = None
    folder: str | None = None
    why: str = ""


@dataclass(slots=True)
class Listing:
    """A tree on paper: the names in each folder, the root being the empty path, and what each path is.

    `links` has the text of each. `bytes` are those of all files, `text` the characters of all links.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    special: list[str] = field(default_factory=list)
    bytes: int = 0
    text: int = 0


class Resolver:
    """Follows the links of one listing, all together in `limits.OUTPUT_LINK_STEPS` steps.

    `known_as` are absolute paths that stand for the root.
    """

    def __init__(self, tree: Listing, known_as: Sequence[str] = ()) -> None:
        self._tree = tree
        self._known_as = known_as
        self._steps = limits.OUTPUT_LINK_STEPS

    def resolve(self, path: str) -> Way:
        """Where the link `path` leads."""
        fault = fault_of_path(path)
        if fault is not None:
            return Way(why=f"its path {fault}")
        way = self._begin(path, [])
        for _ in range(_HOPS):
            if way is None:
                return Way(why=OUT)
            met, left = self._go(*way)
            if isinstance(met, Way):
                return met
            way = self._begin(met, left)
        return Way(why=CIRCLE)

    def _go(self, at: str, left: list[str]) -> tuple[Way | str, list[str]]:
        """Go on from the folder `at`: the end of the way, or the next link and the names after it."""
        tree = self._tree
        while left:
            self._steps -= 1
            if self._steps < 0:
                return Way(why=TOO_MANY), []
            part = left.pop()
            below = join(at, part)
            if part == "..":
                if not at:
                    return Way(why=OUT), []
                at = at.rpartition("/")[0]
            elif below in tree.names:
                at = below
            elif below in tree.links:
                return below, left
            else:
                return Way(file=below) if below in tree.files and not left else Way(why=NOWHERE), []
        return Way(folder=at), []

    def _begin(self, path: str, left: list[str]) -> tuple[str, list[str]] | None:
        """The folder that the text of the link `path` counts from, and the names in it, the first one last.

        Those that are `left` follow. None where it leads elsewhere.
        """
        text, at = self._tree.links[path], path.rpartition("/")[0]
        if text.startswith("/"):
            prefix = next((each for each in self._known_as if is_in(f"{text}/", each)), None)
            if prefix is None:
                return None
            text, at = text[len(prefix) :], ""
        return at, [*left, *(part for part in reversed(text.split("/")) if part not in ("", "."))]


def join(folder: str, name: str) -> str:
    """The path of a name in a folder."""
    return f"{folder}/{name}" if folder else name


def is_in(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it; everything lies below the empty path."""
    return not folder or path == folder or path.startswith(f"{folder}/")
