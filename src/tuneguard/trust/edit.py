"""Changing a policy's text without rewriting it: its author's comments and layout stay.

Places to change are found in the composed document and replaced in the text; the result is parsed
again and must state exactly what was meant, or nothing is returned. So a layout that the small editor
here does not understand ends in an error, never in another policy.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from tuneguard.errors import ConfigurationError, UsageError
from tuneguard.fields import is_digest, is_name
from tuneguard.files import printable
from tuneguard.nodes import shown, suggestion
from tuneguard.records import written
from tuneguard.trust.policy import (
    RETIRED,
    EvaluationRule,
    Identity,
    Model,
    Policy,
    Promoted,
    Revocation,
    SealedBy,
    parse_policy,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from typing import TypeAlias

    from tuneguard.nodes import Node
    from tuneguard.signing.key import PublicKey

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
    env: Mapping[str, str] | None = None,
    suites: Mapping[str, int] | None = None,
    minimum_rows: int | None = None,
    file: str = "policy.yaml",
) -> bytes:
    """The policy `data` with a model's digests filled in and its version raised by one.

    Args:
        base: the tree digest of the one base that the model may be trained from; replaces those listed.
        evaluation, classifier: tree digests; for a model without an evaluation both are needed.
        code, config: the one digest of each that the model may be trained with; replaces those listed.
        command, env: the one command and the one environment that it may be trained with, as the pipeline
            file has them.
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
    change = _Change(base, evaluation, classifier, code, config, command, env, suites, minimum_rows)
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
        ("env", model.env, before.env),
    ):
        if listed is not None and listed != was:
            editor.put(("models", name), key, _listed(listed))
    old, new = before.evaluation, model.evaluation
    if new is not None and old is None:
        editor.put(("models", name), "evaluation", _entries(new))
    elif new is not None and old is not None:
        entries = _entries(old)
        for key, value in _entries(new).items():
            if entries[key] != value:
                editor.put(("models", name, "evaluation"), key, value)
    return _checked(editor.text(), wanted, file)


def revoke(data: bytes, name: str, *, reason: str, at: datetime, file: str = "policy.yaml") -> bytes:
    """The policy `data` with an identity's key revoked, and its version raised by one.

    Raises:
        ConfigurationError: `data` is wrong as it is.
        UsageError: no such identity; a key revoked for compromise is to be one retired in good order; or the
            layout cannot be edited here.
    """
    policy = parse_policy(data, file)
    identity = _identity(policy, name)
    if identity.compromised and reason in RETIRED:
        raise UsageError(
            f"{name} is revoked for compromise, and was not {reason} in good order",
            help="leave it as it is: models that its key had no part in can be promoted again",
        )
    wanted = dataclasses.replace(identity, revoked=Revocation(at, reason))
    editor = _Editor(data.decode("utf-8"))
    editor.put(("metadata",), "version", str(policy.version + 1))
    editor.put(("identities", name), "revoked", f"{{at: {_instant(at)}, reason: {written(reason)}}}")
    identities = {**policy.identities, name: wanted}
    after = dataclasses.replace(policy, version=policy.version + 1, identities=identities)
    return _checked(editor.text(), after, file)


def rotate(
    data: bytes, name: str, key: PublicKey, *, new: str | None, at: datetime, file: str = "policy.yaml"
) -> bytes:
    """The policy `data` in which a new key follows an identity's, and its version is raised by one.

    The old identity stays, believed until `at`; the new one has the same custodian and stands wherever the
    old one does. It is called `new`, by default as the old one with the next number.

    Raises:
        ConfigurationError: `data` is wrong as it is, or the key is another identity's already.
        UsageError: no such identity, or it is revoked; a name that is taken or is none; or the layout cannot
            be edited here.
    """
    policy = parse_policy(data, file)
    old = _identity(policy, name)
    if old.revoked is not None:
        raise UsageError(f"{name} is revoked already", help="list the new key by hand: tuneguard policy sign")
    new = new or _next_name(name, policy.identities)
    if not is_name(new) or new in policy.identities:
        raise UsageError(f"`{shown(new)}` is taken or is not a name", help="choose another one: --name NEW")
    until = at if old.valid_until is None or at < old.valid_until else old.valid_until
    follower = Identity(new, key, old.custodian, form=old.form)
    editor = _Editor(data.decode("utf-8"))
    editor.put(("metadata",), "version", str(policy.version + 1))
    if until != old.valid_until:
        editor.put(("identities", name), "validUntil", _instant(until))
    form = "" if old.form == "dsse" else f", format: {old.form}"
    editor.put(("identities",), new, f"{{key: {key.base64}, custodian: {written(old.custodian)}{form}}}")

    def followed(names: tuple[str, ...], *path: str | int) -> tuple[str, ...]:
        if name not in names:
            return names
        editor.append(path, written(new))
        return (*names, new)

    def sealed(rule: SealedBy, *path: str | int) -> SealedBy:
        return dataclasses.replace(rule, stewards=followed(rule.stewards, *path, "steward"))

    roles = {
        role: dataclasses.replace(rules, any_of=followed(rules.any_of, "roles", role, "anyOf"))
        for role, rules in policy.roles.items()
    }
    models = {}
    for title, model in policy.models.items():
        place = ("models", title)
        sets = [sealed(rule, *place, "data", n) for n, rule in enumerate(model.data)]
        bases = [
            sealed(rule, *place, "base", n) if isinstance(rule, SealedBy) else rule
            for n, rule in enumerate(model.bases)
        ]
        measured = model.evaluation
        if measured is not None and isinstance(measured.set, SealedBy):
            measured = dataclasses.replace(measured, set=sealed(measured.set, *place, "evaluation", "set"))
        builders = followed(model.builders, "models", title, "builder")
        models[title] = dataclasses.replace(
            model, builders=builders, data=tuple(sets), bases=tuple(bases), evaluation=measured
        )
    identities = {**policy.identities, name: dataclasses.replace(old, valid_until=until), new: follower}
    after = dataclasses.replace(
        policy, version=policy.version + 1, identities=identities, roles=roles, models=models
    )
    return _checked(editor.text(), after, file)


def _identity(policy: Policy, name: str) -> Identity:
    if name not in policy.identities:
        raise UsageError(
            f"the policy has no identity `{shown(name)}`", help=suggestion(name, policy.identities)
        )
    return policy.identities[name]


def _next_name(name: str, taken: Collection[str]) -> str:
    """``pia``, ``pia-2``, ``pia-3``."""
    stem, _, number = name.rpartition("-")
    first = int(number) + 1 if stem and number.isascii() and number.isdecimal() and len(number) < 6 else 2
    stem = stem if first > 2 else name
    return next(each for n in itertools.count(first) if (each := f"{stem}-{n}") not in taken)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be filled in; None leaves what is there."""

    base: str | None
    evaluation: str | None
    classifier: str | None
    code: str | None
    config: str | None
    command: tuple[str, ...] | None
    env: Mapping[str, str] | None
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
            env=model.env if self.env is None else self.env,
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


def _listed(value: tuple[str | SealedBy | Promoted, ...] | Mapping[str, str]) -> _Value:
    """A list, or variables on one line."""
    if isinstance(value, tuple):
        return tuple(map(_written, value))
    return _flow({written(name): written(each) for name, each in value.items()})


def _entries(rule: EvaluationRule) -> dict[str, str]:
    """An evaluation's keys and values as a policy writes them."""
    suites = ", ".join(f"{written(suite)}: {version}" for suite, version in rule.suites.items())
    return {
        "set": _written(rule.set),
        "classifier": written(rule.classifier),
        "suites": f"{{{suites}}}",
        "minimumRows": str(rule.minimum_rows),
    }


def _written(listed: str | SealedBy | Promoted) -> str:
    """A digest or a word, what a steward seals or a promoted model, as a policy writes it."""
    if isinstance(listed, str):
        return written(listed)
    if isinstance(listed, Promoted):
        return f"{{promoted: {written(listed.model)}}}"
    return f"{{name: {written(listed.name)}, steward: [{', '.join(map(written, listed.stewards))}]}}"


def _flow(value: _Value) -> str:
    """A value on one line."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return "{" + ", ".join(f"{key}: {each}" for key, each in value.items()) + "}"


def _checked(text: str, wanted: Policy, file: str) -> bytes:
    data = text.encode("utf-8")
    help = "edit the file by hand, raise metadata.version, then: tuneguard policy sign"
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
    values["gates"] = _plain(policy.gates)
    values["models"] = {
        name: (dataclasses.replace(model, gates={}), _plain(model.gates))
        for name, model in policy.models.items()
    }
    del values["sha256"]
    return values


def _plain(gates: Mapping[str, Node]) -> dict[str, Any]:
    return {gate: node.plain() for gate, node in gates.items()}


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

    def append(self, path: tuple[str | int, ...], item: str) -> None:
        """Let the list at `path` end with `item` too."""
        node: Any = self._root
        for step in path:
            node = self._child(node, step)
        if not node.value:
            self._edits.append((node.start_mark.index + 1, node.start_mark.index + 1, item))
        elif node.flow_style:
            end = _end(node.value[-1])
            self._edits.append((end, end, f", {item}"))
        else:
            at = self._line_end(_end(node))
            self._edits.append((at, at, f"{self._newline}{' ' * node.start_mark.column}- {item}"))

    def text(self) -> str:
        """The text with every edit made, the last first so that places stay right."""
        text = self._text
        for start, end, value in sorted(self._edits, reverse=True):
            text = text[:start] + value + text[end:]
        return text

    @staticmethod
    def _child(mapping: Any, key: str | int) -> Any:
        if isinstance(key, int):
            return mapping.value[key]
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
