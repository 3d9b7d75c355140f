"""tuneguard runs: every run of the project, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.cli.options import PROJECT, command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("runs", PROJECT)
def COMMAND(project: Project) -> Result[Facts]:
    """List the runs: state, model, class, start, duration, last step and loss, exit code, tree."""
    from tuneguard.journey.runs import runs

    return runs(project=project)
