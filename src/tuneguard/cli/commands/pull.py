"""tuneguard pull: fetch a model, and believe none of it before it is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tuneguard.cli.options import LEDGER, PATH, POLICY, PROJECT, REGISTRY, command, signed_by

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("pull", PROJECT, POLICY, LEDGER, REGISTRY)
@click.argument("reference")
@click.argument("directory", type=PATH)
@click.option(
    "--model",
    metavar="N",
    help="Demand this model; without it the one that the policy has for the repository.",
)
@click.option("--run", metavar="ID", help="Demand that the evidence names this run.")
@signed_by
def COMMAND(
    project: Project,
    reference: str,
    directory: Path,
    model: str | None,
    run: str | None,
    signer: Mapping[str, Any],
) -> Result[Facts]:
    """Pull REFERENCE into the new folder DIRECTORY.

    Every byte is checked against manifest, verdict and policy; a refusal leaves nothing behind. What
    another tool pushed and cosign signed is pulled by its digest and who signed: "integrity only", exit
    code 4.
    """
    if any(signer.values()):
        from tuneguard.errors import UsageError
        from tuneguard.journey.pull_foreign import pull_foreign

        if model or run:
            raise UsageError(
                "a signature by cosign names no model and no run",
                help="leave --model and --run out, or pull by our own verdict: leave out who signed",
            )
        return pull_foreign(reference, directory, project=project, **signer)
    from tuneguard.journey.pull import pull

    return pull(reference, directory, model=model, run=run, project=project)
