"""tuneguard renew: let a tag be followed for another while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import KEYS, LEDGER, POLICY, PROJECT, REGISTRY, command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("renew", PROJECT, POLICY, LEDGER, KEYS, REGISTRY)
@click.argument("reference")
@click.option(
    "--model",
    metavar="N",
    help="Demand this model; without it the one that the policy has for the repository.",
)
def COMMAND(project: Project, reference: str, model: str | None) -> Result[Facts]:
    """Renew the release of the tag REFERENCE names, before it runs out or after.

    Its verdict must still count. Signed with the promoter's key: --key promoter=URI.
    """
    from tuneguard.journey.renew import renew

    return renew(reference, model=model, project=project)
