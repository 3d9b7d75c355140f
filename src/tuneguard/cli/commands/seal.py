"""tuneguard seal: state what a data set, evaluation set or base is, and sign it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tuneguard.cli.options import EVIDENCE, KEYS, LEDGER, PATH, POLICY, PROJECT, command, signed_by

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("seal", PROJECT, POLICY, EVIDENCE, LEDGER, KEYS)
@click.argument("directory", type=PATH)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["dataset", "evaluation", "base"]),
    required=True,
    help="Seal it as this kind of input.",
)
@click.option("--name", required=True, metavar="N", help="Record this name; the policy refers to it.")
@click.option("--version", required=True, metavar="V", help="Record this version.")
@click.option("--source", required=True, metavar="S", help="Record where it came from.")
@click.option("--license", required=True, metavar="L", help="Record this licence, an SPDX expression.")
@click.option(
    "--classification",
    required=True,
    metavar="C",
    help="Record who is allowed to see it, for example confidential.",
)
@click.option(
    "--inside",
    is_flag=True,
    help="Write the seal into DIRECTORY as manifest.json, checksums.sha256 and a bundle.",
)
@click.option(
    "--signature",
    type=PATH,
    metavar="FILE",
    help="Verify this signature by another tool first, and record it: OMS, or cosign's of manifest.json.",
)
@signed_by
@click.option(
    "--derived-from",
    type=PATH,
    multiple=True,
    metavar="DIR",
    help="Record this sealed folder as what the files were made from. Repeatable.",
)
@click.option(
    "--transform", type=PATH, metavar="PATH", help="Record the digest of the code that made the files."
)
def COMMAND(
    project: Project,
    directory: Path,
    kind: str,
    name: str,
    version: str,
    source: str,
    license: str,
    classification: str,
    inside: bool,
    signature: Path | None,
    signer: Mapping[str, Any],
    derived_from: tuple[Path, ...],
    transform: Path | None,
) -> Result[Facts]:
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
        signature=signature,
        derived_from=derived_from,
        transform=transform,
        **signer,
        project=project,
    )
