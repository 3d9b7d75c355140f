"""tuneguard digest: the one number that names a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PATH, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("digest")
@click.argument("directory", type=PATH)
def COMMAND(project: Project, directory: Path) -> Result[Facts]:
    """Print the tree digest of DIRECTORY.

    Every entry counts; what a tree cannot hold (links, special files, empty folders) refuses.
    """
    from tuneguard.journey.digest import digest

    return digest(directory, project=project)
