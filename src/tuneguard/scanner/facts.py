"""Facts that the scanner itself finds out, beside those of the formats."""

from __future__ import annotations

from tuneguard.formats.facts import Fact


class Changed(Fact, frozen=True, eq=False):
    """A file that is not as the manifest states: how."""

    what: str


class Unmatched(Fact, frozen=True, eq=False):
    """An index names what is not there in this form: what, and where it does."""

    what: str
    offset: int
