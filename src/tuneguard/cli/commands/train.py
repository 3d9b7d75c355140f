"""tuneguard train: the step that `run` plans; hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, KEYS, LEDGER, PATH, POLICY, PROJECT, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("train", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS, facts=("run", "tree"), hidden=True)
@click.option("--run", required=True, metavar="ID")
@click.option("--resume", type=PATH, metavar="DIR")
@click.option("--keep-intermediate", is_flag=True)
@click.option("--unsafe-no-sandbox", is_flag=True)
def COMMAND(
    project: Project, run: str, resume: Path | None, keep_intermediate: bool, unsafe_no_sandbox: bool
) -> Result[Facts]:
    """Supervise one training and sign its checkpoint; a step of `run`."""
    from tuneguard.journey.train import train

    return train(
        run=run,
        resume=resume,
        keep_intermediate=keep_intermediate,
        unsafe_no_sandbox=unsafe_no_sandbox,
        project=project,
    )
