"""Record: close the attempt in the ledger, and sign the ledger's head so that it can be kept elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.journey import judged
from tuneguard.journey.surroundings import Surroundings, short, shown
from tuneguard.ledger.checkpoint import checkpoint
from tuneguard.ledger.entry import Event

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "ledger.head"
"""The signed head (a C2SP checkpoint), in the project's state folder. Keep a copy elsewhere."""


def record(
    directory: Path, *, run: str, attempt: str, tree: str, model: str, pushed: str, here: Surroundings
) -> Result:
    """Append ``done`` for the attempt, and sign the new head with the log's key where there is one.

    Raises:
        UsageError: there is no ledger.
    """
    manifest = judged.bound(directory, tree, here)
    outputs: tuple[str, ...] = ()
    facts: dict[str, object] = {"tree": manifest.digest}
    if here.ledger is not None:
        entry = here.ledger.append(
            event=Event.DONE,
            command="promote",
            run=run,
            attempt=attempt,
            model=model,
            tree=manifest.digest,
            result="passed",
            detail={"manifest": pushed},
        )
        head = here.ledger.head()
        facts |= {"sequence": entry.sequence, "size": head.size, "root": head.root}
        if here.key_uri("log") is not None:
            signed = checkpoint(f"tuneguard.dev/{here.pipeline.name}", head, here.signer("log"))
            files.write_replacing(here.state / HEAD, signed)
            outputs = (shown(here.state / HEAD),)
        here.reporter.say("Recorded", f"ledger {entry.sequence}, head {short(head.root)}")
    return Result(
        command="record",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        outputs=outputs,
        facts=facts,
        notes=here.remarks,
    )
