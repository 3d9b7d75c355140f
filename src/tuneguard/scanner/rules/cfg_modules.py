"""A list of modules or parts names a class outside of the library that reads it.

sentence-transformers imports every `type` of `modules.json`; diffusers imports the library of every part in
`model_index.json`. A name outside of the library itself is code from the folder or from anywhere on the
Python path.

Example: `[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]` in `modules.json`

What to do: use the library's own modules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object, shown
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_SENTENCE = re.compile(r"sentence_transformers(?:\.[A-Za-z][A-Za-z0-9_]*)+", re.ASCII)
_LIBRARIES = frozenset({"diffusers", "transformers", None})


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    if context.name == "modules.json":
        kind = fact.value.get("type")
        if kind is not None and not (isinstance(kind, str) and _SENTENCE.fullmatch(kind)):
            yield f"imports {shown(str(kind))}", context.at(line=fact.line_of("type"))
    elif context.name == "model_index.json" and fact.step is None:
        yield from _parts(fact, context)


def _parts(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    for key, value in fact.value.items():
        foreign = isinstance(value, list) and (not value or value[0] not in _LIBRARIES)
        if foreign or (key == "_class_name" and not isinstance(value, str)):
            named = value[0] if isinstance(value, list) and value else value
            yield f"imports {shown(str(named))} for its part {shown(key)}", context.at(line=fact.line_of(key))


RULE = Rule(
    id="TG-CFG-MODULES",
    severity=Severity.HIGH,
    title="a list of parts names foreign classes",
    looks_at=(Object,),
    check=_check,
    why="the library imports what the file names, and importing runs it",
    fix="use the library's own modules",
    reference="CWE-829",
)
