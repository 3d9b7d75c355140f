"""Numbers that begin like something else: a program, a pickle or an archive kept in a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.formats.facts import Content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader


def begins_like_content(head: bytes) -> bool:
    """Whether bytes begin like a pickle of protocol 2 to 5, an ELF program, a zip, or a PE program.

    Only a reason to look closer: one tensor in some ten thousand begins so by chance.
    """
    first = head[:1]
    if first == b"\x80":
        return b"\x02" <= head[1:2] <= b"\x05"
    return first in (b"\x7f", b"P", b"M") and head.startswith((b"\x7fELF", b"PK\x03\x04", b"MZ"))


def content_of(part: Reader, member: str) -> Iterator[Content]:
    """A tensor's bytes as content to look into, if they begin like any."""
    if begins_like_content(part.peek(8)):
        yield Content(member, part, guess=True)
