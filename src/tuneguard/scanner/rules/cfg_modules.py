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

_SENTENCE = re.compile(r"sentence_transformers(?:\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9_]*", re.ASCII)
_CLASS = re.compile(r"[A-Z][A-Za-z0-9_]*", re.ASCII)
_LIBRARIES = (
    *(None, "diffusers", "transformers"),
    # diffusers' own pipelines, of which some bring a part of their own
    *("deepfloyd_if", "kandinsky", "stable_cascade", "stable_diffusion", "unidiffuser", "wuerstchen"),
)


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    if context.name == "modules.json":
        kind = fact.value.get("type")
        if kind is not None and not (isinstance(kind, str) and _SENTENCE.fullmatch(kind)):
            yield f"imports {shown(str(kind))}", context.at(line=fact.line_of("type"))
    elif context.name in ("model_index.json", "modular_model_index.json") and fact.step is None:
        for key, value in fact.value.items():
            if isinstance(value, list) or key == "_class_name":
                library, name = _part(value)
                if library not in _LIBRARIES or not (name is None or _is_class(name)):
                    named = f"imports {shown(str(library))} for its part {shown(key)}, {shown(str(name))}"
                    yield named, context.at(line=fact.line_of(key))


def _part(value: object) -> tuple[object, object]:
    """The library and the class of a part; of what has no such form, the whole as a library."""
    if isinstance(value, list) and len(value) in (2, 3):  # a modular pipeline has a third element
        return value[0], value[1]
    return (None, value) if isinstance(value, str) else (value, None)


def _is_class(name: object) -> bool:
    return isinstance(name, str) and _CLASS.fullmatch(name) is not None


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
