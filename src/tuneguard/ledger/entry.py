"""One entry of the ledger: what happened to which run or attempt, as canonical JSON bytes.

The bytes are the leaf of the Merkle tree, so there is exactly one encoding of an entry: sorted keys,
no spaces, UTF-8, integers only (RFC 8785 over the values that an entry may hold). `decode` refuses
bytes that `encode` would not have written.

    >>> from datetime import UTC, datetime
    >>> entry = Entry(0, rfc3339(datetime(2026, 11, 23, 10, 42, tzinfo=UTC)), Event.ATTEMPT, "promote")
    >>> Entry.decode(entry.encode(), "ledger.db") == entry
    True
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tuneguard import limits
from tuneguard.errors import NotUnderstood, UsageError
from tuneguard.files import printable
from tuneguard.records import read_json, to_json

SCHEMA = "tuneguard.dev/ledger/v1"
"""Stands in every entry, so that a leaf cannot be taken for anything else that is signed or hashed."""

_INTEGERS = 2**53 - 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HEX = re.compile(r"[0-9a-f]{64}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]{1,255}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@:-]{0,127}")
_DEPTH = 8


WHOLE = "whole"
"""In the detail of an attempt at a part of a run: the run's tree."""


class Event(StrEnum):
    """The event of an entry."""

    ATTEMPT = "attempt"
    """A promotion opened: its nonce is in ``attempt``, and scan and evaluation must name it."""
    BEGUN = "begun"
    """A command starts something that others could see: a run, a push."""
    JUDGED = "judged"
    """A judge came to a result about a tree; recorded before its evidence appears."""
    TAGGED = "tagged"
    """A tag names a manifest."""
    DONE = "done"
    """What was begun has happened; ``detail`` is what."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger.

    ``sequence`` is the leaf's index in the tree, from 0; ``time`` is RFC 3339 in UTC to the second,
    by this machine's clock; ``tree`` is a tree digest in lower hex; ``result`` is a verdict or
    another word; ``detail`` holds strings, whole numbers, truth values, null, lists and mappings.

    Raises:
        UsageError: a value that no entry may hold.
    """

    sequence: int
    time: str
    event: Event
    command: str
    run: str | None = None
    attempt: str | None = None
    model: str | None = None
    tree: str | None = None
    result: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "event", _event(self.event))
        if type(self.sequence) is not int or not 0 <= self.sequence <= _INTEGERS:
            raise _wrong("sequence", self.sequence)
        _check_time(self.time)
        _check("command", self.command, _WORD, required=True)
        _check("run", self.run, _ID)
        _check("attempt", self.attempt, _ID)
        _check("model", self.model, _TEXT)
        _check("tree", self.tree, _HEX)
        _check("result", self.result, _WORD)
        if not isinstance(self.detail, Mapping):
            raise _wrong("detail", self.detail)
        object.__setattr__(self, "detail", _frozen(self.detail, 0))

    def encode(self) -> bytes:
        """The canonical bytes: the leaf.

        Raises:
            UsageError: they are more than `limits.LEDGER_ENTRY_BYTES`.
        """
        data = to_json(
            {
                "schema": SCHEMA,
                "sequence": self.sequence,
                "time": self.time,
                "event": self.event.value,
                "command": self.command,
                "run": self.run,
                "attempt": self.attempt,
                "model": self.model,
                "tree": self.tree,
                "result": self.result,
                "detail": self.detail,
            }
        )
        if len(data) > limits.LEDGER_ENTRY_BYTES:
            raise UsageError(
                f"a ledger entry of {len(data):,} bytes is over the limit of {limits.LEDGER_ENTRY_BYTES:,}",
                help="keep the detail in evidence and its digest in the ledger",
            )
        return data

    @classmethod
    def decode(cls, data: bytes, where: str) -> Entry:
        """An entry from its canonical bytes.

        Raises:
            NotUnderstood: they are not what `encode` writes: other fields, other order, other values.
        """
        found = read_json(data, where, limit=limits.LEDGER_ENTRY_BYTES)
        if not isinstance(found, dict) or found.pop("schema", None) != SCHEMA:
            raise NotUnderstood(f"is not an entry of {SCHEMA}", where=printable(where))
        try:
            entry = cls(**found)
            same = entry.encode() == data
        except TypeError as error:
            raise NotUnderstood("has other fields than a ledger entry", where=printable(where)) from error
        except UsageError as error:
            raise NotUnderstood(f"is not a ledger entry: {error.what}", where=printable(where)) from error
        if not same:
            raise NotUnderstood("is not the canonical encoding of a ledger entry", where=printable(where))
        return entry


def rfc3339(moment: datetime) -> str:
    """A moment as an entry's time: UTC, whole seconds.

    >>> rfc3339(datetime(2026, 11, 23, 10, 42, 7, 999, tzinfo=UTC))
    '2026-11-23T10:42:07Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_attempt() -> str:
    """A nonce that names one attempt at a promotion: 32 hex."""
    return secrets.token_hex(16)


def _event(value: str) -> Event:
    try:
        return Event(value)
    except ValueError:
        raise _wrong("event", value) from None


def _check(name: str, value: object, form: re.Pattern[str], *, required: bool = False) -> None:
    if value is None and not required:
        return
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise _wrong(name, value)


def _check_time(value: object) -> None:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        raise _wrong("time", value)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise _wrong("time", value) from None


def _frozen(value: Any, depth: int) -> Any:
    """A detail's value, checked, as one that nobody can change afterwards."""
    if depth > _DEPTH:
        raise UsageError(f"a ledger entry's detail is nested deeper than {_DEPTH} levels")
    if isinstance(value, Mapping):
        for key in value:
            _check("key of detail", key, _KEY, required=True)
        return MappingProxyType({key: _frozen(inner, depth + 1) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_frozen(inner, depth + 1) for inner in value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, int) and -_INTEGERS <= value <= _INTEGERS:
        return int(value)
    raise _wrong("detail", value)


def _encodable(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _wrong("detail", value) from None
    return str(value)


def _wrong(name: str, value: object) -> UsageError:
    return UsageError(f"{printable(repr(value))[:120]} cannot be the {name} of a ledger entry")
