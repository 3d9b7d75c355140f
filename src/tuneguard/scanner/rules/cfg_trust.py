"""A configuration asks for foreign code, or unsafe files, to be trusted.

`trust_remote_code: true` in a file that travels with the model decides for the person who loads it. That
decision is theirs. Loaders ask whether the value is true in Python's sense, so `1`, `"true"` and even
`"false"` are the same as `true`, wherever in the document they stand.

What to do: remove the entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object
from tuneguard.scanner.configuration import is_vocabulary
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYS = (
    "allow_all_kernels",
    "allow_dangerous_deserialization",
    "allow_pickle",
    "allow_remote_code",
    "trust_remote_code",
)


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    for key in _KEYS:
        if fact.value.get(key) and not is_vocabulary(fact, context):
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
