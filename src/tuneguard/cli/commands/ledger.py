"""tuneguard ledger: what happened, and whether the record of it still stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import LEDGER, PROJECT, command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


class Ledger(click.Group):
    """``tuneguard ledger`` alone, or with options only, lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` first where no subcommand is named."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("ledger", cls=Ledger)
def COMMAND() -> None:
    """List the ledger, or verify it."""


@command("ledger list", PROJECT, LEDGER, short="list")
def entries(project: Project) -> Result[Facts]:
    """Every entry, oldest first, and the head."""
    from tuneguard.journey import ledgers

    return ledgers.entries(project=project)


@command("ledger verify", PROJECT, LEDGER, short="verify")
@click.option(
    "--head",
    metavar="SIZE:ROOT",
    help="Compare with this head, which was kept elsewhere, and refuse a rewritten ledger.",
)
def verify(project: Project, head: str | None) -> Result[Facts]:
    """Read every entry again and compare with a head that was kept elsewhere."""
    from tuneguard.journey import ledgers

    return ledgers.verify(head=head, project=project)


for each in (entries, verify):
    COMMAND.add_command(each)
