"""tuneguard public-key: the public half of a key, wherever it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import KEYS, PATH, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("public-key", KEYS)
@click.argument("file", type=PATH)
def COMMAND(project: Project, file: Path) -> Result[Facts]:
    """Write the public half of the key that --key names to the new FILE, in PEM.

    The key may live in a file, a token, a cloud's key service, Vault or a Kubernetes secret. A policy lists
    the public half, and other tools verify with it.
    """
    from tuneguard.journey.keys import public_key

    return public_key(file, project=project)
