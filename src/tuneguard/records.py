"""Strict YAML and JSON: what a person or a stranger wrote, as values that keep their places.

Files that people write for us (``tuneguard.yaml``, ``policy.yaml``) go `read_yaml` → `Node` →
`decode` → a frozen dataclass. Every fault is collected with its place and all are reported
together, since mending one at a time is a waste of a person's day. Files that strangers or programs
wrote (bundles, manifests, model configurations) go through `read_json`. What we write ourselves
goes through `to_json`, whose bytes depend on the value alone.

Both readers refuse whatever two parsers could read differently: keys given twice, NaN, numbers
beyond 64 bits, text that is not Unicode; for YAML also anchors, aliases, tags, merge keys, several
documents, and raw characters that make an editor show another text than the parser reads. Depth,
size and number of values are bounded before any of it is kept.

    >>> node = read_yaml(b"name: demo\\nports: [80, 443]\\n", "demo.yaml")
    >>> node.plain()
    {'name': 'demo', 'ports': [80, 443]}
    >>> node.value["ports"].where
    'demo.yaml:2:8'
    >>> read_json(b'{"a": [1, 2.5, null]}', "demo.json")
    {'a': [1, 2.5, None]}
    >>> to_json({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tuneguard import limits
from tuneguard.errors import ConfigurationError, NotUnderstood, Problem
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

_T = TypeVar("_T")
Scalar = str | int | float | bool | None

SHOWN_NAME = 80
"""Characters of a stranger's name that a message repeats."""
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


# --- Nodes -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a YAML document with its place; lines and columns count from 1.

    ``source`` is an unquoted scalar as it was written, so that a message can say that ``042`` was
    read as 34; it is None for quoted text and for collections. ``keys`` holds each key's own place.
    """

    value: Scalar | dict[str, Node] | list[Node]
    line: int
    column: int
    file: str
    source: str | None = None
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """``file:line:column``, safe to print."""
        return f"{printable(self.file)}:{self.line}:{self.column}"

    @property
    def mapping(self) -> Mapping[str, Node]:
        """The values by key, or nothing where this is not a mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> Sequence[Node]:
        """The items, or nothing where this is not a list."""
        return self.value if isinstance(self.value, list) else ()

    def get(self, *path: str) -> Node | None:
        """The value below the keys of `path`, or None where one of them is missing."""
        node: Node | None = self
        for key in path:
            if node is None:
                return None
            node = node.mapping.get(key)
        return node

    def key(self, name: str) -> Node:
        """The key `name` itself as a node: a place to point at."""
        line, column = self.keys.get(name, (self.line, self.column))
        return Node(name, line, column, self.file)

    def plain(self) -> Any:
        """The value as Python's own dicts, lists and scalars, without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    @property
    def kind(self) -> str:
        """What this is, in words that fit after "found"."""
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case None:
                return "nothing"
            case bool():
                return f"`{shown(self.source or str(self.value).lower())}`, which means {_truth(self.value)}"
            case int() | float():
                return f"the number {self.value}" + self._as_written()
            case _:
                return "text"

    def _as_written(self) -> str:
        written = self.source is not None and self.source != str(self.value)
        return f" (written {shown(self.source or '')})" if written else ""


def _truth(value: object) -> str:
    return "true" if value else "false"


def shown(name: str) -> str:
    """A stranger's name, escaped and cut to a length that a message can bear."""
    text = printable(name[:SHOWN_NAME])
    return text if len(name) <= SHOWN_NAME else f"{text}…"


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` was probably meant to be.

    >>> nearest("expectedDuraton", ["expectedDuration", "command"])
    'expectedDuration'
    """
    if len(name) > SHOWN_NAME:  # comparing is quadratic
        return None
    import difflib

    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(name: str, known: Collection[str]) -> str:
    """The help for a name that is not known: the nearest one, or all of them."""
    close = nearest(name, known)
    if close is not None:
        return f"did you mean `{shown(close)}`?"
    listed = ", ".join(shown(each) for each in sorted(known)[:20])
    return f"known here: {listed}" if listed else "nothing is known here yet: define it first"


class Problems:
    """Faults of one file, collected so that a person sees all of them at once."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int, Problem]] = []

    def add(self, at: Node, what: str, help: str | None = None) -> None:
        """Note that `what` is wrong at a node's place."""
        self._found.append((at.line, at.column, Problem(what, at.where, help)))

    def __len__(self) -> int:
        return len(self._found)

    def listed(self) -> tuple[Problem, ...]:
        """The problems in the order of their places, at most `limits.PROBLEMS` and a count of the rest."""
        ordered = [problem for _, _, problem in sorted(self._found, key=lambda found: found[:2])]
        more = len(ordered) - limits.PROBLEMS
        if more > 0:
            ordered[limits.PROBLEMS :] = [Problem(f"{more} more problems are not listed")]
        return tuple(dict.fromkeys(ordered))

    def raise_if_any(self) -> None:
        """Raise what was found.

        Raises:
            ConfigurationError: something was found.
        """
        if self._found:
            raise ConfigurationError(self.listed())


# --- YAML ------------------------------------------------------------------------------------------

# Raw characters that show a reader another text than the parser reads: bidirectional controls
# ("Trojan Source", CVE-2021-42574), and the line breaks of YAML 1.1 that editors do not break at.
_MISLEADING = re.compile("[\u202a-\u202e\u2066-\u2069\x85\u2028\u2029]|\r(?!\n)")


def read_yaml(data: bytes, file: str, *, limit: int = limits.RECORD_BYTES) -> Node:
    """One YAML document, strictly.

    Scalars mean what YAML 1.1 says (``no`` is false, ``042`` is 34), so that other tools agree,
    with one exception: dates stay text, because YAML's own reading of them loses the offset.

    Raises:
        ConfigurationError: with every fault and its place.
    """
    if len(data) > limit:
        raise ConfigurationError([Problem(f"is larger than {limit:,} bytes", printable(file))])
    _check_characters(data, file)
    return _Builder(file).build(data)


def _check_characters(data: bytes, file: str) -> None:
    """Refuse what is not UTF-8 and what hides from the eye.

    Raises:
        ConfigurationError: with the first place of each kind.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = _place(data[: error.start].decode("utf-8"), file)
        problem = Problem(f"byte 0x{data[error.start]:02x} is not UTF-8", at.where, "save the file as UTF-8")
        raise ConfigurationError([problem]) from error
    if text.startswith("\ufeff"):
        problem = Problem(
            "begins with a byte order mark", f"{printable(file)}:1:1", "save the file as UTF-8 without one"
        )
        raise ConfigurationError([problem])
    problems = Problems()
    for found in _MISLEADING.finditer(text):
        problems.add(
            _place(text[: found.start()], file),
            f"U+{ord(found.group()):04X} makes the file look different from what it says",
            'remove it, or write it as an escape in quotes: "\\u…"',
        )
        if len(problems) > limits.PROBLEMS:  # finding a place costs a pass over the text
            break
    problems.raise_if_any()


def _place(before: str, file: str) -> Node:
    """The place that follows the text `before`."""
    return Node(None, before.count("\n") + 1, len(before) - before.rfind("\n"), file)


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been seen."""

    node: Node
    key: Node | None = None  # of a mapping: the key that waits for its value


class _Stop(Exception):
    """The document cannot be read further; the problem has been noted."""


class _Builder:
    """Builds nodes from PyYAML's events: no recursion, and nothing is expanded or constructed."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems = Problems()
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.count = 0
        self.documents = 0

    def build(self, data: bytes) -> Node:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            for event in yaml.parse(data, Loader=loader):
                self._take(event)
        except _Stop:
            pass
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = self._node(None, mark) if mark else Node(None, 1, 1, self.file)
            what = " ".join(printable(part) for part in (error.context, error.problem) if part)
            self.problems.add(at, f"is not YAML: {what}")
        except yaml.reader.ReaderError as error:
            before = data[: error.position].decode("utf-8", "replace")
            self.problems.add(_place(before, self.file), f"is not YAML: {printable(error.reason)}")
        except yaml.YAMLError as error:
            self.problems.add(Node(None, 1, 1, self.file), f"is not YAML: {printable(str(error))}")
        if self.root is None and not self.problems:
            self.problems.add(Node(None, 1, 1, self.file), "is empty")
        self.problems.raise_if_any()
        assert self.root is not None
        return self.root

    def _node(self, value: Any, mark: Any, source: str | None = None) -> Node:
        return Node(value, mark.line + 1, mark.column + 1, self.file, source)

    def _stop(self, event: Any, what: str, help: str | None = None) -> NoReturn:
        self.problems.add(self._node(None, event.start_mark), what, help)
        raise _Stop

    def _take(self, event: Any) -> None:
        import yaml

        match event:
            case yaml.ScalarEvent():
                self._check_adornments(event)
                self._place(self._scalar(event))
            case yaml.MappingStartEvent():
                self._check_adornments(event)
                self._open(self._node({}, event.start_mark), event)
            case yaml.SequenceStartEvent():
                self._check_adornments(event)
                self._open(self._node([], event.start_mark), event)
            case yaml.CollectionEndEvent():
                self._place(self.stack.pop().node)
            case yaml.AliasEvent():
                node = self._node(None, event.start_mark)
                self.problems.add(
                    node, f"alias `*{shown(event.anchor)}` is not allowed", "write the value out"
                )
                self._place(node)
            case yaml.DocumentStartEvent():
                self._start_document(event)

    def _start_document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self._stop(event, "holds several documents", "keep one: nothing after it would be read")
        if event.version or event.tags:
            self.problems.add(
                self._node(None, event.start_mark), "a `%` directive is not allowed", "remove it"
            )

    def _check_adornments(self, event: Any) -> None:
        self.count += 1
        if self.count > limits.RECORD_NODES:
            self._stop(event, f"holds more than {limits.RECORD_NODES:,} values")
        at = self._node(None, event.start_mark)
        if event.anchor is not None:
            self.problems.add(at, f"anchor `&{shown(event.anchor)}` is not allowed", "write the value out")
        if event.tag is not None:
            self.problems.add(at, f"tag `{shown(event.tag)}` is not allowed", "remove it")
        if len(self.problems) > 2 * limits.PROBLEMS:
            raise _Stop

    def _open(self, node: Node, event: Any) -> None:
        if len(self.stack) >= limits.RECORD_DEPTH:
            self._stop(event, f"is nested deeper than {limits.RECORD_DEPTH} levels")
        self.stack.append(_Open(node))

    def _place(self, node: Node) -> None:
        """Put a finished node where the innermost open collection wants it."""
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if isinstance(top.node.value, list):
            top.node.value.append(node)
        elif top.key is None:
            top.key = self._checked_key(node, top.node)
        else:
            typing.cast("dict[str, Node]", top.node.value).setdefault(str(top.key.value), node)
            top.key = None

    def _checked_key(self, node: Node, mapping: Node) -> Node:
        if not isinstance(node.value, str):
            self.problems.add(node, f"a key must be text, found {node.kind}", "quote it")
            return Node(f"\0{node.where}", node.line, node.column, self.file)  # a name that nothing knows
        if node.source == "<<":
            self.problems.add(node, "merge key `<<` is not allowed", "write the values out")
        elif node.value in mapping.keys:
            first = mapping.keys[node.value]
            self.problems.add(
                node, f"duplicate key `{shown(node.value)}`", f"the first is on line {first[0]}: keep one"
            )
        else:
            typing.cast("dict[str, tuple[int, int]]", mapping.keys)[node.value] = (node.line, node.column)
        return node

    def _scalar(self, event: Any) -> Node:
        if event.tag is not None or not event.implicit[0]:
            return self._node(event.value, event.start_mark)
        node = self._node(event.value, event.start_mark, event.value)
        try:
            return dataclasses.replace(node, value=_resolve(event.value))
        except ValueError as error:
            self.problems.add(node, str(error), "quote it if it is text")
            return node


@functools.cache
def _resolvers() -> Mapping[str | None, Sequence[tuple[str, re.Pattern[str]]]]:
    import yaml

    return typing.cast(
        "Mapping[str | None, Sequence[tuple[str, re.Pattern[str]]]]", yaml.SafeLoader.yaml_implicit_resolvers
    )


def _resolve(text: str) -> Scalar:
    """What YAML 1.1 says an unquoted scalar means, by PyYAML's own patterns.

    Raises:
        ValueError: a number that JSON could not carry, or a base-60 one, which nobody means.
    """
    if text[:1].isalpha() and len(text) > 5:  # no word of YAML's is longer than `false`
        return text
    for tag, pattern in _resolvers().get(text[:1], ()):
        if pattern.match(text):
            match tag.rpartition(":")[2]:
                case "null":
                    return None
                case "bool":
                    return text.lower() in ("yes", "true", "on")
                case "int":
                    return _yaml_int(text)
                case "float":
                    return _yaml_float(text)
                case _:
                    return text
    return text


def _yaml_int(text: str) -> int:
    digits = text.replace("_", "").lower()
    if ":" in digits:
        raise ValueError(f"{shown(text)} is a number of base 60 in YAML")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = 2 if digits.startswith("0b") else 16 if digits.startswith("0x") else 8 if digits[0] == "0" else 10
    if len(digits) > 70 or not _INT_MIN <= (value := sign * int(digits, base)) <= _INT_MAX:
        raise ValueError(f"the number {shown(text)} does not fit into 64 bits")
    return value


def _yaml_float(text: str) -> float:
    digits = text.replace("_", "").lower()
    if ":" in digits:
        raise ValueError(f"{shown(text)} is a number of base 60 in YAML")
    if digits.lstrip("+-") in (".inf", ".nan") or math.isinf(value := float(digits)):
        raise ValueError(f"{shown(text)} is not a finite number")
    return value


# --- JSON ------------------------------------------------------------------------------------------

# A string, whole or cut off by the end. Possessive, and it matches at every quote: linear.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{},"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1, ord(","): 0}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(data: bytes, where: str, *, limit: int = limits.RECORD_BYTES) -> Any:
    """A JSON text (RFC 8259) that a stranger wrote, as Python's own values.

    Args:
        where: names the bytes in messages; it is escaped here.
        limit: bytes that are read at most.

    Raises:
        NotUnderstood: not JSON, not UTF-8, a key given twice, NaN, a number beyond 64 bits or the
            finite floats, a lone surrogate, or over a bound of depth, size or number of values.
    """
    place = printable(where)
    if len(data) > limit:
        raise NotUnderstood(f"is larger than {limit:,} bytes", where=place)
    _check_shape(data, place)
    try:
        value = _strict_decoder().decode(data.decode("utf-8"))
        if _SURROGATE.search(data):  # only an escape can bring one in, and only a pair is a character
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUnderstood(f"byte {error.start:,} is not UTF-8", where=place) from error
    except UnicodeEncodeError as error:
        raise NotUnderstood("holds half of a surrogate pair, which is no character", where=place) from error
    except json.JSONDecodeError as error:
        raise NotUnderstood(
            f"is not JSON: {printable(error.msg)}", where=f"{place}:{error.lineno}:{error.colno}"
        ) from error
    except _NotStrict as error:
        raise NotUnderstood(str(error), where=place) from error
    return value


def _check_shape(data: bytes, place: str) -> None:
    """Bound depth and number of values before anything is built; strings are skipped."""
    structure = _STRING.sub(b"", data).translate(None, _NOT_STRUCTURE)
    if len(structure) > limits.JSON_VALUES:
        raise NotUnderstood(f"holds more than {limits.JSON_VALUES:,} values", where=place)
    if max(accumulate(map(_STEP.__getitem__, structure)), default=0) > limits.RECORD_DEPTH:
        raise NotUnderstood(f"is nested deeper than {limits.RECORD_DEPTH} levels", where=place)


class _NotStrict(Exception):
    """JSON that parsers read differently."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _NotStrict(f"duplicate key `{shown(double)}`")
    return result


def _integer(text: str) -> int:
    if len(text) > 20 or not _INT_MIN <= (value := int(text)) <= _INT_MAX:
        raise _NotStrict(f"the number {shown(text)} does not fit into 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NotStrict(f"the number {shown(text)} is beyond what a float holds")
    return value


def _no_constant(text: str) -> NoReturn:
    raise _NotStrict(f"{text} is not JSON")


@functools.cache
def _strict_decoder() -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
    )


def to_json(value: object) -> bytes:
    """Compact JSON with sorted keys, UTF-8: the same value always gives the same bytes.

    Raises:
        ValueError: NaN, an infinity or a lone surrogate. A bug of ours: no reader lets them in.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )
    return text.encode("utf-8")


def to_json_pretty(value: object) -> bytes:
    """JSON for people: indented, sorted keys, one newline at the end.

    Raises:
        ValueError: as `to_json`.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    return text.encode("utf-8") + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} has no form in JSON"
    raise TypeError(msg)


# --- Nodes into dataclasses ------------------------------------------------------------------------


class Wrong(Exception):
    """What a field's reader raises: the value is not what the field takes. `what`, and the mend."""

    def __init__(self, what: str, help: str | None = None, at: Node | None = None) -> None:
        super().__init__(what)
        self.what, self.help, self.at = what, help, at


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
    frozenset[X], Mapping[str, X], a dataclass, `Node` (kept raw, with its place), or
    ``Annotated[X, reader]``, where ``reader(node)`` returns the value or raises `Wrong`. Nothing
    given (``key:`` alone) is never the default: an emptied list must not become "any".
    """
    value = _read_record(node, type, problems)
    return None if isinstance(value, _Bad) else value


def _read(node: Node, hint: Any, label: str, problems: Problems) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    try:
        if origin is typing.Annotated:
            return arguments[1](node)
        if origin in (types.UnionType, typing.Union):
            inner = [each for each in arguments if each is not type(None)]
            assert len(inner) == 1, "a union of more than one type and None needs a reader"
            return None if node.value is None else _read(node, inner[0], label, problems)
        if origin is typing.Literal:
            return _read_choice(node, arguments)
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
        name = _read(node.key(key), hints[0], f"a key of {label}", problems)
        values[key] = _read(value, hints[1], f"`{shown(key)}`", problems)
        bad = bad or isinstance(name, _Bad) or isinstance(values[key], _Bad)
    return _BAD if bad else types.MappingProxyType(values)


def _read_record(node: Node, type: type[_T], problems: Problems, label: str | None = None) -> _T | _Bad:
    if not isinstance(node.value, dict):
        problems.add(node, f"{label or 'the document'} must be a mapping, found {node.kind}")
        return _BAD
    fields = dict(_fields(type))
    before = len(problems)
    for key in node.value:
        if key not in fields:
            problems.add(node.key(key), f"unknown key `{shown(key)}`", suggestion(key, fields.keys()))
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
def _fields(type: type[Any]) -> tuple[tuple[str, tuple[str, Any, bool]], ...]:
    """Each field's key, and its name, annotation, and whether it must be given."""
    hints = typing.get_type_hints(type, include_extras=True)
    return tuple(_described(each, hints[each.name]) for each in dataclasses.fields(type) if each.init)


def _described(each: dataclasses.Field[Any], hint: Any) -> tuple[str, tuple[str, Any, bool]]:
    first, *rest = each.name.split("_")
    key = each.metadata.get("key") or first + "".join(word.capitalize() for word in rest)
    required = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    return key, (each.name, hint, required)


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, in the order of the document."""
    yield node
    for child in (*node.mapping.values(), *node.items):
        yield from walk(child)
