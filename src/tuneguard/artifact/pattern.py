"""Patterns over the paths of a tree, as pipeline and policy files write them.

``*`` stands for any characters of one name, ``?`` for one character, and ``**`` as a whole name for any
number of folders. There are no classes and no braces. ``wandb/**`` is all that lies below ``wandb``, at the
top; ``**/events.*`` is each such name at any depth. Letter case counts.

    >>> below = Patterns(["wandb/**"])
    >>> [below.cover(path) for path in ("wandb/run/a.log", "wandb", "old/wandb/a.log")]
    [True, False, False]
    >>> Patterns(["**/optimizer.pt"]).cover("optimizer.pt"), Patterns(["step-*"]).cover("step-20")
    (True, True)

All that one set of patterns is asked takes a bounded time together, whatever patterns and paths are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact.tree import fault_of_path
from tuneguard.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LONGEST = 256
"""Characters of a pattern."""
_WILD = re.compile(r"[*?]")
_FEWER = "give fewer, plainer patterns: a folder's name and /**"


def fault_of_pattern(pattern: str) -> str | None:
    """Why `pattern` is none, in words that fit after it; None where it is one.

    >>> fault_of_pattern("**"), fault_of_pattern("a**")
    ('names nothing: it would cover every file', 'has ** beside other characters of a name')
    """
    if len(pattern) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if any(character in pattern for character in "[]{}!"):
        return "holds a character that patterns do not have: one of [ ] { } !"
    fault = "is empty" if not pattern else fault_of_path(pattern)
    if fault is not None:
        return fault
    if any("**" in name and name != "**" for name in pattern.split("/")):
        return "has ** beside other characters of a name"
    if not pattern.strip("*?/"):
        return "names nothing: it would cover every file"
    return None


class Patterns:
    """Patterns without a fault, compared with paths in `limits.PATTERN_STEPS` steps together."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = []
        for pattern in patterns:
            names = pattern.split("/")
            if names[-1] == "**":
                names.append("*")  # what lies below, and not the folder's own name
            self._patterns.append((_WILD.split(pattern, maxsplit=1)[0], names))
        self._steps = limits.PATTERN_STEPS

    def cover(self, path: str) -> bool:
        """Whether one of them covers the path of a file.

        Raises:
            Refused: comparing takes too long.
        """
        return any(
            path.startswith(begin) and self._match(names, path.split("/"), "**", self._match_name)
            for begin, names in self._patterns
        )

    def _match_name(self, pattern: str, name: str) -> bool:
        return self._match(pattern, name, "*", lambda mark, character: mark in ("?", character))

    def _match(
        self, pattern: Sequence[str], parts: Sequence[str], any_number: str, one: Callable[[str, str], bool]
    ) -> bool:
        """Wildcard matching that goes back to the last wildcard alone, which is enough."""
        at = place = 0
        star, resume = -1, 0
        while place < len(parts):
            self._steps -= 1
            if self._steps < 0:
                raise Refused("comparing the paths with the patterns takes too long", help=_FEWER)
            if at < len(pattern) and pattern[at] == any_number:
                star, resume = at, place
                at += 1
            elif at < len(pattern) and one(pattern[at], parts[place]):
                at, place = at + 1, place + 1
            elif star >= 0:
                resume += 1
                at, place = star + 1, resume
            else:
                return False
        return all(left == any_number for left in pattern[at:])
