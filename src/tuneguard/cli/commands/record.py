"""tuneguard record: the last step of `promote`; hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import KEYS, LEDGER, PATH, POLICY, PROJECT, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("record", PROJECT, POLICY, LEDGER, KEYS, hidden=True)
@click.argument("directory", type=PATH)
@click.option("--run", required=True)
@click.option("--attempt", required=True)
@click.option("--tree", required=True)
@click.option("--model", required=True)
@click.option("--pushed", required=True)
def COMMAND(
    project: Project, directory: Path, run: str, attempt: str, tree: str, model: str, pushed: str
) -> Result[Facts]:
    """Close the attempt in the ledger and sign its head; a step of `promote`."""
    from tuneguard.journey.record import record

    return record(directory, run=run, attempt=attempt, tree=tree, model=model, pushed=pushed, project=project)
