"""tuneguard explain: what a rule, a step of verification or a gate looks for, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("explain", facts=("id",))
@click.argument("rule", metavar="ID")
def COMMAND(project: Project, rule: str) -> Result[Facts]:
    """Explain ID: a scan rule (TG-…), a step of verification (V07), a gate, or another finding's rule."""
    from tuneguard.journey.explain import explain

    return explain(rule, project=project)
