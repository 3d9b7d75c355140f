"""tuneguard ledger: what happened, and whether the record of it still stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import command

if TYPE_CHECKING:
    from tuneguard.findings import Result
    from tuneguard.journey.surroundings import Surroundings


@click.group("ledger", invoke_without_command=True)
@click.pass_context
def COMMAND(context: click.Context) -> int | None:
    """List the ledger, or verify it."""
    return None if context.invoked_subcommand else context.invoke(entries)


@command("ledger list", short="list")
def entries(here: Surroundings) -> Result:
    """Every entry, oldest first, and the head."""
    from tuneguard.journey import ledgers

    return ledgers.entries(here=here)


@command("ledger verify", short="verify")
@click.option("--head", metavar="SIZE:ROOT", help="A head that was kept elsewhere.")
def verify(here: Surroundings, head: str | None) -> Result:
    """Read every entry again and compare with a head that was kept elsewhere."""
    from tuneguard.journey import ledgers

    return ledgers.verify(head=head, here=here)


for each in (entries, verify):
    COMMAND.add_command(each)
