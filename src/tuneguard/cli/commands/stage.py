"""tuneguard stage: a plain folder, ready to be sealed, from a cache, links or an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PATH, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("stage")
@click.argument("source", type=PATH)
@click.argument("directory", type=PATH)
@click.option(
    "--revision",
    metavar="R",
    help="Take this snapshot of a repository in the Hugging Face Hub's cache: a commit, branch or tag.",
)
def COMMAND(project: Project, source: Path, directory: Path, revision: str | None) -> Result[Facts]:
    """Copy SOURCE into the new folder DIRECTORY, ready to be sealed.

    SOURCE is a repository (models--ORG--NAME) or a snapshot in the Hugging Face Hub's cache, a folder, or
    an archive (tar, tar.gz, zip). Links are replaced by what they point to; one that leaves the source
    refuses. Nothing is judged: the next step is `seal`.
    """
    from tuneguard.journey.stage import stage

    return stage(source, directory, revision=revision, project=project)
