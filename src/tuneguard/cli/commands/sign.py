"""tuneguard sign: an OMS signature over a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, KEYS, PATH, POLICY, PROJECT, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("sign", PROJECT, POLICY, EVIDENCE, KEYS)
@click.argument("directory", type=PATH)
@click.option(
    "--form",
    type=click.Choice(["oms", "cosign"]),
    default="oms",
    show_default=True,
    help="Write the signature in this form.",
)
@click.option("--certificate", type=PATH, metavar="FILE", help="Include this certificate of the key (PEM).")
@click.option(
    "--certificate-chain",
    type=PATH,
    metavar="FILE",
    help="Include these authorities above the certificate (PEM).",
)
def COMMAND(
    project: Project, directory: Path, form: str, certificate: Path | None, certificate_chain: Path | None
) -> Result[Facts]:
    """Sign DIRECTORY in OMS v1.0, which model_signing reads, or for cosign.

    The form cosign writes manifest.json and manifest.json.sig into DIRECTORY, which `cosign verify-blob
    --key` and `openssl dgst -verify` accept.

    Proves integrity only: what made a checkpoint is in the provenance that `run` writes.
    """
    from tuneguard.journey.sign import sign

    return sign(directory, form=form, certificate=certificate, chain=certificate_chain, project=project)
