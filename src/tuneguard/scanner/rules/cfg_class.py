"""A configuration names a class, a function or a module that its loader would look up outside of its library.

Loaders look up names that a configuration gives: Transformers takes `architectures`, `tokenizer_class`,
`processor_class`, `image_processor_type` and the like from its own package, and `torch_dtype` from torch;
sentence-transformers imports the dotted path in `activation_function`, `activation_fn`, in the `types` of
`router_config.json` and in the `tokenizer_class` of `wordembedding_config.json`, and calls it. For each of
these keys the rule knows which values the library itself writes: plain names, `torch.bfloat16`,
`torch.nn.modules.activation.Tanh`, `sentence_transformers.models.Transformer`.

Keys that it does not know are judged by their shape: where a key's name has class, type, module, function,
loader, plugin or the like, its value may not be a dotted path, `module:name` or a `.py` file. Under any key
`owner/repo--module.Class` is code of another repository.

Example: `{"activation_function": "evil.Run"}` in the `config.json` of `2_Dense`

What to do: use the library's own classes, or remove the entry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object, shown
from tuneguard.scanner.configuration import texts
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_SENTENCE = r"sentence_transformers(?:\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9_]*"
_ACTIVATION = r"torch\.nn\.(?:modules\.(?:activation|linear)\.)?[A-Z][A-Za-z0-9]*"
_DTYPE = r"(?:torch|np|numpy|jnp|jax\.numpy|tf)\.[a-z][a-z0-9_]*"
_MODEL = r"transformers\.models\.[a-z0-9_]+\.[a-z0-9_]+(?:\.[A-Z][A-Za-z0-9]*)?"


def _pattern(*several: str) -> re.Pattern[str]:
    return re.compile("|".join(several), re.ASCII)


_KNOWN = (
    # a key, and the values that its library writes
    (
        _pattern("architectures", "_class_name", r"(?:.*_)?(?:class|processor_type|extractor_type)"),
        (_NAME, _SENTENCE, r"[0-9]{1,9}"),  # a number of classes, as XGBoost writes it
    ),
    (_pattern("model_type", "quant_method"), (r"(?!.*\.py$)[A-Za-z0-9_](?:[A-Za-z0-9_+]|[.-](?![.-]))*",)),
    (_pattern(r"(?:.*_)?dtype"), (r"[^.:]*", _DTYPE)),
    (
        _pattern(r"(?:.*_)?activation(?:_function|_fn)?", r"(?:.*_)?act(?:_fn)?"),
        (r"[A-Za-z0-9_+-]*", _ACTIVATION),
    ),
    (_pattern("types"), (_NAME, _SENTENCE)),
    (_pattern("_commit_hash"), (r"[0-9a-f]{0,64}",)),
)
_ALLOWED = tuple((key, _pattern("", *values)) for key, values in _KNOWN)

_NAMING = _pattern(
    r"(?:.*_)?(?:callable|class_name|class_path|cls|entry_?point|factory|fn|func|function|handler|hook|import)",
    r"(?:.*_)?(?:import_path|impl|library|loader|module|module_name|plugin|script|target|type)",
)
"""Keys that by their name can name code."""
_ELSEWHERE = frozenset(
    {"auto_map", "custom_generate", "custom_pipeline", "custom_pipelines", "megatron_core", "parent_library"}
)
"""Keys of which another rule judges all that is in them."""
_HARMLESS = _pattern(_SENTENCE, _ACTIVATION, _DTYPE, _MODEL)
_REMOTE = _pattern(r"[\w.-]+/[\w.-]+--[\w.]+")
_CODE = _pattern(
    rf"{_NAME}(?:\.{_NAME})+", rf"{_NAME}(?:\.{_NAME})*:{_NAME}(?:\.{_NAME})*", r"[\w./\\-]+\.py(?::\w+)?"
)
_DATA = _pattern(r".*\.(?:bin|gguf|jinja|json|jsonl|md|model|onnx|pt|pth|safetensors|txt|ya?ml)")
"""File names of data, which have the shape of a dotted path."""


def _check(fact: Object, context: Context) -> Iterator[tuple[str, Location]]:
    if context.name == "modules.json" or _under(fact, _ELSEWHERE):
        return
    constructed = {"init_args": "class_path", "params": "target"}  # by another rule
    others = _ELSEWHERE | {key for beside, key in constructed.items() if beside in fact.value}
    for key, value in fact.value.items():
        if isinstance(value, (str, list, dict)) and key not in others:
            for name in _wrong(key, value, context):
                place = context.at(line=fact.line_of(key))
                yield f"names {shown(name)} to look up as code ({fact.place_of(key)})", place


def _under(fact: Object, keys: frozenset[str]) -> bool:
    step = fact.step
    while step is not None:
        if step[1] in keys:
            return True
        step = step[0]
    return False


def _wrong(key: str, value: Any, context: Context) -> Iterator[str]:
    """The texts of a value that name code which the key's library does not write."""
    if isinstance(value, str) and _REMOTE.fullmatch(value):
        yield value
        return
    if isinstance(value, dict) and not (
        key == "types" and context.name in ("config.json", "router_config.json")
    ):
        return
    for pattern, allowed in _ALLOWED:
        if pattern.fullmatch(key):
            yield from (name for name in texts(value) if not allowed.fullmatch(name))
            return
    if _NAMING.fullmatch(key):
        yield from (name for name in texts(value) if _names_code(name))


def _names_code(name: str) -> bool:
    return bool(_CODE.fullmatch(name)) and not _HARMLESS.fullmatch(name) and not _DATA.fullmatch(name)


RULE = Rule(
    id="TG-CFG-CLASS",
    severity=Severity.HIGH,
    title="a configuration names a foreign class or function",
    looks_at=(Object,),
    check=_check,
    why="the library looks the name up, imports and calls what it finds",
    fix="use the library's own classes, or remove the entry",
    reference="CWE-470",
)
