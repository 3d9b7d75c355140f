"""Facts that the scanner itself finds out, beside those of the formats."""

from __future__ import annotations

from tuneguard.formats.facts import Fact


class Changed(Fact, frozen=True, eq=False):
    """A file that is not as the manifest states: how."""

    what: str
