"""Several pickles stand one behind the other in one file.

`pickle.load` and most scanners read the first and stop. A program that reads on loads the others.
torch's own legacy form, five pickles behind a magic number, is known and does not count.

What to do: split the file, or re-save it in one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.pickle.facts import Stacked
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Stacked, context: Context) -> Iterator[tuple[str, Location]]:
    yield "holds another pickle behind the first", context.at(offset=fact.offset)


RULE = Rule(
    id="TG-PKL-STACKED",
    severity=Severity.MEDIUM,
    title="several pickles in one file",
    looks_at=(Stacked,),
    check=_check,
    why="readers differ on whether the second one is loaded",
    fix="re-save the file as one pickle, or export with safetensors",
    reference="CWE-436",
)
