"""The metadata of a safetensors file holds markup or a template.

`__metadata__` is free text that model cards, web pages and tools show or parse. Markup in it runs in
the page that shows it; a template in the program that renders it.

What to do: write the file again without that entry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import shown
from tuneguard.formats.safetensors import Metadata
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKUP = re.compile(
    r"<\s*/?\s*(?:script|iframe|img|svg|object|embed|link|style)\b|javascript:|\{\{|\{%", re.IGNORECASE
)


def _check(fact: Metadata, context: Context) -> Iterator[tuple[str, Location]]:
    if found := _MARKUP.search(fact.value) or _MARKUP.search(fact.key):
        yield f"its metadata {shown(fact.key)} holds “{shown(found[0])}”", context.at(offset=8)


RULE = Rule(
    id="TG-SAFETENSORS-METADATA",
    severity=Severity.MEDIUM,
    title="markup or a template in safetensors metadata",
    looks_at=(Metadata,),
    check=_check,
    why="whatever shows or renders the metadata runs what is in it",
    fix="write the file again without that entry",
    reference="CWE-79",
)
