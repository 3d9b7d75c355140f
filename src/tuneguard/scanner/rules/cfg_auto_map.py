"""A configuration names Python code that the loader should run for this model.

`auto_map` (in `config.json` and in a tokenizer's or processor's configuration), `custom_pipelines` and
`custom_generate` name modules in the folder or, as `owner/repo--module.Class`, in another repository on the
hub. Transformers imports them when `trust_remote_code` is set.

Example: `{"auto_map": {"AutoModel": "modeling_x.XModel"}}`

What to do: remove the entry and use the architecture that Transformers ships.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object, shown
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYS = ("auto_map", "custom_generate", "custom_pipeline", "custom_pipelines")


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    for key in _KEYS:
        value = fact.value.get(key)
        # In a vocabulary the same word is a key with a number.
        if value and isinstance(value, (str, list, dict)):
            where = context.at(line=fact.line_of(key))
            origin = "code of another repository" if "--" in str(_first(value)) else "code"
            yield f"names {origin} to run, {shown(str(_first(value)))} ({fact.place_of(key)})", where


def _first(value: object) -> object:
    """One name, to show: of nested lists and objects the first one, not deeper than they are written."""
    for _ in range(4):
        if isinstance(value, dict) and value:
            value = next(iter(value.values()))
        elif isinstance(value, list) and value:
            value = next((item for item in value if item), None)
    return value if isinstance(value, str) else "…"


RULE = Rule(
    id="TG-CFG-AUTO-MAP",
    severity=Severity.HIGH,
    title="a configuration names code to run",
    looks_at=(Object,),
    check=_check,
    why="with trust_remote_code the loader imports and runs it",
    fix="remove the entry and use an architecture that Transformers ships",
    reference="CWE-829",
)
