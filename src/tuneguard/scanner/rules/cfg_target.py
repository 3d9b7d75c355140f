"""A document names an object to construct: Hydra's `_target_`, jsonpickle's `py/object`, a Keras Lambda.

Programs that read such documents import and call what is named, with the arguments that stand beside it.
The same holds for Lightning's `class_path` with `init_args`, a `target` with `params`, and a Keras
`class_name` whose `module` is not Keras's own. A PyTorch tree spec (`in_spec` and `out_spec` of Transformers'
`export.json`, JSON within a text of JSON) imports what it names as a dictionary's default or an enumeration.

Example: `{"_target_": "os.system", "_args_": ["echo"]}`

What to do: write plain values, and let the program choose the class.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneguard.errors import NotUnderstood
from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object, parse, shown
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYS = ("_target_", "loader_module", "py/function", "py/object", "py/reduce", "py/repr", "py/type")
_KERAS = re.compile(r"builtins|keras(?:\.[a-z_]+)*", re.ASCII)
_SPECS = ("in_spec", "out_spec")
_FACTORY = re.compile(r"builtins\.(?:dict|float|int|list|set|str|tuple)", re.ASCII)
_MEMBER = re.compile(r"(?:torch|transformers)(?:\.[A-Za-z0-9_]+)*:[A-Z][A-Za-z0-9_]*", re.ASCII)
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
    for key in _SPECS:
        for named in _imported(fact.value.get(key)):
            yield f"imports {shown(named)} ({fact.place_of(key)})", context.at(line=fact.line_of(key))


def _imported(spec: Any) -> Iterator[str]:
    """What reading a tree spec imports that neither Python, torch nor Transformers writes.

    As ``treespec_loads`` takes it (torch 2.13, utils/_pytree.py): JSON, with contexts that are texts of JSON.
    """
    waiting = [spec]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and value.lstrip()[:1] in ("[", "{", '"'):
            try:
                waiting.append(parse(value.encode("utf-8", "surrogatepass")).value)
            except NotUnderstood:
                yield value  # torch may read it
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            factory = f"{value.get('default_factory_module')}.{value.get('default_factory_name')}"
            if "default_factory_module" in value and not _FACTORY.fullmatch(factory):
                yield factory
            if "__enum__" in value and not _MEMBER.fullmatch(str(value.get("fqn"))):
                yield str(value.get("fqn"))


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
