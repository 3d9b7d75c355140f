"""How well an isolation control holds: the one scale that runs, provenance and policies share."""

from __future__ import annotations

from enum import StrEnum


class ControlState(StrEnum):
    """``proven``: tried in this run and held. ``weakened``: there with a gap. ``absent``: none."""

    PROVEN = "proven"
    WEAKENED = "weakened"
    ABSENT = "absent"

    def meets(self, least: ControlState) -> bool:
        """Whether this is as good as `least` or better.

        >>> ControlState.PROVEN.meets(ControlState.WEAKENED), ControlState.ABSENT.meets(ControlState.WEAKENED)
        (True, False)
        """
        order = list(ControlState)
        return order.index(self) <= order.index(least)
