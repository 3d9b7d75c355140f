"""Plain text: UTF-8 without control characters, read through and not held."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from tuneguard.errors import NotUnderstood
from tuneguard.formats.reader import CHUNK, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.facts import Fact

CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def looks_like(head: bytes) -> bool:
    """Whether a file that begins with `head` can be text. A character may be cut at the end of `head`."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not CONTROL.search(text)


def read(reader: Reader) -> Iterator[Fact]:
    """Text holds no facts; this reads it through.

    Raises:
        NotUnderstood: it is not text throughout.
    """
    for piece in decoded(reader):
        if found := CONTROL.search(piece):
            raise NotUnderstood(f"begins like text and holds the control character {ord(found[0])}")
    yield from ()


def decoded(reader: Reader) -> Iterator[str]:
    """The characters of a text, piece by piece.

    Raises:
        NotUnderstood: it is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    while reader.remaining:
        at = reader.offset
        try:
            yield decoder.decode(reader.take(CHUNK), final=not reader.remaining)
        except UnicodeDecodeError as error:
            place = f"near byte {at + error.start:,}"
            raise NotUnderstood(f"begins like text and is not UTF-8 {place}") from None


def read_whole(reader: Reader, limit: int) -> str:
    """All of a text.

    Raises:
        NotUnderstood: it is no text, or longer than `limit` bytes.
    """
    if reader.size > limit:
        raise NotUnderstood(f"is text of over {limit:,} bytes")
    try:
        text = reader.read(reader.remaining).decode("utf-8")
    except UnicodeDecodeError:
        raise NotUnderstood("is not UTF-8") from None
    if found := CONTROL.search(text):
        raise NotUnderstood(f"holds the control character {ord(found[0])}")
    return text
