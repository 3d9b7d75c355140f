"""A configuration asks for foreign code to be trusted.

`trust_remote_code: true` in a file that travels with the model decides for the person who loads it. That
decision is theirs.

What to do: remove the entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    for key in ("trust_remote_code", "allow_all_kernels"):
        if fact.value.get(key) is True:
            yield f"asks to trust foreign code ({fact.place_of(key)})", context.at(line=fact.line_of(key))


RULE = Rule(
    id="TG-CFG-TRUST",
    severity=Severity.HIGH,
    title="a configuration asks for foreign code to be trusted",
    looks_at=(Object,),
    check=_check,
    why="the file decides what the person who loads the model should decide",
    fix="remove the entry",
    reference="CWE-829",
)
