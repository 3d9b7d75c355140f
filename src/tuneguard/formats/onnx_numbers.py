"""The file in which an ONNX model keeps its numbers: each tensor's bytes where the model says, zeros between.

Nothing in such a file says what it is. It is known by the models beside it, which are read first.

Source: ONNX ``docs/ExternalData.md``: tensors are aligned on pages, with zeros up to the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.errors import NotUnderstood
from tuneguard.formats.embedded import content_of
from tuneguard.formats.facts import Fact, Hidden, TwoReadings
from tuneguard.formats.reader import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneguard.formats.onnx import External
    from tuneguard.formats.reader import Reader


def read(reader: Reader, tensors: Iterable[External]) -> Iterator[Fact]:
    """Every fact of a file that holds these tensors.

    Raises:
        NotUnderstood: a tensor reaches beyond its end.
    """
    size = reader.size
    places = {(each.offset, size - each.offset if each.length is None else each.length) for each in tensors}
    for offset, length in sorted(places):
        if length < 0 or offset + length > size:
            raise NotUnderstood("a tensor of the ONNX model beside it reaches beyond its end")
        if offset < reader.offset:
            yield TwoReadings("tensors of the ONNX model beside it overlap", offset)
        else:
            yield from _zeros(reader, offset - reader.offset)
        part = reader.part(max(0, offset + length - reader.offset))
        yield from content_of(part, f"tensor at byte {offset:,}")
        part.drain()
    yield from _zeros(reader, reader.remaining)


def _zeros(reader: Reader, amount: int) -> Iterator[Fact]:
    at, hidden = reader.offset, False
    left = amount
    while left:
        piece = reader.read(min(left, CHUNK))
        hidden = hidden or bool(piece.strip(b"\0"))
        left -= len(piece)
    if hidden:
        yield Hidden("bytes that no tensor of the ONNX model beside it holds", at, amount)
