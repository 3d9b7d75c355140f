"""tuneguard verify: who vouches for a tree, and does the policy believe them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tuneguard.cli.options import PATH, bound, command, signed_by
from tuneguard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuneguard.findings import Result
    from tuneguard.journey.surroundings import Surroundings


@command("verify")
@click.argument("directory", type=PATH)
@click.option(
    "--for", "purpose", type=click.Choice(["train", "promote", "load"]), help="What it is to be used for."
)
@click.option("--model", metavar="N", help="The model that is expected.")
@click.option("--run", metavar="ID", help="The run that is expected.")
@click.option(
    "--signature", type=PATH, metavar="FILE", help="A foreign signature: OMS, or cosign's over manifest.json."
)
@click.option("--manifest", type=PATH, metavar="FILE", help="The manifest.json that cosign signed.")
@signed_by
@click.option("--allow-ignored", multiple=True, metavar="PATH", help="A path that it may leave out.")
@bound
def COMMAND(
    here: Surroundings,
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
) -> Result:
    """Verify DIRECTORY's evidence against the policy, and print every fault.

    Without --model, --run or --for the answer is "integrity only" and the exit code 4: nothing else was
    asked.
    """
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
            here=here,
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
        here=here,
    )
