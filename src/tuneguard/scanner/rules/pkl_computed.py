"""A pickle imports a name that only running it would show.

The name is the result of a call, comes from outside the stream, or is a number in a registry of the
loading process (extension codes of `copyreg`). Picklers write names as plain text.

Example: a STACK_GLOBAL whose operands were joined by `str.join`.

What to do: nothing legitimate writes this. Find out who could write the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.files import printable
from tuneguard.findings import Location, Severity
from tuneguard.formats.pickle.facts import Computed
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Computed, context: Context) -> Iterator[tuple[str, Location]]:
    place = context.at(offset=fact.offset, opcode=fact.opcode)
    yield f"would import {printable(fact.what)}, which only loading would show", place


RULE = Rule(
    id="TG-PKL-COMPUTED",
    severity=Severity.HIGH,
    title="a pickle imports a computed name",
    looks_at=(Computed,),
    check=_check,
    why="a name that is put together at load time is hidden from a reader of the file",
    fix="do not load it; find out who could write the file",
    reference="CWE-502",
)
