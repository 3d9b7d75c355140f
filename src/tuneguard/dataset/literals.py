"""Values that stand written out in a text: objects as JSON or as Python has them, and strings.

A text of any kind is looked through, code or prose, valid or not: what can be read as an object or as a
string is given, the rest is passed over. Nothing is executed, and no parser of Python is asked, because
hostile source can crash it.

    >>> [value for _, value in objects('rows = [{"a": 1}, {\\'b\\': (True, None)},]  # {"c"')]
    [{'a': 1}, {'b': [True, None]}]
    >>> [text for _, text, _ in strings('x = "one" + "two"; it\\'s r"a\\\\b"')]
    ['one', 'two', 'onetwo', 'a\\x08']
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import CannotLook

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRING = re.compile(
    r'"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+"""'
    r"|'''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''"
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
    r"|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'",
    re.DOTALL,
)
_QUOTE = re.compile("[\"']")
_PREFIX = re.compile(r"[rRbBuU]{0,2}(?=[\"'])")
_BEGINS = re.compile(r"\{(?=\s*+[rRbBuU]{0,2}[\"'])")
_BLANK = re.compile(r"(?:\s|#[^\n]*+)*+")
_TOKEN = re.compile(
    r"(?P<number>-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?)(?![\w.])"
    r"|(?P<word>true|false|null|True|False|None)(?!\w)"
    r"|(?P<mark>[][{}(),:])"
)
_BETWEEN = re.compile(r"[\s\\+()]*+[rRbBuUfF]{0,2}")
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_CLOSING = {"[": "]", "(": ")"}
_ESCAPE = re.compile(
    r"\\(u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\n|.)", re.DOTALL
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Unreadable(Exception):
    """What begins like an object is none."""


class _Budget:
    """Bounds what is read in vain: hostile text could have each of its characters begin something long."""

    def __init__(self, text: str) -> None:
        self._left = limits.SEARCH_TRIES * (len(text) + 1024)

    def spend(self, characters: int) -> None:
        """Raises `CannotLook` once too much was read in vain."""
        self._left -= characters
        if self._left < 0:
            raise CannotLook("holds too much that begins like a value and is not one")


def objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every object that is written out in `text`, the outermost only, and the offset that it begins at.

    Raises:
        CannotLook: so much looks like the beginning of a value and is none that it would take for ever.
    """
    budget, start = _Budget(text), 0
    while begins := _BEGINS.search(text, start):
        reader = _Reader(text, begins.start(), budget)
        try:
            value = reader.value(0)
        except _Unreadable:
            budget.spend(reader.at - begins.start())
            start = begins.end()
        else:
            start = reader.at
            yield begins.start(), value


def strings(text: str) -> Iterator[tuple[int, str, str]]:
    """Every string that is written out in `text`: its offset, its value, and its source text.

    Strings with nothing between them but space, ``+`` or parentheses are one: they are given joined too.

    Raises:
        CannotLook: as `objects`.
    """
    budget, joined = _Budget(text), list[str]()
    first = last = start = 0
    while quote := _QUOTE.search(text, start):
        end = _string_end(text, quote.start(), budget)
        start = quote.end() if end is None else end
        if end is None:
            continue
        raw = _inner(text[quote.start() : end])
        if joined and _BETWEEN.fullmatch(text, last, quote.start()) is None:
            yield from _whole(first, joined)
            joined = []
        first = first if joined else quote.start()
        joined.append(unescaped(raw))
        last = end
        yield quote.start(), joined[-1], raw
    yield from _whole(first, joined)


def _whole(first: int, parts: list[str]) -> Iterator[tuple[int, str, str]]:
    if len(parts) > 1:
        yield first, "".join(parts), "".join(parts)


def _string_end(text: str, at: int, budget: _Budget) -> int | None:
    """Where the string ends whose opening quote is at `at`; None where it is never closed."""
    found = _STRING.match(text, at)
    tripled = text.startswith(('"""', "'''"), at)
    if tripled and (found is None or found.end() - at == 2):
        budget.spend(len(text) - at)
    elif found is None:
        line_end = text.find("\n", at)
        budget.spend((len(text) if line_end < 0 else line_end) - at)
    return None if found is None else found.end()


def unescaped(raw: str) -> str:
    """The inside of a string with the escapes of JSON and Python resolved, and UTF-16 pairs put together."""
    if "\\" not in raw:
        return raw
    text = _ESCAPE.sub(_character, raw)
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _character(found: re.Match[str]) -> str:
    escape = found[1]
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    return _ESCAPED.get(escape, escape)


def _inner(literal: str) -> str:
    width = 3 if literal.startswith(('"""', "'''")) else 1
    return literal[width:-width]


class _Reader:
    """Reads one value from `at`, and leaves `at` behind it, or where it stopped being one."""

    def __init__(self, text: str, at: int, budget: _Budget) -> None:
        self._text, self.at, self._budget = text, at, budget

    def value(self, depth: int) -> Any:
        """A value. Raises `_Unreadable`."""
        text = self._string()
        if text is not None:
            return text
        token = _TOKEN.match(self._text, self.at)
        if token is None or depth >= limits.SEARCH_DEPTH:
            raise _Unreadable
        self.at = token.end()
        if token["number"] is not None:
            number = token["number"]
            return int(number) if number.lstrip("-").isdigit() else float(number)
        if token["word"] is not None:
            return _WORDS[token["word"]]
        if token["mark"] == "{":
            return self._object(depth + 1)
        if token["mark"] in _CLOSING:
            return self._list(_CLOSING[token["mark"]], depth + 1)
        raise _Unreadable

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._next("}"):
            key = self._string()
            if key is None or not self._next(":"):
                raise _Unreadable
            found[key] = self.value(depth)
            if not self._next(",") and not self._comes("}"):
                raise _Unreadable
        return found

    def _list(self, closing: str, depth: int) -> list[Any]:
        found = []
        while not self._next(closing):
            found.append(self.value(depth))
            if not self._next(",") and not self._comes(closing):
                raise _Unreadable
        return found

    def _string(self) -> str | None:
        """A string, and those that follow with nothing between, as Python joins them; None where none is."""
        parts: list[str] = []
        while True:
            self._skip()
            prefix = _PREFIX.match(self._text, self.at)
            end = None if prefix is None else _string_end(self._text, prefix.end(), self._budget)
            if prefix is None or end is None:
                return "".join(parts) if parts else None
            parts.append(unescaped(_inner(self._text[prefix.end() : end])))
            self.at = end

    def _next(self, mark: str) -> bool:
        """Whether `mark` comes next, which is then behind."""
        if self._comes(mark):
            self.at += 1
            return True
        return False

    def _comes(self, mark: str) -> bool:
        self._skip()
        return self._text.startswith(mark, self.at)

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self.at)
        assert blank is not None
        self.at = blank.end()
