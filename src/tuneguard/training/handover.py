"""What a training that is over hands over to be signed, in the memory of the process that made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneguard.attest.predicates.provenance import Comparison, Control, Dependency, Ended, Segment
    from tuneguard.attest.relied import Relied
    from tuneguard.sandbox.shown import Shown
    from tuneguard.training.claims import Claimed
    from tuneguard.training.record import Record


@dataclass(frozen=True, slots=True)
class Handover:
    """A run that ended, as it was observed from outside the sandbox.

    ``kind`` is ``final`` or ``intermediate``, and ``ended`` how an intermediate one did. ``claimed`` has the
    identity of the one folder that may be signed. ``dependencies`` are the inputs by digest, ``controls`` the
    isolation controls as they were tried, ``started`` and ``finished`` RFC 3339 times, ``metrics`` whether
    the training could say numbers while it ran, ``segments`` those of its parts that were ended from outside.
    ``processors`` says what bounded them; ``gpus`` were shown.
    ``record`` is the run's record, to which class and tree are added.
    """

    run: str
    kind: str
    claimed: Claimed
    dependencies: tuple[Dependency, ...]
    base_scan: dict[str, Any]
    comparison: Comparison | None
    relied_on: tuple[Relied, ...]
    environment: dict[str, Any]
    controls: tuple[Control, ...]
    started: str
    finished: str
    seconds: float
    ended: Ended | None
    segments: tuple[Segment, ...]
    processors: str | None
    gpus: Shown | None
    unsafe: tuple[str, ...]
    metrics: bool
    record: Record

    def for_people(self) -> dict[str, Any]:
        """What ``run.json`` keeps beside the run's record."""
        return {
            "checkpoint": str(self.claimed.checkpoint),
            "inputs": [
                {"role": each.role, "name": each.name, "version": each.version, "digest": each.digest}
                for each in self.dependencies
            ],
            "controls": {each.name: {"state": each.state, "how": each.how} for each in self.controls},
            "unsafe": list(self.unsafe),
        }
