"""tuneguard verify: who vouches for a tree, and does the policy believe them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tuneguard.cli.options import EVIDENCE, PATH, POLICY, PROJECT, bound, command, signed_by

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("verify", PROJECT, POLICY, EVIDENCE)
@click.argument("directory", type=PATH)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["train", "promote", "load"]),
    help="Demand the evidence that this use requires.",
)
@click.option("--model", metavar="N", help="Demand that the evidence names this model.")
@click.option("--run", metavar="ID", help="Demand that the evidence names this run.")
@click.option(
    "--signature",
    type=PATH,
    metavar="FILE",
    help="Verify this signature by another tool: OMS, or cosign's of manifest.json.",
)
@click.option(
    "--manifest",
    type=PATH,
    metavar="FILE",
    help="Verify the files against this manifest.json, which cosign signed.",
)
@signed_by
@click.option(
    "--allow-ignored",
    multiple=True,
    metavar="PATH",
    help="Accept a signature that leaves this path out. Repeatable.",
)
@bound
def COMMAND(
    project: Project,
    directory: Path,
    purpose: str | None,
    model: str | None,
    run: str | None,
    signature: Path | None,
    manifest: Path | None,
    allow_ignored: tuple[str, ...],
    signer: Mapping[str, Any],
    attempt: str | None,
    tree: str | None,
) -> Result[Facts]:
    """Verify DIRECTORY's evidence against the policy, and print every fault.

    Without --model, --run or --for the answer is "integrity only" and the exit code 4: nothing else was
    asked.
    """
    from tuneguard.errors import UsageError
    from tuneguard.journey.verify import verify_foreign, verify_tree

    if signature is not None and (purpose or model or run):
        raise UsageError(
            "a foreign signature names no use, no model and no run",
            help="leave --for, --model and --run out, or verify our own evidence: leave --signature out",
        )
    if signature is not None:
        return verify_foreign(
            directory,
            signature=signature,
            manifest=manifest,
            allow_ignored=allow_ignored,
            project=project,
            **signer,
        )
    if any(signer.values()) or manifest is not None or allow_ignored:
        raise UsageError(
            "who signed, --manifest and --allow-ignored go together with --signature",
            help="give the signature and who is to have made it",
        )
    return verify_tree(
        directory,
        purpose=purpose,  # type: ignore[arg-type]
        model=model,
        run=run,
        attempt=attempt,
        tree=tree,
        project=project,
    )
