"""Untrusted JSON documents: their values. The rules find what names code in them.

More lenient than ``records.read_json``, which reads what we are given to trust: Trainer writes NaN for
a loss that diverged, and such a file must still be looked at. A key given twice is a fact, since one
reader takes the first and another the last.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.formats.facts import Fact, TwoReadings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneguard.formats.reader import Reader

_SHOWN = 80
_DEEPEST_SHOWN = 12


Step = tuple["Step | None", str | int]
"""Where a value is: what holds it (None: the document), and its key or index there."""


class Object(Fact, frozen=True, eq=False):
    """One object of a document, and its place: None is the document itself."""

    step: Step | None
    value: dict[str, Any]
    document: Parsed

    def line_of(self, key: str) -> int | None:
        """The line on which `key` first stands, from 1; None where it is written with escapes."""
        return self.document.line_of(key)

    def place_of(self, key: str) -> str:
        """The place of `key` in this object, as in ``quantization_config/0/key``, safe to print."""
        keys = [key]
        step = self.step
        while step is not None and len(keys) < _DEEPEST_SHOWN:
            step, name = step
            keys.append(str(name))
        return "/".join(shown(name) for name in reversed(keys))


class Parsed(msgspec.Struct, frozen=True, eq=False):
    """A parsed document: its value, its text, and the keys that came twice in one object."""

    value: Any
    text: str
    duplicates: list[str]
    lines: dict[str, int | None] = msgspec.field(default_factory=dict)
    """What `line_of` has found so far."""

    def line_of(self, key: str) -> int | None:
        """The line on which `key` first stands, from 1. Of the first keys alone: each is a search."""
        if key not in self.lines:
            if len(self.lines) >= limits.SCAN_JSON_LINES:
                return None
            at = self.text.find(json.dumps(key, ensure_ascii=False))
            self.lines[key] = None if at < 0 else self.text.count("\n", 0, at) + 1
        return self.lines[key]


def parse(data: bytes) -> Parsed:
    """One JSON document in UTF-8.

    Raises:
        NotUnderstood: it is none, or holds too much, or is deeper than any parser follows.
    """
    if sum(data.count(mark) for mark in (b"[", b"{", b",")) > limits.SCAN_JSON_VALUES:
        raise NotUnderstood(f"is JSON of over {limits.SCAN_JSON_VALUES:,} values")
    if data.count(b"{") > limits.SCAN_JSON_OBJECTS:
        raise NotUnderstood(f"is JSON of over {limits.SCAN_JSON_OBJECTS:,} objects")
    duplicates: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            duplicates.extend(_doubled(pairs))
        return made

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=collect)
    except UnicodeDecodeError:
        raise NotUnderstood("is not UTF-8") from None
    except RecursionError:
        raise NotUnderstood("is nested deeper than any parser follows") from None
    except ValueError as error:  # also a number of more digits than Python converts
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise NotUnderstood(f"is not JSON{where}") from None
    return Parsed(value, text, duplicates)


def _doubled(pairs: list[tuple[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            yield shown(key)
        seen.add(key)


def read(reader: Reader) -> Iterator[Fact]:
    """Every object of a document, from the outside in.

    Raises:
        NotUnderstood: it is not JSON, or too large.
    """
    if reader.size > limits.SCAN_JSON_BYTES:
        raise NotUnderstood(f"is JSON of over {limits.SCAN_JSON_BYTES:,} bytes")
    document = parse(reader.read(reader.remaining))
    for key in document.duplicates:
        yield TwoReadings(f"the key {key} comes twice: readers take different ones")
    yield from objects(document)


def objects(document: Parsed) -> Iterator[Object]:
    """Every object of a document, from the outside in.

    Without recursion, and without a step for each scalar: a tokenizer has half a million of them.
    """
    waiting: list[tuple[Step | None, Any]] = [(None, document.value)]
    while waiting:
        step, value = waiting.pop()
        inner: Iterable[tuple[str | int, Any]] = ()
        if isinstance(value, dict):
            yield Object(step, value, document)
            inner = value.items()
        elif isinstance(value, list):
            inner = enumerate(value)
        waiting += [((step, key), item) for key, item in inner if _holds_more(item)]


def _holds_more(value: object) -> bool:
    """Whether a value can hold an object; most lists in a tokenizer are pairs of words."""
    if type(value) is list:
        return dict in map(type, value) or list in map(type, value)
    return type(value) is dict


def shown(key: str) -> str:
    """A key as text for people."""
    safe = printable(key[: _SHOWN + 1])
    return safe if len(safe) <= _SHOWN else safe[: _SHOWN - 1] + "…"
