"""tuneguard signer: keep a key apart and sign for other users of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import KEYS, PATH, POLICY, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("signer", POLICY, KEYS)
@click.option("--listen", type=PATH, required=True, metavar="SOCKET", help="Listen on this Unix socket.")
@click.option(
    "--allow-user", multiple=True, metavar="USER", help="Answer this user (name or uid). Repeatable."
)
@click.option(
    "--statement", multiple=True, metavar="KIND", help="Sign only this kind of evidence. Repeatable."
)
@click.option("--log", type=PATH, metavar="FILE", help="Append a JSON line for each request to this file.")
def COMMAND(
    project: Project,
    listen: Path,
    allow_user: tuple[str, ...],
    statement: tuple[str, ...],
    log: Path | None,
) -> Result[Facts]:
    """Sign for other users with the key that --key names, at a Unix socket, until a signal.

    They name it as --key unix:///SOCKET. It signs statements that it builds itself, of the kinds and about
    the models that the policy allows to the key's owner, and nothing else.
    """
    from tuneguard.journey.signing_agent import listen as serve

    return serve(listen, users=allow_user, kinds=statement, log=log, project=project)
