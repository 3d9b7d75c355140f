"""Cuts untrusted output into lines of bounded length, as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.limits import OUTPUT_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lines:
    """Feed bytes, get whole lines without their ends.

    A carriage return ends a line too, so that a progress bar is seen while it moves. A line longer
    than ``limits.OUTPUT_LINE`` comes in pieces: memory stays bounded and nothing is lost.
    """

    def __init__(self) -> None:
        self._held = b""
        self._after_return = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        self._after_return = data.endswith(b"\r")
        *whole, self._held = (self._held + data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).split(b"\n")
        for line in whole:
            yield from _pieces(line)
        while len(self._held) > OUTPUT_LINE:
            yield self._held[:OUTPUT_LINE]
            self._held = self._held[OUTPUT_LINE:]

    def end(self) -> Iterator[bytes]:
        """What is left when the output has ended in the middle of a line."""
        if self._held:
            yield from _pieces(self._held)
        self._held = b""


def _pieces(line: bytes) -> Iterator[bytes]:
    if not line:
        yield line
    for at in range(0, len(line), OUTPUT_LINE):
        yield line[at : at + OUTPUT_LINE]
