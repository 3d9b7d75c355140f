"""tuneguard evaluate: is it good enough?"""

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


@command("evaluate", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS, facts=("statement",))
@click.argument("directory", type=PATH)
@click.option("--model", metavar="N", help="Judge the checkpoint as this model of the policy.")
@click.option(
    "--eval-dataset", type=PATH, metavar="DIR", help="Read the policy's evaluation set from this folder."
)
@click.option("--statement", type=PATH, hidden=True)
@gate_overrides
@bound
def COMMAND(
    project: Project,
    directory: Path,
    statement: Path | None,
    model: str | None,
    eval_dataset: Path | None,
    min_accuracy: float | None,
    max_toxicity: float | None,
    attempt: str | None,
    tree: str | None,
) -> Result[Facts]:
    """Measure accuracy and toxicity of the checkpoint DIRECTORY, in the sandbox, and sign the counts.

    It needs a clean signed scan of the same tree. The flags may only tighten the policy.
    """
    from tuneguard.journey.evaluate import evaluate

    return evaluate(
        directory,
        statement=statement,
        model=model,
        attempt=attempt,
        tree=tree,
        eval_dataset=eval_dataset,
        min_accuracy=min_accuracy,
        max_toxicity=max_toxicity,
        project=project,
    )
