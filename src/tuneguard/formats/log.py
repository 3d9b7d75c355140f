"""What a training said: text with the colours and the progress bars that a terminal was sent.

Colours, cursor movements, cleared lines and backspaces are let through. Every other sequence is not: some
have a terminal answer as if somebody had typed, write to the clipboard, or hide a link.

Source: ECMA-48, control sequences; what tqdm, rich and Keras write.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.errors import NotUnderstood
from tuneguard.formats import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.facts import Fact
    from tuneguard.formats.reader import Reader

_SHOWN = re.compile(r"\x08|\x1b\[(?:[0-9;]{0,32}[A-HJKSTfm]|\?25[hl])")
"""A backspace; or a colour, a movement, a cleared line, the cursor shown or hidden."""
_LONGEST = 36
"""Characters of a sequence."""


def looks_like(head: bytes) -> bool:
    """Whether a file that begins with `head` can be a log."""
    return text.looks_like(head.replace(b"\x1b", b"").replace(b"\x08", b""))


def read(reader: Reader) -> Iterator[Fact]:
    """A log holds no facts; this reads it through.

    Raises:
        NotUnderstood: it is no text, or does more to a terminal than to move and colour.
    """
    held = ""
    for piece in text.decoded(reader):
        shown = held + piece
        # The last sequence may end in the next piece.
        begins = shown.rfind("\x1b", -_LONGEST) if reader.remaining else -1
        held = shown[begins:] if begins >= 0 else ""
        if found := text.CONTROL.search(_SHOWN.sub("", shown[: len(shown) - len(held)])):
            raise NotUnderstood(f"is a log that holds the control character {ord(found[0])}")
    yield from ()
