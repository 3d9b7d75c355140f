"""tuneguard trace: what a checkpoint was made from, and where it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, LEDGER, POLICY, PROJECT, command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("trace", PROJECT, POLICY, EVIDENCE, LEDGER)
@click.argument("subject", metavar="DIGEST|DIR")
def COMMAND(project: Project, subject: str) -> Result[Facts]:
    """Show what a tree was made from, who judged it, and where it was pushed.

    The first 8 or more digits of a tree's or manifest's DIGEST are enough.
    """
    from tuneguard.journey.trace import trace

    return trace(subject, project=project)
