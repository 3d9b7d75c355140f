"""The ledger to people: what happened, and whether the file still holds what it held before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.display import local_time, short, shown
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.facts import EntryFacts, LedgerFacts, LedgerVerifyFacts
from tuneguard.findings import REFUSING, Finding, Location, Result, Severity, Subject, Verdict, judge
from tuneguard.ledger.checkpoint import unverified_checkpoint
from tuneguard.ledger.store import RULES, Head
from tuneguard.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.ledger.store import SqliteStore


def entries(*, project: Project | None = None) -> Result[LedgerFacts]:
    """Every entry, oldest first.

    Raises:
        UsageError: there is no ledger here.
        CannotLook: it cannot be read, or is damaged.
    """
    project = project or Project()
    store = _ledger(project)
    rows = []
    for entry in store.entries():
        what = " ".join(
            part
            for part in (
                entry.command,
                f"run {entry.run}" if entry.run else "",
                f"attempt {entry.attempt[:10]}" if entry.attempt else "",
                f"tree {short(entry.tree)}" if entry.tree else "",
                entry.result or "",
                f"tag {entry.detail['tag']}" if "tag" in entry.detail else "",
            )
            if part
        )
        rows.append(EntryFacts(sequence=entry.sequence, time=entry.time, event=entry.event.value, what=what))
        project.reporter.emit(str(entry.sequence), f"{local_time(entry.time)}  {entry.event.value:<8}{what}")
    head = store.head()
    project.reporter.emit("Head", str(head))
    return Result(
        command="ledger",
        verdict=Verdict.PASSED,
        facts=LedgerFacts(entries=tuple(rows), size=head.size, root=head.root),
    )


def verify(*, head: str | None = None, project: Project | None = None) -> Result[LedgerVerifyFacts]:
    """Read every entry again; with `head` (``SIZE:ROOT``, kept elsewhere), report whether history changed.

    A signed head that lies beside the ledger is compared too. It finds an edit by somebody who did not
    think of it, and anchors nothing: anyone who can rewrite one of the two files can rewrite both.

    Raises:
        UsageError: there is no ledger here, or `head` is not of that form.
        CannotLook: it cannot be read.
    """
    project = project or Project()
    store = _ledger(project)
    check = store.verify(None if head is None else Head.parse(head))
    beside = tuple(_against_head_file(store))
    findings = tuple(dict.fromkeys((*check.findings, *beside)))
    compared = store.head_file.name if os.path.lexists(store.head_file) else None
    summary = "not consistent" if findings else check.summary
    notes = []
    if compared is not None and not findings:
        summary = f"{summary}; consistent with {compared} beside it"
        notes.append(f"{compared} lay beside the ledger: anyone who can rewrite one can rewrite both")
    if head is None:
        notes.append("without a head that was kept elsewhere, a rewritten ledger is not detected")
    project.reporter.emit("Read", f"{check.head.size:,} entries: {summary}", f"head {check.head}")
    return Result(
        command="ledger verify",
        verdict=judge(findings, (), REFUSING),
        subjects=(Subject("ledger", check.head.root),),
        findings=findings,
        facts=LedgerVerifyFacts(
            size=check.head.size,
            root=check.head.root,
            anchored=check.anchored and not findings,
            beside=compared,
            summary=summary,
        ),
        notes=tuple(notes),
    )


def _against_head_file(store: SqliteStore) -> Iterator[Finding]:
    """What is wrong with the ledger by the head that lies beside it; nothing where there is no head."""
    path = store.head_file
    if not os.path.lexists(path):
        return
    try:
        read = unverified_checkpoint(files.read_bounded(path, limits.NOTE_BYTES), str(path))
    except (NotUnderstood, Refused) as error:
        yield Finding(
            "L05",
            Severity.CRITICAL,
            error.what,
            Location(shown(path)),
            why=RULES["L05"],
            fix="restore it from a copy, or find out who wrote it; `promote` signs a new one",
        )
        return
    yield from store.verify(read.head, which=f"{path.name} beside it").findings


def _ledger(project: Project) -> SqliteStore:
    if project.ledger is None:
        raise UsageError("no ledger here", help="go to the project's folder, or name one: --ledger FILE")
    return project.ledger
