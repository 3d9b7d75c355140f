"""tuneguard push: push a tree that bears a passed verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, KEYS, LEDGER, PATH, POLICY, PROJECT, REGISTRY, bound, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("push", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS, REGISTRY, facts=("manifest",))
@click.argument("directory", type=PATH)
@click.option(
    "--to", required=True, metavar="REF", help="Push to this reference: oci:PATH[:TAG] or HOST/REPO[:TAG]."
)
@click.option(
    "--model",
    metavar="N",
    help="Demand this model; without it the one that the policy has for the repository.",
)
@click.option("--run", metavar="ID", help="Demand that the evidence names this run.")
@click.option(
    "--mount-from",
    metavar="REPO",
    help="Let the registry link blobs from this HOST/REPO instead of sending them.",
)
@bound
def COMMAND(
    project: Project,
    directory: Path,
    to: str,
    model: str | None,
    run: str | None,
    mount_from: str | None,
    attempt: str | None,
    tree: str | None,
) -> Result[Facts]:
    """Push DIRECTORY, which needs a passed verdict that the policy accepts."""
    from tuneguard.journey.push import push

    return push(
        directory,
        to=to,
        model=model,
        run=run,
        attempt=attempt,
        tree=tree,
        mount_from=mount_from,
        project=project,
    )
