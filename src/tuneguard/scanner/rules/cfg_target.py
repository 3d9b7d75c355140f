"""A document names an object to construct: Hydra's `_target_`, jsonpickle's `py/object`, a Keras Lambda.

Programs that read such documents import and call what is named, with the arguments that stand beside it.
The same holds for Lightning's `class_path` with `init_args`, a `target` with `params`, and a Keras
`class_name` whose `module` is not Keras's own.

Example: `{"_target_": "os.system", "_args_": ["echo"]}`

What to do: write plain values, and let the program choose the class.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object, shown
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYS = ("_target_", "loader_module", "py/function", "py/object", "py/reduce", "py/repr", "py/type")
_KERAS = re.compile(r"builtins|keras(?:\.[a-z_]+)*", re.ASCII)
_CODE_CLASSES = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper"})


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    for key in _KEYS:
        value = fact.value.get(key)
        if value and isinstance(value, (str, list, dict)):
            named = shown(value) if isinstance(value, str) else "an object"
            yield f"constructs {named} ({fact.place_of(key)})", context.at(line=fact.line_of(key))
    for key, arguments in (("class_path", "init_args"), ("target", "params")):
        value = fact.value.get(key)
        if isinstance(value, str) and "." in value and arguments in fact.value:
            yield f"constructs {shown(value)} ({fact.place_of(key)})", context.at(line=fact.line_of(key))
    module = fact.value.get("module")
    if module and "class_name" in fact.value and not (isinstance(module, str) and _KERAS.fullmatch(module)):
        place = context.at(line=fact.line_of("module"))
        yield f"imports {shown(str(module))} ({fact.place_of('module')})", place
    kind = fact.value.get("class_name")
    if isinstance(kind, str) and kind in _CODE_CLASSES and isinstance(fact.value.get("config"), dict):
        yield f"holds a Keras {kind} layer ({fact.place_of('class_name')})", context.at()


RULE = Rule(
    id="TG-CFG-TARGET",
    severity=Severity.HIGH,
    title="a document names an object to construct",
    looks_at=(Object,),
    check=_check,
    why="the program that reads it imports and calls what is named",
    fix="write plain values, and let the program choose the class",
    reference="CWE-470",
)
