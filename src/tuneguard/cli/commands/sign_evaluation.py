"""tuneguard sign-evaluation: the step of `promote` that signs what `evaluate` found; hidden."""

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
    command,
    gate_overrides,
    left_unsigned,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("sign-evaluation", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS, hidden=True)
@click.argument("directory", type=PATH)
@left_unsigned
@gate_overrides
def COMMAND(
    project: Project,
    directory: Path,
    statement: Path,
    sha256: str,
    model: str,
    attempt: str,
    tree: str,
    min_accuracy: float | None,
    max_toxicity: float | None,
) -> Result[Facts]:
    """Sign the evaluation that the step before left unsigned, and judge it; a step of `promote`."""
    from tuneguard.journey.sign_evaluation import sign_evaluation

    return sign_evaluation(
        directory,
        statement=statement,
        sha256=sha256,
        model=model,
        attempt=attempt,
        tree=tree,
        min_accuracy=min_accuracy,
        max_toxicity=max_toxicity,
        project=project,
    )
