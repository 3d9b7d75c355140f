"""The file holds bytes that no reader of its format looks at.

Between the members of an archive, behind the last tensor, after the end mark of a picture: bytes there
change nothing for the loader of the file, so a payload, another file or stolen data can travel in them.

What to do: write the file again with the tool that it belongs to; the bytes are gone then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.facts import Hidden
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Hidden, context: Context) -> Iterator[tuple[str, Location]]:
    unit = "byte" if fact.size == 1 else "bytes"
    yield f"holds {fact.what} ({fact.size:,} {unit})", context.at(offset=fact.offset)


RULE = Rule(
    id="TG-HIDDEN",
    severity=Severity.MEDIUM,
    title="bytes that no reader looks at",
    looks_at=(Hidden,),
    check=_check,
    why="what no reader looks at can carry anything past a check",
    fix="write the file again with the tool that it belongs to, from a trusted run",
    reference="CWE-506",
)
