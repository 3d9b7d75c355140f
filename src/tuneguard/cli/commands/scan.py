"""tuneguard scan: is it safe to load?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, KEYS, LEDGER, PATH, POLICY, PROJECT, bound, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("scan", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS, facts=("statement",))
@click.argument("paths", type=PATH, nargs=-1, required=True)
@click.option("--sign", is_flag=True, help="Sign the result as evidence about the folder.")
@click.option("--model", metavar="N", help="By this model's formats in the policy; named in the evidence.")
@click.option("--check-pickle-exploits", is_flag=True, help="Always on; accepted for existing scripts.")
@click.option("--check-embedded-code", is_flag=True, help="Always on; accepted for existing scripts.")
@click.option("--statement", type=PATH, hidden=True)
@bound
def COMMAND(
    project: Project,
    paths: tuple[Path, ...],
    sign: bool,
    statement: Path | None,
    model: str | None,
    check_pickle_exploits: bool,
    check_embedded_code: bool,
    attempt: str | None,
    tree: str | None,
) -> Result[Facts]:
    """Scan files or folders for what would run when they are loaded. Executes nothing.

    What is not understood is listed and does not pass (exit code 3).
    """
    from tuneguard.journey.scan import scan

    del check_pickle_exploits, check_embedded_code  # both are always done
    return scan(
        paths, sign=sign, statement=statement, model=model, attempt=attempt, tree=tree, project=project
    )
