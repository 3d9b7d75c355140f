"""What else a loader would take a file for: bytes can be several formats at once.

A loader asks its own questions in its own order. ``torch.load`` asks for a zip, then for a tar archive,
then unpickles; ``zipfile`` and ``torch.jit.load`` look at the end of a file, ``joblib`` unpacks what
begins like a packed file, Keras finds HDF5 behind a block of anything. Each question is asked here of every
file that we read, by the loader's own recogniser or by one that takes more than it does. What is of no kind
that we read never passes, whatever else it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.formats import onnx, packed, pickle_file, tar
from tuneguard.formats import zip as zipped
from tuneguard.formats.facts import TwoReadings
from tuneguard.scanner.identify import HDF5, Identified, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneguard.formats.reader import Reader


_NEVER_READ = frozenset({Kind.OTHER, Kind.POINTER, Kind.UNKNOWN})


def by_head(head: bytes, reader: Reader, known: Identified) -> Iterator[TwoReadings]:
    """Second readings of what `reader` is to read, which begins with `head` and is taken for `known`."""
    if known.kind in _NEVER_READ:
        return
    bytes_at = _look(head, reader)
    empty = known.kind is Kind.NUMBERS and head[: tar.BLOCK] == bytes(tar.BLOCK)
    if tar.looks_like(head) and not empty:  # numbers often begin with zeros, an archive without members
        yield _also(known, "a tar archive", 0)
    if known.kind is not Kind.PICKLE and pickle_file.probe(head, reader.size):
        yield _also(known, "a pickle", 0)
    if packed.looks_like(head):
        yield _also(known, "packed for a loader", 0)
    if known.kind is not Kind.ONNX and onnx.parses(reader.size, bytes_at):
        yield _also(known, "ONNX", 0)
    at = 512
    while at < reader.size:
        if bytes_at(at, len(HDF5)) == HDF5:
            yield _also(known, "HDF5", at)
        at *= 2


def by_tail(reader: Reader, known: Identified) -> Iterator[TwoReadings]:
    """Second readings of what `reader` has read, by how it ends."""
    if known.kind is not Kind.ZIP and known.kind not in _NEVER_READ:
        at = zipped.found_at_end(reader.tail, reader.size)
        if at is not None:
            yield _also(known, "a zip archive", at)


def _look(head: bytes, reader: Reader) -> Callable[[int, int], bytes]:
    """At most so many bytes at a place; none where only what has passed can be seen."""

    def bytes_at(at: int, amount: int) -> bytes:
        if at + amount <= len(head) or len(head) == reader.size:
            return head[at : at + amount]
        return reader.look(at, min(amount, reader.size - at)) if reader.can_look else b""

    return bytes_at


def _also(known: Identified, what: str, offset: int) -> TwoReadings:
    return TwoReadings(f"is {known.what or known.kind.value} and {what} as well", offset)
