"""The ledger to people: what happened, and whether the file still says what it said before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.errors import UsageError
from tuneguard.findings import REFUSING, Result, Subject, Verdict, judge
from tuneguard.journey.surroundings import local_time, short
from tuneguard.ledger.store import Head

if TYPE_CHECKING:
    from tuneguard.journey.surroundings import Surroundings
    from tuneguard.ledger.store import SqliteStore


def entries(*, here: Surroundings) -> Result:
    """Every entry, oldest first."""
    store = _ledger(here)
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
        rows.append(
            {"sequence": entry.sequence, "time": entry.time, "event": entry.event.value, "what": what}
        )
        here.reporter.say(str(entry.sequence), f"{local_time(entry.time)}  {entry.event.value:<8}{what}")
    head = store.head()
    here.reporter.say("Head", str(head))
    return Result(
        command="ledger",
        verdict=Verdict.PASSED,
        facts={"entries": rows, "size": head.size, "root": head.root},
    )


def verify(*, head: str | None, here: Surroundings) -> Result:
    """Read every entry again; with `head` (``SIZE:ROOT``, kept elsewhere), say whether history changed."""
    check = _ledger(here).verify(None if head is None else Head.parse(head))
    here.reporter.say("Read", f"{check.head.size:,} entries: {check.summary}", f"head {check.head}")
    notes = (
        ()
        if head is not None
        else ("without a head that was kept elsewhere, a rewritten ledger cannot be told",)
    )
    return Result(
        command="ledger verify",
        verdict=judge(check.findings, (), REFUSING),
        subjects=(Subject("ledger", check.head.root),),
        findings=check.findings,
        facts={
            "size": check.head.size,
            "root": check.head.root,
            "anchored": check.anchored,
            "summary": check.summary,
        },
        notes=notes,
    )


def _ledger(here: Surroundings) -> SqliteStore:
    if here.ledger is None:
        raise UsageError("no ledger here", help="go to the project's folder, or name one: --ledger FILE")
    return here.ledger
