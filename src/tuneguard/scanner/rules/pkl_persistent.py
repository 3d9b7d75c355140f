"""A pickle asks its loader for an object by an id that is not torch's.

torch names a tensor's storage as `('storage', class, key, location, count)`. Any other id goes to
whatever the loading program does with it: older torch reads and patches source files for an id that
begins with `module`.

What to do: re-save the file with torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.pickle.facts import Persistent
from tuneguard.formats.pickle.values import describe
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Persistent, context: Context) -> Iterator[tuple[str, Location]]:
    place = context.at(offset=fact.offset, opcode=fact.opcode)
    yield f"asks the loader for {describe(fact.id)}, which is no storage of torch's", place


RULE = Rule(
    id="TG-PKL-PERSISTENT",
    severity=Severity.MEDIUM,
    title="a pickle asks for an object by a foreign id",
    looks_at=(Persistent,),
    check=_check,
    why="what such an id fetches or runs is up to the program that loads the file",
    fix="re-save with torch ≥ 2.13, or export with safetensors",
    reference="CWE-502",
)
