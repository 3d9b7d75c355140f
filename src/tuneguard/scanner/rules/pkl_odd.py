"""A pickle holds something that no pickler writes and that readers take differently.

A scanner that stops at such a place does not see what a loader behind it would do: memo slots written
twice, a protocol mark in the middle, numbers in strange spelling, frames that do not fit. The scanner
reads on as the most lenient reader does, and refuses the file for the disagreement itself.

What to do: nothing legitimate writes this. Find out who could write the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.pickle.facts import Odd
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Odd, context: Context) -> Iterator[tuple[str, Location]]:
    yield f"holds {fact.what}", context.at(offset=fact.offset, opcode=fact.opcode)


RULE = Rule(
    id="TG-PKL-ODD",
    severity=Severity.MEDIUM,
    title="a pickle that readers take differently",
    looks_at=(Odd,),
    check=_check,
    why="no pickler writes this; it makes one reader see another stream than the next",
    fix="re-save with torch ≥ 2.13 from a trusted run, and find out who could write the file",
    reference="CWE-436",
)
