"""What every format may yield besides its own facts.

A format's reader is a generator of facts about the bytes that pass. It has no opinion: whether a
fact is bad is for the scanner's rules. Three kinds of fact steer the scanner instead of informing
its rules; they are here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tuneguard.formats.reader import Reader


class Fact(msgspec.Struct, frozen=True, eq=False):
    """Something seen in bytes. Compared by identity: a fact may hold values of hostile depth."""


class Inside(Fact, frozen=True, eq=False):
    """The facts that follow are about this member; None: about the file itself again."""

    member: str | None


class Content(Fact, frozen=True, eq=False):
    """Bytes inside the file that want identifying in their own right, to be read before going on.

    With ``guess`` the bytes only might be something (a tensor that begins like a program): what
    cannot be understood in them is then nothing to report.
    """

    member: str
    reader: Reader
    guess: bool = False


class NotRead(Fact, frozen=True, eq=False):
    """From here on nothing is known: why, and where."""

    reason: str
    offset: int | None = None


class TwoReadings(Fact, frozen=True, eq=False):
    """Two readers of these bytes would see different things: what differs, and where."""

    what: str
    offset: int | None = None


class Hidden(Fact, frozen=True, eq=False):
    """Bytes that no reader of the format looks at: what they are, where, how many."""

    what: str
    offset: int
    size: int
