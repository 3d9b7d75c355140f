"""What a scan rule is, and where the rules are found.

A rule is one file of ``scanner/rules``: its docstring is its documentation, ``RULE`` its metadata
and its check. The engine walks files and formats and hands each fact to the rules that asked for
its type; a rule only looks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tuneguard import discover
from tuneguard.findings import Finding, Location, Severity


@dataclass(frozen=True, slots=True)
class Context:
    """Where a fact was found: the file's path, and the member of an archive in it."""

    path: str
    member: str | None = None

    def at(
        self,
        *,
        offset: int | None = None,
        opcode: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> Location:
        """A place in this file or member."""
        return Location(self.path, self.member, offset, opcode, line, column)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a model file must not hold.

    ``looks_at`` names the types of fact that `check` is given, one at a time. ``why``, ``fix`` and
    ``reference`` are the defaults of its findings.
    """

    id: str
    severity: Severity
    title: str
    looks_at: tuple[type, ...]
    check: Callable[[Any, Context], Iterator[Finding]]


def rules() -> dict[str, Rule]:
    """Every rule by its id."""
    return _load()


@functools.cache
def _load() -> dict[str, Rule]:
    return discover.load("tuneguard.scanner.rules", "RULE", Rule)


def ruleset_digest() -> str:
    """SHA-256 in hex over everything that decides a scan's answer."""
    raise NotImplementedError
