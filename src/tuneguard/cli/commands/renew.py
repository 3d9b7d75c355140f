"""tuneguard renew: let a tag be followed for another while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import command

if TYPE_CHECKING:
    from tuneguard.findings import Result
    from tuneguard.journey.surroundings import Surroundings


@command("renew")
@click.argument("reference")
@click.option("--model", metavar="N", help="The model that is expected; default: by REFERENCE's repository.")
def COMMAND(here: Surroundings, reference: str, model: str | None) -> Result:
    """Renew the release of the tag REFERENCE names, before it runs out or after.

    Its verdict must still count. Signed with the promoter's key: --key promoter=URI.
    """
    from tuneguard.journey.renew import renew

    return renew(reference, model=model, here=here)
