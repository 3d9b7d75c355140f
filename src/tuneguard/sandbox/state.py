"""How well an isolation control holds: the one scale that runs, provenance and policies share."""

from __future__ import annotations

from enum import StrEnum


class WallState(StrEnum):
    """``proven``: tried in this run and held. ``weakened``: there with a gap. ``absent``: none."""

    PROVEN = "proven"
    WEAKENED = "weakened"
    ABSENT = "absent"

    def meets(self, least: WallState) -> bool:
        """Whether this is as good as `least` or better.

        >>> WallState.PROVEN.meets(WallState.WEAKENED), WallState.ABSENT.meets(WallState.WEAKENED)
        (True, False)
        """
        order = list(WallState)
        return order.index(self) <= order.index(least)
