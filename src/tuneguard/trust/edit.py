"""Changing a policy's text without rewriting it: its author's comments and layout stay.

Places to change are found in the composed document and replaced in the text; the result is parsed
again and must say exactly what was meant, or nothing is returned. So a layout that the small editor
here does not understand ends in an error, never in another policy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.errors import ConfigurationError, UsageError
from tuneguard.fields import is_digest
from tuneguard.files import printable
from tuneguard.nodes import shown, suggestion
from tuneguard.records import written
from tuneguard.trust.policy import EvaluationRule, Model, Policy, parse_policy

if TYPE_CHECKING:
    from typing import TypeAlias

_Value: TypeAlias = "str | tuple[str, ...] | Mapping[str, str]"
"""What is put into a policy: a value as it is written, a list of such, or entries of such."""
DEFAULT_SUITES: Mapping[str, int] = {"accuracy": 1, "toxicity": 1}
DEFAULT_MINIMUM_ROWS = 200


def set_model(
    data: bytes,
    name: str,
    *,
    base: str | None = None,
    evaluation: str | None = None,
    classifier: str | None = None,
    code: str | None = None,
    config: str | None = None,
    command: tuple[str, ...] | None = None,
    suites: Mapping[str, int] | None = None,
    minimum_rows: int | None = None,
    file: str = "policy.yaml",
) -> bytes:
    """The policy `data` with a model's digests filled in and its version raised by one.

    Args:
        base: the tree digest of the one base that the model may be trained from; replaces those listed.
        evaluation, classifier: tree digests; for a model without an evaluation both are needed.
        code, config: the one digest of each that the model may be trained with; replaces those listed.
        command: the one command that it may be trained with, as the pipeline file has it.
        suites, minimum_rows: by default what is there, else `DEFAULT_SUITES`, `DEFAULT_MINIMUM_ROWS`.

    Raises:
        ConfigurationError: `data` is wrong as it is.
        UsageError: no such model; a digest is not one; something is missing; or the layout cannot be
            edited here.
    """
    policy = parse_policy(data, file)
    for digest in filter(None, (base, evaluation, classifier, code, config)):
        if not is_digest(digest):
            raise UsageError(
                f"`{shown(digest)}` is not a tree digest", help="`tuneguard digest DIR` prints one"
            )
    if name not in policy.models:
        raise UsageError(f"the policy has no model `{shown(name)}`", help=suggestion(name, policy.models))
    change = _Change(base, evaluation, classifier, code, config, command, suites, minimum_rows)
    models = {**policy.models, name: change.model(policy.models[name])}
    wanted = dataclasses.replace(policy, version=policy.version + 1, models=models)
    editor = _Editor(data.decode("utf-8"))
    editor.put(("metadata",), "version", str(wanted.version))
    model = wanted.models[name]
    before = policy.models[name]
    for key, listed, was in (
        ("base", model.bases, before.bases),
        ("code", model.code, before.code),
        ("config", model.config, before.config),
        ("command", model.command, before.command),
    ):
        if listed is not None and listed != was:
            editor.put(("models", name), key, tuple(map(written, listed)))
    old, new = before.evaluation, model.evaluation
    if new is not None and old is None:
        editor.put(("models", name), "evaluation", _entries(new))
    elif new is not None and old is not None:
        entries = _entries(old)
        for key, value in _entries(new).items():
            if entries[key] != value:
                editor.put(("models", name, "evaluation"), key, value)
    return _checked(editor.text(), wanted, file)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be filled in; None leaves what is there."""

    base: str | None
    evaluation: str | None
    classifier: str | None
    code: str | None
    config: str | None
    command: tuple[str, ...] | None
    suites: Mapping[str, int] | None
    minimum_rows: int | None

    def model(self, model: Model) -> Model:
        """The model as it will be."""
        return dataclasses.replace(
            model,
            bases=model.bases if self.base is None else (self.base,),
            code=model.code if self.code is None else (self.code,),
            config=model.config if self.config is None else (self.config,),
            command=model.command if self.command is None else self.command,
            evaluation=self._rule(model),
        )

    def _rule(self, model: Model) -> EvaluationRule | None:
        old = model.evaluation
        if (self.evaluation, self.classifier, self.suites, self.minimum_rows) == (None,) * 4:
            return old
        chosen_set = self.evaluation or (old.set if old else None)
        classifier = self.classifier or (old.classifier if old else None)
        if chosen_set is None or classifier is None:
            raise UsageError(
                f"the model {model.name} has no evaluation yet, which takes a set and a classifier",
                help="give both --evaluation DIR and --classifier DIR",
            )
        return EvaluationRule(
            set=chosen_set,
            classifier=classifier,
            suites=dict(self.suites or (old.suites if old else DEFAULT_SUITES)),
            minimum_rows=self.minimum_rows or (old.minimum_rows if old else DEFAULT_MINIMUM_ROWS),
        )


def _entries(rule: EvaluationRule) -> dict[str, str]:
    """An evaluation's keys and values as a policy writes them."""
    suites = ", ".join(f"{written(suite)}: {version}" for suite, version in rule.suites.items())
    return {
        "set": written(rule.set),
        "classifier": written(rule.classifier),
        "suites": f"{{{suites}}}",
        "minimumRows": str(rule.minimum_rows),
    }


def _flow(value: _Value) -> str:
    """A value on one line."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return "{" + ", ".join(f"{key}: {each}" for key, each in value.items()) + "}"


def _checked(text: str, wanted: Policy, file: str) -> bytes:
    data = text.encode("utf-8")
    help = "edit the file by hand: raise metadata.version and set the model's base and evaluation"
    try:
        found = parse_policy(data, file)
    except ConfigurationError as error:
        raise UsageError(
            f"cannot edit this file's layout: {error.what}", where=printable(file), help=help
        ) from error
    if _meaning(found) != _meaning(wanted):
        raise UsageError("cannot edit this file's layout", where=printable(file), help=help)
    return data


def _meaning(policy: Policy) -> dict[str, Any]:
    """A policy's values without its bytes' digest and without places, which an edit moves."""
    values = {each.name: getattr(policy, each.name) for each in dataclasses.fields(policy)}
    values["gates"] = {gate: node.plain() for gate, node in policy.gates.items()}
    del values["sha256"]
    return values


class _Editor:
    """Replacements in a YAML text, which `records.read_yaml` has found free of aliases and doubles."""

    def __init__(self, text: str) -> None:
        import yaml

        self._text = text
        self._root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._edits: list[tuple[int, int, str]] = []
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def put(self, path: tuple[str, ...], key: str, value: _Value) -> None:
        """Let the mapping at `path` hold `value` at `key`."""
        mapping = self._root
        for step in path:
            mapping = self._child(mapping, step)
        node = self._child(mapping, key)
        if node is None:
            self._insert(mapping, key, value)
        elif node.start_mark.index == node.end_mark.index:  # `key:` and nothing
            self._edits.append((node.start_mark.index, node.end_mark.index, f" {_flow(value)}"))
        elif isinstance(node.value, list) and not node.flow_style:
            self._replace_block(node, value)
        else:
            self._edits.append((node.start_mark.index, node.end_mark.index, _flow(value)))

    def text(self) -> str:
        """The text with every edit made, the last first so that places stay right."""
        text = self._text
        for start, end, value in sorted(self._edits, reverse=True):
            text = text[:start] + value + text[end:]
        return text

    @staticmethod
    def _child(mapping: Any, key: str) -> Any:
        return next((value for name, value in mapping.value if name.value == key), None)

    def _insert(self, mapping: Any, key: str, value: _Value) -> None:
        entry = f"{key}: {_flow(value)}"
        if not mapping.value:
            at = mapping.start_mark.index + 1
            self._edits.append((at, at, entry))
        elif mapping.flow_style:
            self._edits.append((_end(mapping.value[-1][1]), _end(mapping.value[-1][1]), f", {entry}"))
        else:
            line = self._newline + " " * mapping.value[0][0].start_mark.column
            if isinstance(value, Mapping):
                entry = f"{line}  ".join([f"{key}:", *(f"{name}: {each}" for name, each in value.items())])
            at = self._line_end(_end(mapping))
            self._edits.append((at, at, line + entry))

    def _line_end(self, position: int) -> int:
        found = self._text.find("\n", position)
        at = len(self._text) if found < 0 else found
        return at - (self._text[at - 1 : at] == "\r")

    def _replace_block(self, node: Any, value: _Value) -> None:
        """A block list stays one, an item a line; a block mapping becomes one in flow style at its place."""
        first = node.value[0]
        if isinstance(value, tuple) and not isinstance(first, tuple):
            dash = f"{self._newline}{' ' * node.start_mark.column}- "
            self._edits.append((first.start_mark.index, _end(node), dash.join(value) or "[]"))
        else:
            at = first[0] if isinstance(first, tuple) else first
            self._edits.append((at.start_mark.index, _end(node), _flow(value)))


def _end(node: Any) -> int:
    """Where a node's own text ends: a block collection's mark lies behind the blank lines after it."""
    if isinstance(node.value, list) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
