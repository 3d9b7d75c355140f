"""tuneguard copy: the step of `promote` that copies and hashes; hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, LEDGER, PATH, POLICY, PROJECT, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("copy", PROJECT, POLICY, EVIDENCE, LEDGER, facts=("tree",), hidden=True)
@click.argument("directory", type=PATH)
@click.option("--attempt", required=True)
@click.option("--model", required=True)
@click.option("--run", required=True)
@click.option("--subset")
def COMMAND(
    project: Project, directory: Path, attempt: str, model: str, run: str, subset: str | None
) -> Result[Facts]:
    """Copy DIRECTORY for judging and open an attempt; a step of `promote`."""
    from tuneguard.journey.copy import copy

    return copy(directory, attempt=attempt, model=model, run=run, subset=subset, project=project)
