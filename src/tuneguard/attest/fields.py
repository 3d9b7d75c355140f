"""Typed look-ups in decoded JSON that a stranger wrote.

Each look-up either gives a value of the promised type or raises `NotUnderstood` with the field's full
name. Fields that nobody asks for are ignored, as in-toto's parsing rules want.

    >>> from tuneguard.attest.fields import Fields
    >>> fields = Fields.of({"rows": {"count": 3}}, "seal.json")
    >>> fields.section("rows").number("count")
    3
    >>> fields.section("rows").text("count")
    Traceback (most recent call last):
    tuneguard.errors.NotUnderstood: `rows.count` is missing or not a text at seal.json
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.nodes import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
MAX_COUNT = 1 << 63
"""Counts and sizes stay below this; JSON itself knows no bound."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object, the file that it came from (as it is; messages escape it), and its name in there."""

    values: Mapping[str, Any]
    where: str
    name: str = ""

    @classmethod
    def of(cls, value: object, where: str, name: str = "") -> Fields:
        """Wrap a JSON value that must be an object."""
        if not isinstance(value, dict):
            raise NotUnderstood(
                f"`{name}` is not an object" if name else "is not a JSON object", where=printable(where)
            )
        return cls(value, where, name)

    def has(self, key: str) -> bool:
        """Whether the field is there; ``null`` counts as absent."""
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "is missing or not a text")
        return value

    def optional_text(self, key: str) -> str | None:
        """A text, or None where it is absent."""
        return self.text(key) if self.has(key) else None

    def number(self, key: str) -> int:
        """A count or size: a whole number, 0 or more. ``true`` is none, and neither is 3.0."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_COUNT:
            raise self.wrong(key, "is missing or not a count")
        return value

    def optional_number(self, key: str) -> int | None:
        """A count, or None where it is absent."""
        return self.number(key) if self.has(key) else None

    def flag(self, key: str) -> bool:
        """True or false, and nothing that is like it."""
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "is missing or neither true nor false")
        return value

    def sha256(self, key: str) -> str:
        """64 lower-case hex digits."""
        value = self.text(key)
        if not _SHA256.fullmatch(value):
            raise self.wrong(key, "is not a SHA-256 in lower-case hex")
        return value

    def time(self, key: str) -> str:
        """An RFC 3339 time with its offset, which ``datetime.fromisoformat`` reads."""
        value = self.text(key)
        try:
            if not _TIME.fullmatch(value):
                raise ValueError
            datetime.fromisoformat(value)
        except ValueError:
            raise self.wrong(key, "is not an RFC 3339 time") from None
        return value

    def one_of(self, key: str, values: Collection[str]) -> str:
        """A text out of a few."""
        value = self.text(key)
        if value not in values:
            raise self.wrong(key, f"is none of {', '.join(sorted(values))}")
        return value

    def section(self, key: str) -> Fields:
        """A nested object."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "is missing or not an object")
        return Fields(value, self.where, self._below(key))

    def optional_section(self, key: str) -> Fields | None:
        """A nested object, or None where it is absent."""
        return self.section(key) if self.has(key) else None

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A nested object as it is."""
        return self.section(key).values

    def sections(self, key: str) -> list[Fields]:
        """A list of objects."""
        return [
            Fields.of(value, self.where, f"{self._below(key)}[{at}]")
            for at, value in enumerate(self._list(key))
        ]

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, which may be empty texts."""
        values = self._list(key)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "is not a list of texts")
        return tuple(values)

    def texts_by_key(self, key: str) -> dict[str, str]:
        """An object whose values are all texts, such as a digest set."""
        values = self.section(key).values
        if not all(isinstance(value, str) and value for value in values.values()):
            raise self.wrong(key, "holds something that is not a text")
        return dict(values)

    def wrong(self, key: str, what: str) -> NotUnderstood:
        """The error for the field `key`: `what` is the rest of the sentence."""
        return NotUnderstood(f"`{shown(self._below(key))}` {what}", where=printable(self.where))

    def _list(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, "is missing or not a list")
        return value

    def _below(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key
