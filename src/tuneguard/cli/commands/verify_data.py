"""tuneguard verify-data: the init container, with its flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, PATH, POLICY, PROJECT, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("verify-data", PROJECT, POLICY, EVIDENCE)
@click.option(
    "--manifest", type=PATH, required=True, metavar="FILE", help="Compare the files with this manifest.json."
)
@click.option(
    "--checksums",
    type=PATH,
    required=True,
    metavar="FILE",
    help="Compare the files with this checksums.sha256.",
)
@click.option("--model", metavar="N", help="Demand that the policy lets this model train on the data.")
@click.option("--data", metavar="NAME@VERSION", help="Demand that the seal names this data set and version.")
def COMMAND(
    project: Project, manifest: Path, checksums: Path, model: str | None, data: str | None
) -> Result[Facts]:
    """Verify a data set sealed inside its folder, before any byte of it is trained on.

    Needs no project and writes nothing. The policy and its root come from outside the data.
    """
    from tuneguard.journey.verify import verify_data

    return verify_data(manifest=manifest, checksums=checksums, model=model, data=data, project=project)
