"""tuneguard decide: every gate, one signed verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import (
    EVIDENCE,
    KEYS,
    LEDGER,
    PATH,
    POLICY,
    PROJECT,
    bound,
    command,
    gate_overrides,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("decide", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS)
@click.argument("directory", type=PATH)
@click.option(
    "--to",
    required=True,
    metavar="REF",
    help="Decide for this destination: oci:PATH[:TAG] or HOST/REPO[:TAG].",
)
@click.option("--run", required=True, metavar="ID", help="Demand that the evidence names this run.")
@click.option("--model", metavar="N", help="Demand that the evidence names this model.")
@click.option("--step", "steps", nargs=2, multiple=True, metavar="NAME STATUS", hidden=True)
@gate_overrides
@bound
def COMMAND(
    project: Project,
    directory: Path,
    to: str,
    run: str,
    model: str | None,
    steps: tuple[tuple[str, str], ...],
    min_accuracy: float | None,
    max_toxicity: float | None,
    attempt: str | None,
    tree: str | None,
) -> Result[Facts]:
    """Judge all evidence about DIRECTORY by the policy and sign the verdict as the promoter."""
    from tuneguard.journey.decide import decide

    return decide(
        directory,
        to=to,
        run=run,
        model=model,
        attempt=attempt,
        tree=tree,
        stopped_at=next((name for name, status in steps if status != "passed"), None),
        min_accuracy=min_accuracy,
        max_toxicity=max_toxicity,
        project=project,
    )
