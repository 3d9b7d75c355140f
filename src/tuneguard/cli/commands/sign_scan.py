"""tuneguard sign-scan: the step of `promote` that signs what `scan` found; hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, KEYS, LEDGER, PATH, POLICY, PROJECT, command, left_unsigned

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("sign-scan", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS, hidden=True)
@click.argument("directory", type=PATH)
@left_unsigned
def COMMAND(
    project: Project,
    directory: Path,
    statement: Path,
    sha256: str,
    model: str,
    attempt: str,
    tree: str,
) -> Result[Facts]:
    """Sign the scan that the step before left unsigned; a step of `promote`."""
    from tuneguard.journey.sign_scan import sign_scan

    return sign_scan(
        directory,
        statement=statement,
        sha256=sha256,
        model=model,
        attempt=attempt,
        tree=tree,
        project=project,
    )
