"""A configuration names an attention or expert implementation that is fetched from the hub.

Transformers takes a value such as `owner/repo` for a kernel repository, downloads it and loads its binary
code. The implementations that it ships have plain names (`eager`, `sdpa`, `flash_attention_2`). The value may
also be a list, or an object with a value for each part of the model.

Example: `{"attn_implementation": "someone/flash"}`

What to do: remove the entry; the person who loads the model chooses the implementation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object, shown
from tuneguard.scanner.configuration import texts
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = re.compile(r"(?:\w*_)?implementation(?:_internal)?", re.ASCII)
_PLAIN = re.compile(r"(?:paged\|)?[A-Za-z0-9_]*", re.ASCII)


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    for key, value in fact.value.items():
        if isinstance(value, (str, list, dict)) and _KEY.fullmatch(key):
            for name in texts(value):
                if not _PLAIN.fullmatch(name):
                    place = context.at(line=fact.line_of(key))
                    yield f"fetches the kernel {shown(name)} ({fact.place_of(key)})", place


RULE = Rule(
    id="TG-CFG-KERNEL",
    severity=Severity.HIGH,
    title="a configuration names a kernel to fetch",
    looks_at=(Object,),
    check=_check,
    why="a kernel is binary code that runs in the process that loads the model",
    fix="remove the entry; the user who loads the model chooses the implementation",
    reference="CWE-829",
)
