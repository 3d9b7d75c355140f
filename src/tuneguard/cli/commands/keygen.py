"""tuneguard keygen: a pair of keys for one role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PASSPHRASE, PATH, command, new_passphrase, unencrypted

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("keygen", PASSPHRASE)
@click.argument("path", type=PATH)
@click.option(
    "--type",
    type=click.Choice(["p256", "p384", "ed25519"]),
    default="p256",
    show_default=True,
    help="Make this type of key: ECDSA on P-256 or P-384, or Ed25519, which cannot sign models.",
)
@unencrypted
def COMMAND(project: Project, path: Path, type: str, unsafe_no_passphrase: bool) -> Result[Facts]:
    """Make a private key at PATH and its public key beside it (.pub).

    The private key is encrypted PKCS#8 with mode 0600. Nothing is ever overwritten.
    """
    from tuneguard.journey.keys import keygen

    secret = None if unsafe_no_passphrase else new_passphrase(project, path)
    return keygen(path, type=type, passphrase=secret, project=project)
