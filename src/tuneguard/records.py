"""Strict YAML and JSON: what a person or an untrusted program wrote, as values that keep their places.

Files that people write for us (``tuneguard.yaml``, ``policy.yaml``) go `read_yaml` → `Node` →
`decode` → a frozen dataclass. Every fault is collected with its place and all are reported
together, since fixing one at a time is a waste of a person's day. Files that others or programs
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

import functools
import json
import math
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NoReturn

from tuneguard import limits
from tuneguard.errors import ConfigurationError, NotUnderstood, Problem
from tuneguard.fields import decode, examine
from tuneguard.files import printable
from tuneguard.nodes import Node, Problems, Scalar, nearest, shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Node",
    "Problems",
    "decode",
    "examine",
    "nearest",
    "read_json",
    "read_yaml",
    "shown",
    "suggestion",
    "to_json",
    "to_json_pretty",
    "written",
]

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

# --- YAML ------------------------------------------------------------------------------------------

# Raw characters that show a reader another text than the parser reads: bidirectional controls
# ("Trojan Source", CVE-2021-42574), and the line breaks of YAML 1.1 that editors do not break at.
_MISLEADING = re.compile("[\u202a-\u202e\u2066-\u2069\x85\u2028\u2029]|\r(?!\n)")


def read_yaml(data: bytes, file: str, *, limit: int = limits.RECORD_BYTES) -> Node:
    """One YAML document, strictly.

    Scalars mean what YAML 1.1 states (``no`` is false, ``042`` is 34), so that other tools agree,
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
            f"U+{ord(found.group()):04X} makes the file look different from what it contains",
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
            handlers = self._handlers()
            for event in yaml.parse(data, Loader=loader):
                handlers.get(type(event), _ignore)(event)
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

    def _handlers(self) -> Mapping[type[Any], Callable[[Any], None]]:
        import yaml

        return {
            yaml.ScalarEvent: self._take_scalar,
            yaml.MappingStartEvent: lambda event: self._open(event, {}),
            yaml.SequenceStartEvent: lambda event: self._open(event, []),
            yaml.MappingEndEvent: lambda _: self._place(self.stack.pop().node),
            yaml.SequenceEndEvent: lambda _: self._place(self.stack.pop().node),
            yaml.AliasEvent: self._take_alias,
            yaml.DocumentStartEvent: self._start_document,
        }

    def _take_scalar(self, event: Any) -> None:
        self._check_adornments(event)
        self._place(self._scalar(event))

    def _take_alias(self, event: Any) -> None:
        node = self._node(None, event.start_mark)
        self.problems.add(node, f"alias `*{shown(event.anchor or '')}` is not allowed", "write the value out")
        self._place(node)

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

    def _open(self, event: Any, empty: dict[str, Node] | list[Node]) -> None:
        self._check_adornments(event)
        if len(self.stack) >= limits.RECORD_DEPTH:
            self._stop(event, f"is nested deeper than {limits.RECORD_DEPTH} levels")
        self.stack.append(_Open(self._node(empty, event.start_mark)))

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
            mapping.keys[node.value] = (node.line, node.column)
        return node

    def _scalar(self, event: Any) -> Node:
        if event.tag is not None or not event.implicit[0]:
            return self._node(event.value, event.start_mark)
        try:
            return self._node(_resolve(event.value), event.start_mark, event.value)
        except ValueError as error:
            node = self._node(event.value, event.start_mark, event.value)
            self.problems.add(node, str(error), "quote it if it is text")
            return node


def _ignore(event: object) -> None:
    """The stream's and the document's ends add nothing."""


@functools.cache
def _resolvers() -> Mapping[str | None, Sequence[tuple[str, re.Pattern[str]]]]:
    import yaml

    return typing.cast(
        "Mapping[str | None, Sequence[tuple[str, re.Pattern[str]]]]", yaml.SafeLoader.yaml_implicit_resolvers
    )


def _resolve(text: str) -> Scalar:
    """The meaning of an unquoted scalar in YAML 1.1, by PyYAML's own patterns.

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


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]*")


def written(text: str) -> str:
    """A text as YAML is to hold it: as it is where every reader takes that for text, else in quotes.

    >>> written("support-llama"), written("042"), written("no"), written("a: b")
    ('support-llama', '"042"', '"no"', '"a: b"')
    """
    resolved = any(pattern.match(text) for _, pattern in _resolvers().get(text[:1], ()))
    if _PLAIN.fullmatch(text) and not resolved:
        return text
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    """A character between double quotes; JSON's escapes would not do, YAML knows no surrogate pairs."""
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# --- JSON ------------------------------------------------------------------------------------------

# A string, whole or cut off by the end. Possessive, and it matches at every quote: linear.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_AT = re.compile(r"( starting)? at$")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(data: bytes, where: str, *, limit: int = limits.RECORD_BYTES) -> Any:
    """An untrusted JSON text (RFC 8259), as Python's own values.

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
            f"is not JSON: {printable(_AT.sub('', error.msg))}",
            where=f"{place}:{error.lineno}:{error.colno}",
        ) from error
    except _NotStrict as error:
        raise NotUnderstood(str(error), where=place) from error
    return value


def _check_shape(data: bytes, place: str) -> None:
    """Bound depth and number of values before anything is built; strings are skipped."""
    opened = data.count(b"[") + data.count(b"{")
    if opened <= limits.RECORD_DEPTH and len(data) <= limits.JSON_VALUES:
        return  # too few of either, even if no bracket stood in a string: a row of data, mostly
    bare = _STRING.sub(b"", data)
    brackets = bare.translate(None, _NOT_BRACKETS)
    if bare.count(b",") + len(brackets) // 2 > limits.JSON_VALUES:
        raise NotUnderstood(f"holds more than {limits.JSON_VALUES:,} values", where=place)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > limits.RECORD_DEPTH:
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
