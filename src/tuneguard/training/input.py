"""One input of a run, as the pages that gather and compare inputs hand it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.predicates import provenance
    from tuneguard.attest.relied import Relied


@dataclass(frozen=True)
class Input:
    """One verified or hashed input of a run: its snapshot, what names it, where it appears inside.

    `relied_on` names who sealed a base, and who vouched for a run that is resumed. `listed`: it is one of a
    list of data sets, and lies below the data folder under its name.
    """

    role: str
    path: Path
    inside: str
    manifest: Manifest
    how: str
    dependency: provenance.Dependency
    relied_on: tuple[Relied, ...] = ()
    listed: bool = False

    @property
    def what(self) -> str:
        """What it is called in messages."""
        return f"{self.role} {self.dependency.name}" if self.listed else self.role
