"""tuneguard doctor: what this machine offers, and how to fix what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.cli.options import KEYS, LEDGER, POLICY, PROJECT, command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("doctor", PROJECT, POLICY, LEDGER, KEYS)
def COMMAND(project: Project) -> Result[Facts]:
    """Show what this machine offers, and how to fix what is missing.

    Exit code 1 where something that a run or a promotion needs is missing. Nothing is written.
    """
    from tuneguard.journey.doctor import doctor

    return doctor(project=project)
