"""tuneguard init: everything that a new project needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PASSPHRASE, PATH, command, new_passphrase, unencrypted

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("init", PASSPHRASE)
@click.argument("directory", type=PATH, default=".")
@click.option(
    "--name", required=True, metavar="N", help="Name the model; the policy and the keys use this name."
)
@unencrypted
def COMMAND(project: Project, directory: Path, name: str, unsafe_no_passphrase: bool) -> Result[Facts]:
    """Write a pipeline, a development policy, keys and a root for a new project in DIRECTORY.

    Keys and root go to $TUNEGUARD_HOME. Nothing is ever overwritten; a root that is there is used.
    """
    from tuneguard.journey.init import init
    from tuneguard.trust.root import home

    secret = None if unsafe_no_passphrase else new_passphrase(project, home() / "keys" / name)
    return init(directory, name=name, passphrase=secret, project=project)
