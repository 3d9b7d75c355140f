"""tuneguard verify: who vouches for a tree, and does the policy believe them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import PATH, bound, command
from tuneguard.errors import UsageError

if TYPE_CHECKING:
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
@click.option("--public-key", type=PATH, metavar="FILE", help="The key that made it.")
@click.option("--certificate-root", type=PATH, metavar="FILE", help="The authorities of who made it (PEM).")
@click.option("--trusted-root", type=PATH, metavar="FILE", help="Sigstore's authorities, logs and clocks.")
@click.option("--certificate-identity", metavar="NAME", help="Who made it, by the certificate.")
@click.option("--certificate-oidc-issuer", metavar="URL", help="Who vouched for that (keyless).")
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
    public_key: Path | None,
    certificate_root: Path | None,
    trusted_root: Path | None,
    certificate_identity: str | None,
    certificate_oidc_issuer: str | None,
    allow_ignored: tuple[str, ...],
    attempt: str | None,
    tree: str | None,
) -> Result:
    """Verify DIRECTORY's evidence against the policy, and print every fault.

    Without --model, --run or --for the answer is "integrity only" and the exit code 3: nothing else was
    asked.
    """
    from tuneguard.journey.verify import verify_foreign, verify_tree

    signer = {
        "public_key": public_key,
        "certificate_root": certificate_root,
        "trusted_root": trusted_root,
        "identity": certificate_identity,
        "issuer": certificate_oidc_issuer,
    }
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
            **signer,  # type: ignore[arg-type]
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
