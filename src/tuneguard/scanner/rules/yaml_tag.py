"""A YAML document has a tag that asks its loader to construct an object.

`!!python/object/apply:os.system` has PyYAML's unsafe loaders, and before version 5.1 its default one, import
and call what is named; other tags do the same in other languages. Only the tags of plain values are let
through: those of YAML itself, and `!!python/tuple` and its like, which PyYAML writes for Python's own values.
A tag counts wherever it stands, also in a comment.

Example: `out: !!python/object/apply:os.system [echo]`

What to do: write plain values, such as a path as text; or leave the file out of the checkpoint, since nothing
needs it to serve.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import shown
from tuneguard.formats.yaml_document import STANDARD, Tag
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = re.compile(
    re.escape(STANDARD)
    + r"(?:binary|bool|float|int|map|merge|null|omap|pairs|seq|set|str|timestamp|value|"
    + r"python/(?:bool|bytes|complex|dict|float|int|list|long|none|str|tuple|unicode))",
    re.ASCII,
)


def _check(fact: Tag, context: Context) -> Iterator[tuple[str, Location]]:
    if not _PLAIN.fullmatch(fact.name):
        yield f"asks to construct {shown(fact.name)}", context.at(line=fact.line)


RULE = Rule(
    id="TG-YAML-TAG",
    severity=Severity.HIGH,
    title="a YAML document asks to construct an object",
    looks_at=(Tag,),
    check=_check,
    why="loaders that trust the file import and call what the tag names",
    fix="write plain values, or leave the file out of the checkpoint: nothing needs it to serve",
    reference="CWE-502",
)
