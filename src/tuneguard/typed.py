"""Untrusted JSON, as the type that it has to be.

`records.read_json` comes first: it refuses what msgspec would let pass (doubled keys, NaN, depth). Fields
that no type names are ignored, as in-toto's parsing rules want.

    >>> class Rows(JsonStruct):
    ...     count: Count
    >>> read({"count": 3, "new": True}, Rows, "seal.json").count
    3
    >>> read({"count": 3.0}, Rows, "seal.json")
    Traceback (most recent call last):
    tuneguard.errors.NotUnderstood: `count`: expected `int`, got `float` at seal.json
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.nodes import shown
from tuneguard.records import to_json

T = TypeVar("T")

_SHA256 = "^[0-9a-f]{64}$"
_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
Text = Annotated[str, Meta(min_length=1)]
"""A text that is not empty."""
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A count or size. ``true`` is none, and neither is 3.0."""
Sha256 = Annotated[str, Meta(pattern=_SHA256, max_length=64)]
"""64 lower-case hex digits; the length keeps out the newline that ``$`` lets pass."""
Time = Annotated[
    str,
    Meta(pattern=_TIME, description="RFC 3339, with its offset.", extra_json_schema={"format": "date-time"}),
]
"""A time of the right form; `check_times` checks whether there is such a time."""

_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_WORDS = {_SHA256: "is not a SHA-256 in lower-case hex", _TIME: "is not an RFC 3339 time"}


def about(description: str) -> Meta:
    """The description of a field in a schema, in ``Annotated``."""
    return Meta(description=description)


class JsonStruct(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A JSON object: its class defines the file's content. What is None is left out."""


def read(value: object, type: type[T], where: str) -> T:
    """A decoded JSON value as `type`. `where` names the file as it is; messages escape it.

    Raises:
        NotUnderstood: it is not of that type; the sentence names the field by its whole path.
    """
    try:
        return msgspec.convert(value, type, strict=True)
    except msgspec.ValidationError as error:
        raise NotUnderstood(_sentence(str(error)), where=printable(where)) from error


def written(value: msgspec.Struct) -> dict[str, Any]:
    """The JSON values that `read` takes."""
    values: dict[str, Any] = json.loads(to_json(msgspec.to_builtins(value)))
    return values


def check_times(**times: str) -> None:
    """What each name holds is a time that ``datetime.fromisoformat`` reads, else ValueError."""
    for name, time in times.items():
        try:
            datetime.fromisoformat(time)
        except ValueError:
            raise ValueError(f"`{name}` {_WORDS[_TIME]}") from None


def twice(names: list[str]) -> bool:
    """Whether a name stands in a list more than once: one reader would take the first, another the last."""
    return len(set(names)) != len(names)


def _sentence(said: str) -> str:
    found = _AT.fullmatch(said)
    what, place = found.groups() if found else (said, "")
    if missing := _MISSING.fullmatch(what):
        return f"`{shown(f'{place}.{missing[1]}' if place else missing[1])}` is missing"
    words = next((words for pattern, words in _WORDS.items() if pattern in what), None)
    if words is not None:
        return f"`{shown(place)}` {words}"
    what = shown(what[:1].lower() + what[1:])
    return f"`{shown(place)}`: {what}" if place else what
