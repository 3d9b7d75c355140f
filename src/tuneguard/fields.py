"""Nodes into frozen dataclasses, every fault at once.

A dataclass states what a file may hold; `decode` holds a node against it. Values that are more than a
scalar (a duration, a digest, a time) are read by the small functions at the end of this page, which
a dataclass names in its annotations:

    >>> from dataclasses import dataclass
    >>> from tuneguard.fields import Duration, decode
    >>> from tuneguard.records import read_yaml
    >>> @dataclass(frozen=True, slots=True)
    ... class Limits:
    ...     max_age: Duration
    >>> decode(read_yaml(b"maxAge: 90d", "demo.yaml"), Limits).max_age.days
    90
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from tuneguard.nodes import Node, Problems, nearest, shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Sequence

_T = TypeVar("_T")


class Wrong(Exception):
    """What a field's reader raises: the value is not what the field takes. `what`, and how to fix it."""

    def __init__(self, what: str, help: str | None = None, at: Node | None = None) -> None:
        super().__init__(what)
        self.what, self.help, self.at = what, help, at


class Or:
    """In ``Annotated[X | None, Or("any")]``: that word stands for None, and nothing else does."""

    def __init__(self, word: str) -> None:
        self.word = word


class Either:
    """In ``Annotated[X | Y, Either(choose)]``: ``choose(node)`` states as which of them a node is read."""

    def __init__(self, choose: Callable[[Node], Any]) -> None:
        self.choose = choose


class _Bad:
    """Stands for a value whose problem has been noted."""


_BAD = _Bad()


def decode(node: Node, type: type[_T]) -> _T:
    """A mapping as the frozen dataclass `type`; see `examine` for the rules.

    Raises:
        ConfigurationError: with every unknown key, missing key and wrong value.
    """
    problems = Problems()
    value = examine(node, type, problems)
    problems.raise_if_any()
    assert value is not None
    return value


def examine(node: Node, type: type[_T], problems: Problems) -> _T | None:
    """A mapping as the dataclass `type`, or None after having noted every fault in `problems`.

    A field's key is its name in camelCase, or its metadata's ``key``. A field without a default is
    required. Annotations may be str, int, float, bool, X | None, Literal, tuple[X, ...],
    frozenset[X], Mapping[str, X], a StrEnum, a dataclass, `Node` (kept raw, with its place), or
    ``Annotated[X, reader]``, where ``reader(node)`` returns the value or raises `Wrong`. Nothing
    given (``key:`` alone) is never the default: an emptied list must not become "any".
    """
    value = _read_record(node, type, problems)
    return None if isinstance(value, _Bad) else value


def _read(node: Node, hint: Any, label: str, problems: Problems) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    try:
        if origin is typing.Annotated:
            return _read_annotated(node, arguments[0], arguments[1], label, problems)
        if origin in (types.UnionType, typing.Union):
            return None if node.value is None else _read(node, _not_none(hint), label, problems)
        if origin is typing.Literal:
            return _read_choice(node, arguments)
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return hint(_read_choice(node, tuple(each.value for each in hint)))
        if origin in (tuple, frozenset):
            return _read_list(node, origin, arguments[0], label, problems)
        if origin is Mapping:
            return _read_mapping(node, arguments, label, problems)
        if dataclasses.is_dataclass(hint) and hint is not Node:
            return _read_record(node, typing.cast("type[Any]", hint), problems, label)
        return _read_scalar(node, hint)
    except Wrong as wrong:
        problems.add(wrong.at or node, f"{label} {wrong.what}", wrong.help)
        return _BAD


def _read_annotated(node: Node, hint: Any, how: Any, label: str, problems: Problems) -> Any:
    if isinstance(how, Or):
        return None if node.value == how.word else _read(node, _not_none(hint), label, problems)
    if isinstance(how, Either):
        return _read(node, how.choose(node), label, problems)
    return how(node)


def _not_none(hint: Any) -> Any:
    inner = [each for each in typing.get_args(hint) if each is not type(None)]
    assert len(inner) == 1, "a union of more than one type and None needs a reader"
    return inner[0]


def _read_scalar(node: Node, hint: Any) -> Any:
    value = node.value
    if hint is Node:
        return node
    if hint is str:
        if not isinstance(value, str):
            quote = node.source is not None and value is not None
            raise Wrong(
                f"must be text, found {node.kind}", f'write "{shown(node.source or "")}"' if quote else None
            )
        return value
    if hint is bool and not isinstance(value, bool):
        raise Wrong(f"must be true or false, found {node.kind}")
    if hint is int and (isinstance(value, bool) or not isinstance(value, int)):
        raise Wrong(f"must be a whole number, found {node.kind}")
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(f"must be a number, found {node.kind}")
        return float(value)
    assert hint in (bool, int), f"no reader for {hint}"
    return value


def _read_choice(node: Node, choices: tuple[Any, ...]) -> Any:
    if not any(node.value == choice and type(node.value) is type(choice) for choice in choices):
        known = [str(choice) for choice in choices]
        found = f"`{shown(node.value)}`" if isinstance(node.value, str) else node.kind
        close = nearest(node.value, known) if isinstance(node.value, str) else None
        raise Wrong(f"must be {_one_of(known)}, found {found}", f"did you mean `{close}`?" if close else None)
    return node.value


def _one_of(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _read_list(
    node: Node, origin: Callable[[list[Any]], Any], hint: Any, label: str, problems: Problems
) -> Any:
    if not isinstance(node.value, list):
        raise Wrong(f"must be a list, found {node.kind}", "write it as [a, b]")
    values = [_read(item, hint, f"an item of {label}", problems) for item in node.value]
    if any(isinstance(value, _Bad) for value in values):
        return _BAD
    if origin is frozenset or hint is str:
        for position, value in enumerate(values):
            if value in values[:position]:
                raise Wrong(f"holds `{shown(str(value))}` twice", "keep one", node.value[position])
    return origin(values)


def _read_mapping(node: Node, hints: tuple[Any, ...], label: str, problems: Problems) -> Any:
    if not isinstance(node.value, dict):
        raise Wrong(f"must be a mapping, found {node.kind}", "write it as {name: value}")
    values: dict[str, Any] = {}
    bad = False
    for key, value in node.value.items():
        values[key] = _read(value, hints[1], f"`{shown(key)}`", problems)
        if typing.get_origin(hints[0]) is typing.Literal:
            fits = _known_key(node, key, typing.get_args(hints[0]), problems)
        else:
            fits = not isinstance(_read(node.key(key), hints[0], f"a key of {label}", problems), _Bad)
        bad = bad or not fits or isinstance(values[key], _Bad)
    return _BAD if bad else types.MappingProxyType(values)


def _known_key(node: Node, key: str, known: Collection[str], problems: Problems) -> bool:
    if key not in known:
        problems.add(node.key(key), f"unknown key `{shown(key)}`", suggestion(key, known))
    return key in known


def _read_record(node: Node, type: type[_T], problems: Problems, label: str | None = None) -> _T | _Bad:
    if not isinstance(node.value, dict):
        problems.add(node, f"{label or 'the document'} must be a mapping, found {node.kind}")
        return _BAD
    fields = dict(_fields(typing.cast("Hashable", type)))
    before = len(problems)
    for key in node.value:
        _known_key(node, key, fields.keys(), problems)
    values: dict[str, Any] = {}
    for key, (name, hint, required) in fields.items():
        given = node.value.get(key)
        if given is not None:
            values[name] = _read(given, hint, f"`{key}`", problems)
        elif required:
            problems.add(node, f"missing key `{key}`" + (f" in {label}" if label else ""))
    if len(problems) > before or any(isinstance(value, _Bad) for value in values.values()):
        return _BAD
    return type(**values)


@functools.cache
def _fields(type: Any) -> tuple[tuple[str, tuple[str, Any, bool]], ...]:
    """Each field's key, and its name, annotation, and whether it must be given."""
    hints = typing.get_type_hints(type, include_extras=True)
    return tuple(_described(each, hints[each.name]) for each in dataclasses.fields(type) if each.init)


def _described(each: dataclasses.Field[Any], hint: Any) -> tuple[str, tuple[str, Any, bool]]:
    first, *rest = each.name.split("_")
    key = each.metadata.get("key") or first + "".join(word.capitalize() for word in rest)
    required = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    return key, (each.name, hint, required)


def keys(type: Any) -> tuple[str, ...]:
    """Every key that a file of the shape `type` may hold, at any depth: what its documentation explains."""
    found: dict[str, None] = {}
    for key, (_, hint, _required) in _fields(type):
        found[key] = None
        found |= dict.fromkeys(_keys_within(hint))
    return tuple(found)


def _keys_within(hint: Any) -> Iterator[str]:
    if dataclasses.is_dataclass(hint) and hint is not Node:
        yield from keys(hint)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated and not isinstance(arguments[1], Or | Either):
        return  # a reader makes the value of a scalar
    for argument in arguments:
        yield from _keys_within(argument)


# --- Readers of values that are more than a scalar --------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"([0-9]{1,15})(Ki|Mi|Gi|Ti|k|M|G|T)?")
_BYTES = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def read_name(node: Node) -> str:
    """A name that is safe in paths and messages, and that no other name looks like: plain ASCII."""
    text = read_text(node)
    if not is_name(text):
        raise Wrong(
            f"must be a name, found `{shown(text)}`",
            "use letters, digits and . _ @ + -, beginning with a letter or digit, at most 128",
        )
    return text


def is_name(text: str) -> bool:
    """Whether a text is a name as `read_name` takes it."""
    return _NAME.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 as `read_digest` takes it."""
    return _DIGEST.fullmatch(text) is not None


def read_digest(node: Node) -> str:
    """64 hex digits, in lower case so that one digest has one spelling."""
    text = read_text(node)
    if not is_digest(text):
        raise Wrong(
            f"must be 64 hex digits in lower case, found `{shown(text)}`", "`tuneguard digest DIR` prints one"
        )
    return text


def read_duration(node: Node) -> timedelta:
    """A whole number and a unit: ``45s``, ``30m``, ``16h``, ``90d``, ``2w``; not nothing."""
    text = node.value if isinstance(node.value, str) else ""
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        found = f"`{shown(text)}`" if text else node.kind
        raise Wrong(
            f"must be a duration, found {found}", "a whole number and one of s, m, h, d, w, such as 90d"
        )
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def read_size(node: Node) -> int:
    """Bytes: a whole number and, as Kubernetes writes it, Ki, Mi, Gi, Ti or k, M, G, T; not nothing."""
    number = isinstance(node.value, int) and not isinstance(node.value, bool)
    text = str(node.value) if number or isinstance(node.value, str) else ""
    match = _SIZE.fullmatch(text)
    if match is None or not int(match[1]):
        found = f"`{shown(text)}`" if isinstance(node.value, str) else node.kind
        raise Wrong(
            f"must be a size, found {found}", "a whole number and one of Ki, Mi, Gi, Ti, such as 50Gi"
        )
    return int(match[1]) * _BYTES[match[2]]


def read_instant(node: Node) -> datetime:
    """A moment as RFC 3339 writes it, in UTC. Without an offset nobody knows which moment is meant."""
    text = node.value if isinstance(node.value, str) else ""
    try:
        if not _INSTANT.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        found = f"`{shown(text)}`" if text else node.kind
        raise Wrong(
            f"must be a time with its offset, found {found}", "such as 2027-06-01T00:00:00Z"
        ) from None


def one_of(node: Node, choices: Sequence[str]) -> str:
    """One of a few words."""
    try:
        return str(_read_choice(node, tuple(choices)))
    except Wrong as wrong:
        raise Wrong(wrong.what, wrong.help, node) from None


def read_text(node: Node) -> str:
    """A text."""
    text: str = _read_scalar(node, str)
    return text


def read_texts(node: Node) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(node.value, list):
        raise Wrong(f"must be a list, found {node.kind}", "write it as [a, b]")
    return tuple(read_text(item) for item in node.items)


def at_least(bound: int) -> Callable[[Node], int]:
    """A reader of whole numbers that are not below `bound`."""

    def read(node: Node) -> int:
        value: int = _read_scalar(node, int)
        if value < bound:
            raise Wrong(f"must be at least {bound}, found {node.kind}")
        return value

    return read


Name = Annotated[str, read_name]
Digest = Annotated[str, read_digest]
Duration = Annotated[timedelta, read_duration]
Size = Annotated[int, read_size]
Instant = Annotated[datetime, read_instant]
Count = Annotated[int, at_least(1)]
