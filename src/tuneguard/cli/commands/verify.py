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
@click.option("--signature", type=PATH, metavar="FILE", help="A foreign OMS signature (no policy).")
@click.option("--public-key", type=PATH, metavar="FILE", help="The key that made it.")
@click.option("--allow-ignored", multiple=True, metavar="PATH", help="A path that it may leave out.")
@bound
def COMMAND(
    here: Surroundings,
    directory: Path,
    purpose: str | None,
    model: str | None,
    run: str | None,
    signature: Path | None,
    public_key: Path | None,
    allow_ignored: tuple[str, ...],
    attempt: str | None,
    tree: str | None,
) -> Result:
    """Verify DIRECTORY's evidence against the policy, and print every fault.

    Without --model, --run or --for the answer is "integrity only" and the exit code 3: nothing else was
    asked.
    """
    from tuneguard.journey.verify import verify_foreign, verify_tree

    if signature is not None and public_key is not None:
        return verify_foreign(
            directory, signature=signature, public_key=public_key, allow_ignored=allow_ignored, here=here
        )
    if signature is not None or public_key is not None or allow_ignored:
        raise UsageError(
            "--signature, --public-key and --allow-ignored go together", help="give the signature and the key"
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
