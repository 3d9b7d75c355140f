"""tuneguard logs: what a training printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PROJECT, command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("logs", PROJECT)
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
def COMMAND(project: Project, run: str, follow: bool) -> Result[Facts]:
    """Print what the training of RUN printed, while it runs and afterwards."""
    from tuneguard.journey.runs import logs

    return logs(run, follow=follow, project=project)
