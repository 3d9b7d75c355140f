"""tuneguard pull: fetch a model, and believe none of it before it is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PATH, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.findings import Result
    from tuneguard.journey.surroundings import Surroundings


@command("pull")
@click.argument("reference")
@click.argument("directory", type=PATH)
@click.option("--model", metavar="N", help="The model that is expected; default: by REFERENCE's repository.")
@click.option("--run", metavar="ID", help="The run that is expected.")
def COMMAND(
    here: Surroundings, reference: str, directory: Path, model: str | None, run: str | None
) -> Result:
    """Pull REFERENCE into the new folder DIRECTORY.

    Every byte is checked against manifest, verdict and policy; a refusal leaves nothing behind.
    """
    from tuneguard.journey.pull import pull

    return pull(reference, directory, model=model, run=run, here=here)
