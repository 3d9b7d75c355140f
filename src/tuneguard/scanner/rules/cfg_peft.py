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
from tuneguard.scanner.configuration import is_vocabulary
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALLOWED = {
    "parent_library": re.compile(r"transformers\.models\.[a-z0-9_]+\.modeling_[a-z0-9_]+", re.ASCII),
    "megatron_core": re.compile(r"megatron\.core"),
}


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    for key, allowed in _ALLOWED.items():
        named = fact.value.get(key)
        fits = not named or (isinstance(named, str) and allowed.fullmatch(named))
        if not fits and not is_vocabulary(fact, context):
            place = context.at(line=fact.line_of(key))
            yield f"imports {shown(str(named))} ({fact.place_of(key)})", place


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
