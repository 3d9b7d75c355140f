"""tuneguard seal: state what a data set, evaluation set or base is, and sign it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PATH, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.findings import Result
    from tuneguard.journey.surroundings import Surroundings


@command("seal")
@click.argument("directory", type=PATH)
@click.option(
    "--as", "kind", type=click.Choice(["dataset", "evaluation", "base"]), required=True, help="What it is."
)
@click.option("--name", required=True, metavar="N", help="Its name, as the policy names it.")
@click.option("--version", required=True, metavar="V", help="Its version.")
@click.option("--source", required=True, metavar="S", help="Where it came from.")
@click.option("--license", required=True, metavar="L", help="Its licence, an SPDX expression.")
@click.option("--classification", required=True, metavar="C", help="Who may see it: confidential, …")
@click.option("--inside", is_flag=True, help="Write the seal into DIRECTORY, as the seed's three files.")
def COMMAND(
    here: Surroundings,
    directory: Path,
    kind: str,
    name: str,
    version: str,
    source: str,
    license: str,
    classification: str,
    inside: bool,
) -> Result:
    """Seal DIRECTORY with the data steward's key. A base is scanned first."""
    from tuneguard.journey.seal import seal

    return seal(
        directory,
        kind=kind,
        name=name,
        version=version,
        source=source,
        license=license,
        classification=classification,
        inside=inside,
        here=here,
    )
