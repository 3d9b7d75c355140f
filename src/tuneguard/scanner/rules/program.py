"""A program, a library or byte code lies beside the model, or inside one of its tensors.

No framework writes programs into checkpoints. One in a tensor's numbers is a known way to carry a
payload past a check.

What to do: remove it, and find out who could write it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.scanner.identify import Identified, Kind
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Identified, context: Context) -> Iterator[tuple[str, Location]]:
    if fact.kind is Kind.PROGRAM:
        yield f"is {fact.what}", context.at()


RULE = Rule(
    id="TG-PROGRAM",
    severity=Severity.HIGH,
    title="a program beside or inside the model",
    looks_at=(Identified,),
    check=_check,
    why="no framework writes programs into a checkpoint",
    fix="remove it, and find out who could write it there",
    reference="CWE-506",
)
