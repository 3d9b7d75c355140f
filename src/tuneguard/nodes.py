"""Values of a file that a person wrote, with their places; and the faults found in it, collected.

`records` makes nodes, `fields` turns them into dataclasses, and later checks add to
the same `Problems`, so that a person sees every fault of a file at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import ConfigurationError, Problem
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Scalar = str | int | float | bool | None

SHOWN_NAME = 80
"""Characters of an untrusted name that a message repeats."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a YAML document with its place; lines and columns count from 1.

    ``source`` is an unquoted scalar as it was written, so that a message can state that ``042`` was
    read as 34; it is None for quoted text and for collections. ``keys`` holds each key's own place.
    """

    value: Scalar | dict[str, Node] | list[Node]
    line: int
    column: int
    file: str
    source: str | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """``file:line:column``, safe to print."""
        return f"{printable(self.file)}:{self.line}:{self.column}"

    @property
    def mapping(self) -> Mapping[str, Node]:
        """The values by key, or nothing where this is not a mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> Sequence[Node]:
        """The items, or nothing where this is not a list."""
        return self.value if isinstance(self.value, list) else ()

    def get(self, *path: str) -> Node | None:
        """The value below the keys of `path`, or None where one of them is missing."""
        node: Node | None = self
        for key in path:
            if node is None:
                return None
            node = node.mapping.get(key)
        return node

    def key(self, name: str) -> Node:
        """The key `name` itself as a node: a place to point at."""
        line, column = self.keys.get(name, (self.line, self.column))
        return Node(name, line, column, self.file)

    def plain(self) -> Any:
        """The value as Python's own dicts, lists and scalars, without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    @property
    def kind(self) -> str:
        """What this is, in words that fit after "found"."""
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case None:
                return "nothing"
            case bool():
                return f"`{shown(self.source or str(self.value).lower())}`, which means {_truth(self.value)}"
            case int() | float():
                return f"the number {self.value}" + self._as_written()
            case _:
                return "text"

    def _as_written(self) -> str:
        written = self.source is not None and self.source != str(self.value)
        return f" (written {shown(self.source or '')})" if written else ""


def _truth(value: object) -> str:
    return "true" if value else "false"


def shown(name: str) -> str:
    """An untrusted name, escaped and cut to a length that fits a message."""
    text = printable(name[:SHOWN_NAME])
    return text if len(name) <= SHOWN_NAME else f"{text}…"


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` was probably meant to be.

    >>> nearest("expectedDuraton", ["expectedDuration", "command"])
    'expectedDuration'
    """
    if len(name) > SHOWN_NAME:  # comparing is quadratic
        return None
    import difflib

    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(name: str, known: Collection[str]) -> str:
    """The help for a name that is not known: the nearest one, or all of them."""
    close = nearest(name, known)
    if close is not None:
        return f"did you mean `{shown(close)}`?"
    listed = ", ".join(shown(each) for each in sorted(known)[:20])
    return f"known here: {listed}" if listed else "nothing is known here yet: define it first"


class Problems:
    """Faults of one file, collected so that a person sees all of them at once."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int, Problem]] = []

    def add(self, at: Node, what: str, help: str | None = None) -> None:
        """Note that `what` is wrong at a node's place."""
        self._found.append((at.line, at.column, Problem(what, at.where, help)))

    def __len__(self) -> int:
        return len(self._found)

    def listed(self) -> tuple[Problem, ...]:
        """The problems in the order of their places, at most `limits.PROBLEMS` and a count of the rest."""
        ordered = [problem for _, _, problem in sorted(self._found, key=lambda found: found[:2])]
        more = len(ordered) - limits.PROBLEMS
        if more > 0:
            ordered[limits.PROBLEMS :] = [Problem(f"{more} more problems are not listed")]
        return tuple(dict.fromkeys(ordered))

    def raise_if_any(self) -> None:
        """Raise what was found.

        Raises:
            ConfigurationError: something was found.
        """
        if self._found:
            raise ConfigurationError(self.listed())
