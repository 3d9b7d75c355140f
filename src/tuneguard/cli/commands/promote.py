"""tuneguard promote: judge a checkpoint and, if it passes, push it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import (
    ENGINE,
    EVIDENCE,
    KEYS,
    LEDGER,
    PATH,
    POLICY,
    PROJECT,
    REGISTRY,
    command,
    gate_overrides,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import PromoteFacts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("promote", ENGINE, PROJECT, POLICY, EVIDENCE, LEDGER, KEYS, REGISTRY)
@click.argument("directory", type=PATH)
@click.option(
    "--to", required=True, metavar="REF", help="Push to this reference: oci:PATH[:TAG] or HOST/REPO[:TAG]."
)
@click.option("--run", required=True, metavar="ID", help="Demand that the evidence names this run.")
@click.option(
    "--model",
    metavar="N",
    help="Demand this model; without it the one that the policy has for the repository.",
)
@click.option("--subset", metavar="PATH", help="Promote this folder of the run, where the policy allows it.")
@click.option(
    "--mount-from",
    metavar="REPO",
    help="Let the registry link blobs from this HOST/REPO instead of sending them.",
)
@gate_overrides
def COMMAND(
    project: Project,
    directory: Path,
    to: str,
    run: str,
    model: str | None,
    subset: str | None,
    mount_from: str | None,
    min_accuracy: float | None,
    max_toxicity: float | None,
    engine: str,
) -> Result[PromoteFacts]:
    """Promote the checkpoint DIRECTORY: copy, verify, scan, evaluate, decide, push, record.

    A refusal stops it, and every reason is reported. There is no force flag.
    """
    from tuneguard.journey.promote import promote

    result = promote(
        directory,
        to=to,
        run=run,
        model=model,
        min_accuracy=min_accuracy,
        max_toxicity=max_toxicity,
        subset=subset,
        mount_from=mount_from,
        engine=engine,
        project=project,
    )
    return reported(result, project)


def reported(result: Result[PromoteFacts], project: Project) -> Result[PromoteFacts]:
    """Write the report of a promotion into the project; its path is one of the outputs."""
    import dataclasses

    from msgspec import structs

    from tuneguard.display import shown
    from tuneguard.files import write_replacing
    from tuneguard.output import html

    name = result.facts.attempt or "attempt"
    path = project.state_directory("reports") / f"{name}.html"
    write_replacing(path, html.render(result))
    facts = structs.replace(result.facts, report=shown(path))
    return dataclasses.replace(result, outputs=(*result.outputs, shown(path)), facts=facts)
