"""What a scan rule is, and where the rules are found.

A rule is one file of ``scanner/rules``: its docstring is its documentation, ``RULE`` its metadata
and its check. The engine walks files and formats and hands each fact to the rules that asked for
its type; a rule only looks.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from tuneguard import discover
from tuneguard.findings import Finding, Location, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.resources.abc import Traversable

    from tuneguard.scanner.names import Tree

PACKAGE = "tuneguard.scanner.rules"


@dataclass(frozen=True, slots=True)
class Context:
    """Where a fact was found: the file's path, and the member of an archive in it, safe to print.

    `tree` holds the names of what lies around the file; it is None for one file that is scanned alone, and
    for a member. `formats` are those that the policy lets a checkpoint hold; None: any that is understood.
    """

    path: str
    member: str | None = None
    tree: Tree | None = None
    formats: frozenset[str] | None = None
    name: str = field(init=False, compare=False)
    """The last component of the member's or file's name."""

    def __post_init__(self) -> None:
        whole = self.member or self.path
        object.__setattr__(self, "name", whole.rsplit(" ▸ ", 1)[-1].rsplit("/", 1)[-1])

    def inside(self, member: str | None) -> Context:
        """The place of a member in this file or member."""
        if member is None:
            return self
        inner = member if self.member is None else f"{self.member} ▸ {member}"
        return Context(self.path, inner, formats=self.formats)

    def at(
        self, *, offset: int | None = None, opcode: str | None = None, line: int | None = None
    ) -> Location:
        """A place in this file or member."""
        return Location(self.path, self.member, offset, opcode, line)


class Reported(NamedTuple):
    """What a check says of one fact: a message of one line and its place.

    In one file, what a rule says `about` one thing is reported once, with a count; without `about`, the
    message itself is that. With `whole` the message is about the whole file, and counts nothing. `covers`
    are other such things of the file that this message has explained.
    """

    message: str
    place: Location
    about: str | None = None
    whole: bool = False
    covers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a model file must not hold.

    `check` is given facts of the types in ``looks_at``, one at a time, and yields what is wrong with
    them: a `Reported`, or its message and place. ``why``, ``fix`` and ``reference`` go into each finding.
    """

    id: str
    severity: Severity
    title: str
    looks_at: tuple[type, ...]
    check: Callable[[Any, Context], Iterator[Reported | tuple[str, Location]]]
    why: str
    fix: str
    reference: str

    def reported(self, fact: object, context: Context) -> Iterator[tuple[Finding, Reported]]:
        """What is wrong with one fact: each finding, and how it belongs to others of its file."""
        for said in self.check(fact, context):
            reported = Reported(*said)
            yield self._finding(reported), reported

    def _finding(self, reported: Reported) -> Finding:
        reference = f"{self.reference}, docs/rules.md#{self.id.lower()}"
        return Finding(
            self.id, self.severity, reported.message, reported.place, self.why, self.fix, reference
        )


@functools.cache
def rules() -> dict[str, Rule]:
    """Every rule by its id."""
    return discover.load(PACKAGE, "RULE", Rule)


def rules_for(kind: type) -> tuple[Rule, ...]:
    """The rules that look at one type of fact."""
    return tuple(rule for rule in rules().values() if kind in rule.looks_at)


@functools.cache
def ruleset_digest() -> str:
    """SHA-256 in hex over the source of everything that decides a scan's answer.

    Built like a tree digest (``<hex>  <path>`` lines, sorted) over ``formats/``, ``scanner/`` and
    ``limits.py``, so that two scans with one digest were made by the same rules.
    """
    root = resources.files("tuneguard")
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {path}\n"
        for part in ("formats", "limits.py", "scanner")
        for path, file in _sources(root / part, part)
    ]
    return hashlib.sha256("".join(sorted(lines, key=lambda line: line[66:])).encode()).hexdigest()


def _sources(place: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    if place.is_dir():
        for child in place.iterdir():
            yield from _sources(child, f"{path}/{child.name}")
    elif path.endswith(".py"):
        yield path, place
