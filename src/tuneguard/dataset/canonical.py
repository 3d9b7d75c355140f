"""What makes two rows the same: the canonical bytes of a row, and of the prompts in it.

A row's hash is the SHA-256 of its canonical bytes: JSON with sorted keys and no spaces, UTF-8, all
text in NFC, whole numbers without a fraction. So the same row has the same hash in JSONL with other
spacing, and ``jq -cS . | sha256sum`` line by line recomputes it for plain text.

Training and evaluation rows differ in shape, so that a prompt would be missed in a row of other
fields. Each row therefore has prompt keys besides: the hash of the row ``{"prompt": TEXT}``, TEXT being
what the row asks of the model, folded so that case, spacing and Unicode form do not matter.

    >>> canonical({"b": 1.0, "a": "e\\u0301"}).decode()
    '{"a":"é","b":1}'
    >>> prompts({"instruction": "Classify.", "input": "My  Printer\\nburns", "output": "hardware"})
    ['classify. my printer burns', 'my printer burns']
    >>> prompts({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})
    ['hi']
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from tuneguard.records import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HASH_BYTES = 32

FRAME = ("system", "instruction")
"""Fields that state what to do with the text. Alone they are the prompt; beside it they frame it."""
CONTENT = ("prompt", "question", "query", "input", "text")
"""Fields that hold the text itself."""
TURNS = ("messages", "conversations", "conversation", "prompt")
"""Fields that hold a chat: a list of turns."""
_ASKING = frozenset({"user", "human", "prompter"})
_EXACT = 2**53
_MARKS = 128
"""Combining marks in a row, at most. Normalising sorts them in quadratic time (16,000 take seconds), so
that a longer run is an attack on its reader; UAX #15's stream-safe text has at most 30."""


class NotCanonical(ValueError):
    """A row that has no canonical form; the message states why."""


def row_hashes(row: Mapping[str, Any]) -> Iterator[bytes]:
    """The hash of a row, then one for each of its prompts: 32 bytes each.

    Raises:
        NotCanonical: two of its keys are the same text in NFC, or a text has too many combining marks.
    """
    yield hashlib.sha256(canonical(row)).digest()
    for text in prompts(row):
        yield hashlib.sha256(to_json({"prompt": text})).digest()


def canonical(row: Mapping[str, Any]) -> bytes:
    """The bytes that a row's hash is over. Raises `NotCanonical`."""
    return to_json(_normal(row))


def prompts(row: Mapping[str, Any]) -> list[str]:
    """What a row asks of the model, folded: all of it, and the text without what frames it.

    The text alone counts too, so that an evaluation's text under another instruction is found. The
    frame alone does not, beside a text: one instruction stands in every row of many data sets.
    """
    by_name = {key.lower(): value for key, value in row.items()} | dict(row)  # the exact name goes first
    frame = [folded(_text(by_name.get(name))) for name in FRAME]
    content = [folded(_text(by_name.get(name))) for name in CONTENT]
    content += [folded(_asked(by_name.get(name))) for name in TURNS]
    whole = " ".join(part for part in (*frame, *content) if part)
    inner = " ".join(part for part in content if part)
    return [text for text in dict.fromkeys((whole, inner)) if text]


def folded(text: str) -> str:
    """A text as prompts are compared: compatibility form, no case, single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.casefold().split())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _asked(turns: object) -> str:
    """What the first turn of the asking side states, in the two common shapes of a chat."""
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, dict) and turn.get("role", turn.get("from")) in _ASKING:
            return _content_text(turn.get("content", turn.get("value")))
    return ""


def _content_text(content: object) -> str:
    """A turn's text: a string, or the text parts of a list."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return _text(content)


def _normal(value: Any) -> Any:
    """A JSON value with its text in NFC and its whole numbers as such."""
    if isinstance(value, str):
        return value if value.isascii() else _nfc(value)
    if isinstance(value, dict):
        normal = {_normal(key): _normal(inner) for key, inner in value.items()}
        if len(normal) != len(value):
            raise NotCanonical("two of its keys are the same text in Unicode's NFC")
        return normal
    if isinstance(value, list):
        return [_normal(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def _nfc(text: str) -> str:
    perhaps, surely = _too_many_marks()
    if perhaps.search(text) is not None and surely.search(text) is not None:
        raise NotCanonical(f"it has more than {_MARKS} combining marks one after the other")
    return unicodedata.normalize("NFC", text)


@functools.cache
def _too_many_marks() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Match a longer run than `_MARKS` of what is, or decomposes into, combining marks.

    The first is ten times as fast and takes every character beyond U+FFFF for one.
    """
    marks = [chr(code) for code in range(0x300, 0x20000) if _combines(chr(code))]
    near = "".join(mark for mark in marks if mark <= "\uffff")
    run = f"{{{_MARKS + 1}}}"
    return re.compile(f"[{near}\U00010000-\U0010ffff]{run}"), re.compile(f"[{''.join(marks)}]{run}")


def _combines(character: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0
