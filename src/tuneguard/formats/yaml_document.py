"""Untrusted YAML documents: their values, and every tag that asks a loader to construct something.

PyYAML's own parser gives the events; nothing is constructed. Its unsafe loaders, and the default one before
version 5.1, import and call what a tag such as ``!!python/object/apply:os.system`` names.

Scalars mean what every version of YAML agrees on, and all else is text: ``no`` is false in YAML 1.1 and a
text, which is true, in 1.2, so it counts as the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import json_document, text
from tuneguard.formats.facts import Fact, TwoReadings
from tuneguard.formats.json_document import Parsed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    import yaml

    from tuneguard.formats.reader import Reader

_CONSTANTS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_NUMBER = re.compile(
    r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII
)
_WRITTEN = re.compile(r"!(?:!|<([^\s>]*)>)?([^\s\[\]{}]*)")
"""A tag as it can stand in the text: a shorthand, or written out."""
_BREAKS = re.compile("[\x85\u2028\u2029]|\r(?!\n)")
"""Where one version of YAML ends a line, and with it a comment, and another does not."""
STANDARD = "tag:yaml.org,2002:"
"""What two exclamation marks stand for."""


class Tag(Fact, frozen=True, eq=False):
    """A tag as a loader resolves it, or as it stands in the text, and its line from 1."""

    name: str
    line: int


class _Open(msgspec.Struct, eq=False):
    """A collection whose end has not come: its value, its anchor, and how many values came before it."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    before: int
    key: str | None = None
    merged: list[Any] = msgspec.field(default_factory=list)


class _Reached(msgspec.Struct, frozen=True, eq=False):
    """What an anchor names, and how many values it stands for."""

    value: Any
    size: int


def read(reader: Reader) -> Iterator[Fact]:
    """The tags of a file of documents, and every object in them.

    Raises:
        NotUnderstood: it is not YAML, or holds too much.
    """
    written = text.read_whole(reader, limits.SCAN_SETTINGS_BYTES)
    if _BREAKS.search(written):
        raise NotUnderstood("is YAML with line ends that its versions take differently")
    composer = _Composer()
    documents = composer.documents(written)
    _find_written(written, composer.tags)
    yield from composer.tags.values()
    for key in dict.fromkeys(composer.doubled):
        yield TwoReadings(f"the key {key} comes twice: readers take different ones")
    for value in documents:
        yield from json_document.objects(Parsed(value, written, [], composer.lines))


def _find_written(written: str, tags: dict[str, Tag]) -> None:
    """Add Python's tags that stand in the text where this parser sees none: in a comment, in a long text."""
    for found in _WRITTEN.finditer(written):
        name = unquote(found[1] or found[2])
        if "python/" not in name:
            continue
        if found[0].startswith("!!"):
            name = f"{STANDARD}{name}"
        if name not in tags:
            tags[name] = Tag(name, written.count("\n", 0, found.start()) + 1)
            if len(tags) > limits.SCAN_FINDINGS:
                return


class _Composer:
    """Values from events. What an alias names is counted again each time, so that no document grows."""

    def __init__(self) -> None:
        self.tags: dict[str, Tag] = {}
        self.doubled: list[str] = []
        self.lines: dict[str, int | None] = {}
        self._count = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, _Reached | None] = {}
        self._documents: list[Any] = []

    def documents(self, written: str) -> list[Any]:
        """The value of each document."""
        import yaml

        try:
            for event in yaml.parse(written, Loader=yaml.SafeLoader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            where = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
            raise NotUnderstood(f"is not YAML{where}") from None
        except (yaml.YAMLError, ValueError, OverflowError):  # the last two: an escape of no character
            raise NotUnderstood("is not YAML") from None
        return self._documents

    def _take(self, event: yaml.Event) -> None:
        import yaml

        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors.clear()
        elif isinstance(event, yaml.ScalarEvent):
            self._tag(event.tag, event)
            value = _scalar(event.value) if event.style is None and event.tag is None else event.value
            self._count += 1
            self._place(value, event, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._tag(event.tag, event)
            self._enter([] if isinstance(event, yaml.SequenceStartEvent) else {}, event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._leave(event)
        elif isinstance(event, yaml.AliasEvent):
            reached = self._anchors.get(event.anchor or "")
            if reached is None:
                raise NotUnderstood(f"is YAML that refers to itself (line {_line(event)})")
            self._count += reached.size
            self._place(reached.value, event, reached.size)

    def _tag(self, name: str | None, event: yaml.Event) -> None:
        if name is not None and name != "!":
            self.tags.setdefault(name, Tag(name, _line(event)))

    def _enter(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        if len(self._open) >= limits.RECORD_DEPTH:
            raise NotUnderstood(f"is YAML of over {limits.RECORD_DEPTH} levels")
        if anchor is not None:
            self._anchors[anchor] = None
        self._open.append(_Open(value, anchor, self._count))

    def _leave(self, event: yaml.Event) -> None:
        ended = self._open.pop()
        if isinstance(ended.value, dict):
            for merged in ended.merged:
                ended.value.update({key: item for key, item in merged.items() if key not in ended.value})
        self._count += 1
        size = self._count - ended.before
        if ended.anchor is not None:
            self._anchors[ended.anchor] = _Reached(ended.value, size)
        self._place(ended.value, event, size)

    def _place(self, value: Any, event: yaml.Event, size: int) -> None:
        import yaml

        if self._count > limits.SCAN_SETTINGS_VALUES:
            raise NotUnderstood(f"is YAML of over {limits.SCAN_SETTINGS_VALUES:,} values")
        if isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
            self._anchors[event.anchor] = _Reached(value, 1)
        if not self._open:
            self._documents.append(value)
            return
        inside = self._open[-1]
        if isinstance(inside.value, list):
            inside.value.append(value)
        elif inside.key is None:
            inside.key = self._key(value, event, inside.value)
        else:
            if inside.key == "<<":
                self._count += size  # its values stand in both places
                merged = value if isinstance(value, list) else [value]
                inside.merged += [each for each in merged if isinstance(each, dict)]
            inside.value[inside.key] = value
            inside.key = None

    def _key(self, value: Any, event: yaml.Event, beside: dict[str, Any]) -> str:
        line = _line(event)
        if isinstance(value, (dict, list)):
            raise NotUnderstood(f"is YAML with a key that is no text (line {line})")
        key = getattr(event, "value", None)
        key = str(value) if key is None else key
        if key in beside:
            self.doubled.append(shown(key))
        self.lines.setdefault(key, line)
        return key


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def _scalar(written: str) -> Any:
    """What an unquoted scalar means to every reader, or its text."""
    if written in _CONSTANTS:
        return _CONSTANTS[written]
    return float(written) if _NUMBER.fullmatch(written) else written
