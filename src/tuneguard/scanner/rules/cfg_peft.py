"""An adapter's configuration names a library to import.

PEFT imports `auto_mapping.parent_library` and `megatron_core` of `adapter_config.json` as they stand there.
PEFT itself writes modules of Transformers, or nothing.

Example: `{"auto_mapping": {"base_model_class": "X", "parent_library": "evil"}}`

What to do: save the adapter with PEFT again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object, shown
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRANSFORMERS = re.compile(r"transformers\.models\.[a-z0-9_]+\.modeling_[a-z0-9_]+", re.ASCII)


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    library = fact.value.get("parent_library")
    if library is not None and not (isinstance(library, str) and _TRANSFORMERS.fullmatch(library)):
        place = context.at(line=fact.line_of("parent_library"))
        yield f"imports {shown(str(library))} ({fact.place_of('parent_library')})", place
    megatron = fact.value.get("megatron_core")
    if isinstance(megatron, str) and megatron != "megatron.core":
        place = context.at(line=fact.line_of("megatron_core"))
        yield f"imports {shown(megatron)} ({fact.place_of('megatron_core')})", place


RULE = Rule(
    id="TG-CFG-PEFT",
    severity=Severity.HIGH,
    title="an adapter names a library to import",
    looks_at=(Object,),
    check=_check,
    why="PEFT imports what the file names, and importing runs it",
    fix="save the adapter with PEFT again",
    reference="CWE-829",
)
