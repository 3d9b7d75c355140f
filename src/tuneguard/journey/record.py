"""Record: close the attempt in the ledger, and sign the ledger's head so that it can be kept elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.display import short, shown
from tuneguard.errors import Refused
from tuneguard.facts import RecordFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.checkpoint import checkpoint
from tuneguard.ledger.entry import Event
from tuneguard.project import evidence_log

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.ledger.entry import Entry
    from tuneguard.ledger.store import Store
    from tuneguard.project.project import Project


def record(
    directory: Path, *, run: str, attempt: str, tree: str, model: str, pushed: str, project: Project
) -> Result[RecordFacts]:
    """Append ``done`` for the attempt, and sign the new head with the log's key where there is one.

    The signed head (a C2SP checkpoint) lies beside the ledger; a copy is to be kept elsewhere.

    Run again, it signs the head again and appends nothing.

    Raises:
        Refused: the ledger knows of no such push in this attempt, or the tree is another one.
    """
    manifest = evidence_log.copied(directory, tree, attempt, project)
    outputs: tuple[str, ...] = ()
    facts = RecordFacts(tree=manifest.digest)
    if project.ledger is not None:
        entry = _closed(project.ledger, attempt, manifest.digest, pushed) or project.ledger.append(
            event=Event.DONE,
            command="promote",
            run=run,
            attempt=attempt,
            model=model,
            tree=manifest.digest,
            result="passed",
            detail={"manifest": pushed},
        )
        head = project.ledger.head()
        facts = RecordFacts(tree=manifest.digest, sequence=entry.sequence, size=head.size, root=head.root)
        if project.key_uri("log") is not None:
            signed = checkpoint(f"tuneguard.dev/{project.pipeline.name}", head, project.signer("log"))
            files.write_replacing(project.ledger.head_file, signed)
            outputs = (shown(project.ledger.head_file),)
        project.reporter.emit("Recorded", f"ledger {entry.sequence}, head {short(head.root)}")
    return Result(
        command="record",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        outputs=outputs,
        facts=facts,
        notes=project.remarks,
    )


def _closed(ledger: Store, attempt: str, tree: str, pushed: str) -> Entry | None:
    """The entry that closed the attempt already, if it did.

    Raises:
        Refused: the attempt has not pushed this manifest, so there is nothing to record.
    """
    done = [
        entry
        for entry in ledger.entries(event=Event.DONE, attempt=attempt, tree=tree)
        if entry.detail.get("manifest") == pushed
    ]
    if not any(entry.command == "push" for entry in done):
        raise Refused(f"the attempt {attempt} has not pushed {short(pushed)}", help="push first")
    return next((entry for entry in done if entry.command == "promote"), None)
