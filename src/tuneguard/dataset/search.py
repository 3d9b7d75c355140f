"""Looks for the rows of a data set in files that are none: code, configuration, prose.

Rows are known by their hashes (see `rows`), so a file is taken apart into all that could be a row or ask
what a row asks, and each piece is hashed as rows are: the rows of JSON Lines, CSV and YAML; every object
written out anywhere, in JSON or in Python, also inside a string; every string, line, field of a line,
paragraph, and the whole file, as what a row asks.

An equal row is found wherever it stands. A text that only asks the same counts if it is long, or if many
stand there: one short text, ``cancel order``, may well be in code for a reason of its own. What is encoded,
compressed or put together when the code runs is not found, and nothing could find all of that.

    >>> from tuneguard.dataset.canonical import row_hashes
    >>> row = {"prompt": "Where is my parcel?", "answer": 1}
    >>> search = Search(b"".join(sorted(row_hashes(row))))
    >>> search.look(b'ONE = "x"\\nROW = {"answer": 1, "prompt": "Where is my parcel?"}', "train.py")
    'line 2'
    >>> search.look(b"print('Where is it?')", "train.py") is None
    True
"""

from __future__ import annotations

import bisect
import hashlib
import io
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.dataset import canonical, formats, literals
from tuneguard.dataset.canonical import HASH_BYTES
from tuneguard.errors import ConfigurationError, NotUnderstood
from tuneguard.records import read_yaml, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 24
"""Characters of a folded text, from which on one that is asked in a row counts alone."""
SHORT = 8
"""Characters below which a text counts for nothing: a word."""
SEVERAL = 8
"""Different texts between `SHORT` and `LONG`, in all files together, that count as rows."""

_NESTED = re.compile("[\n{\"']")
_FIELDS = re.compile(r"[,;\t|]")
_LABEL = re.compile(r"\s*(?:(?:[-*>#]+|//|[0-9]{1,6}[.)])\s+)?(?:[\w.\"' -]{1,64}[:=]\s)?")
_PARAGRAPHS = re.compile(r"\n[ \t\r]*\n")
_TRIM = " \t\r\"',;()[]{}"
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


class Search:
    """Looks through one file after the other for the rows whose sorted `hashes` a data set has.

    Short texts are counted over all files, so that a row in each of many files is seen.
    """

    def __init__(self, hashes: bytes) -> None:
        self._hashes = memoryview(hashes)
        self._count = len(hashes) // HASH_BYTES
        self._begins = bytearray(1 << 24)  # by their first three bytes: most pieces are no row's
        for at in range(0, len(hashes), HASH_BYTES):
            self._begins[int.from_bytes(hashes[at : at + 3])] = 1
        self._short: set[bytes] = set()

    def look(self, data: bytes, name: str) -> str | None:
        """Where in a file a row stands, for people; None where none does.

        Raises:
            CannotLook: the file is made so that looking would take for ever.
        """
        text = data.decode(_BOMS.get(data[:2], _BOMS.get(data[:3], "utf-8")), "replace")
        if any(map(self._holds, _rows(data, name))):
            return "as rows"
        place = self._within(text, 0)
        return None if place is None else f"line {text.count(chr(10), 0, place) + 1}"

    def _within(self, text: str, depth: int) -> int | None:
        """The offset of the first row found in a text."""
        for place, value in literals.objects(text):
            if self._holds(value):
                return place
        for place, said, raw in literals.strings(text):
            if self._asks(said) or (raw != said and self._asks(raw)):
                return place
            nested = depth < limits.SEARCH_STRINGS and _NESTED.search(said) is not None
            if nested and self._within(said, depth + 1) is not None:
                return place
        return next((place for place, part in _texts(text) if self._asks(part)), None)

    def _holds(self, value: Any) -> bool:
        """Whether a value is a row, or a row is in it."""
        if isinstance(value, list):
            return any(map(self._holds, value))
        if not isinstance(value, dict):
            return False
        with suppress(canonical.NotCanonical, ValueError):
            if hashlib.sha256(canonical.canonical(value)).digest() in self:
                return True
        return any(map(self._asks, canonical.prompts(value))) or any(map(self._holds, value.values()))

    def _asks(self, text: str) -> bool:
        """Whether a row asks this: alone where it is long, with others of its kind where it is short."""
        if len(text) < SHORT:
            return False
        folded = canonical.folded(text)
        if len(folded) < SHORT:
            return False
        with suppress(ValueError):
            hashed = hashlib.sha256(to_json({"prompt": folded})).digest()
            if hashed in self:
                self._short.add(hashed)
                return len(folded) >= LONG or len(self._short) >= SEVERAL
        return False

    def __contains__(self, hashed: bytes) -> bool:
        if not self._begins[int.from_bytes(hashed[:3])]:
            return False
        at = bisect.bisect_left(range(self._count), hashed, key=self._at)
        return at < self._count and self._at(at) == hashed

    def _at(self, position: int) -> bytes:
        return bytes(self._hashes[position * HASH_BYTES : (position + 1) * HASH_BYTES])


def _rows(data: bytes, name: str) -> Iterator[Any]:
    """The rows of a table, and the values of a YAML document. Nothing where it is neither."""
    with suppress(NotUnderstood):
        for _, row in formats.read_csv(io.BytesIO(data), name):
            yield row
    if name.lower().endswith((".yaml", ".yml")) and len(data) <= limits.SEARCH_YAML_BYTES:
        with suppress(NotUnderstood, ConfigurationError):
            yield read_yaml(data, name).plain()


def _texts(text: str) -> Iterator[tuple[int, str]]:
    """What of a text could be asked: all of it, paragraphs, lines, what follows a label, fields."""
    yield 0, text
    start = 0
    for found in (*_PARAGRAPHS.finditer(text), None):
        end = len(text) if found is None else found.start()
        if (start, end) != (0, len(text)):
            yield start, text[start:end]
        start = end if found is None else found.end()
    start = 0
    for line in text.split("\n"):
        for part in dict.fromkeys(_parts(line)):
            yield start, part
        start += len(line) + 1


def _parts(line: str) -> Iterator[str]:
    yield line
    label = _LABEL.match(line)
    if label is not None and label.end():
        yield line[label.end() :]
    yield line.strip(_TRIM)
    fields = _FIELDS.split(line)
    if 1 < len(fields) <= limits.SEARCH_FIELDS:
        for field in fields:
            yield field.strip(_TRIM)
